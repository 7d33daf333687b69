"""How long a process has waited for a processor: what a busy machine adds to a measured time, by the kernel's count.

A time that was measured beside a training, a build or a neighbour says as much of them as of the version. Linux counts
for each thread how long it could have run and did not (schedstat, https://docs.kernel.org/scheduler/sched-stats.html).
"""

import os
from pathlib import Path

__all__ = ["own_waited_ms", "waited_ms"]

_NS_IN_MS = 1e6


def waited_ms(pid: int) -> float | None:
    """Milliseconds that the threads of a process, and the thread that asks, have waited since they began, together.

    Threads that have ended are left out, so it may be less than it was before. None where the system does not count it,
    or no such process is there.
    """
    try:
        own = _waited_ns("/proc/thread-self")
        with os.scandir(f"/proc/{pid}/task") as tasks:
            theirs = [waited for task in tasks if (waited := _of_living(task.path)) is not None]
    except (OSError, ValueError, IndexError):
        return None
    return (own + sum(theirs)) / _NS_IN_MS if theirs else None


def own_waited_ms() -> float | None:
    """Milliseconds that the thread that asks has waited since it began; None where the system does not count it."""
    try:
        return _waited_ns("/proc/thread-self") / _NS_IN_MS
    except (OSError, ValueError, IndexError):
        return None


def _of_living(task: str) -> int | None:
    """None for a thread that has ended since it was listed."""
    try:
        return _waited_ns(task)
    except (FileNotFoundError, ProcessLookupError):
        return None


def _waited_ns(task: str) -> int:
    return int(Path(task, "schedstat").read_bytes().split()[1])
