"""Limits of a process that runs user code, and the launcher that puts them in force before Python starts in it.

Run as a script (`python -I -S limits.py LEASE MEMORY_MB NICE COMMAND...`) this file confines its process, takes the
task's lease and becomes the command; the process number stays. It therefore imports the standard library alone.
"""

import contextlib
import fcntl
import json
import os
import resource
import sys
import time
from pathlib import Path

__all__ = ["ALREADY_RUNS", "confine", "thread_environment"]

_THREAD_COUNTS = (
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "TOKIO_WORKER_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_FIRST_TO_GO = b"800"
ALREADY_RUNS = 75
"""Exit code of the launcher when another process holds the task's lease."""


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables that libraries read once, at import: they must stand before the process starts.

    Threads that wait for each other sleep. Where cores are shared with servers, a thread that spins keeps from its core
    the very one that it waits for: beside a busy process LightGBM took ten times as long.

    >>> thread_environment(1)["OMP_NUM_THREADS"]
    '1'
    """
    return {**dict.fromkeys(_THREAD_COUNTS, str(threads)), "OMP_WAIT_POLICY": "PASSIVE"}


def confine(*, memory_mb: int, nice: int) -> None:
    """Limit the calling process and what it starts: data segment, priority, no core file, first to go out of memory.

    memory_mb: MiB of private writable memory (Linux; elsewhere the system does not enforce it). An allocation beyond
    it fails inside the process. A limit that stands and is lower stays.
    """
    _lower(resource.RLIMIT_DATA, memory_mb << 20)
    _lower(resource.RLIMIT_CORE, 0)
    missing = nice - os.nice(0)
    if missing > 0:
        os.nice(missing)
    if os.getsid(0) == os.getpid():
        _give_way(nice)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(_FIRST_TO_GO)


def _give_way(nice: int) -> None:
    """Let the own session have as little of the processor as its processes ask for.

    Linux shares a processor between sessions first, and between the processes of one afterwards (autogroup): a process
    at nice 19 that is alone in its session takes as much as a server does. Where the system shares otherwise, by
    control groups or not at all, this is without effect.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_bytes(b"%d" % nice)


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard == resource.RLIM_INFINITY or limit < hard:
        with contextlib.suppress(ValueError, OSError):  # macOS has the constant and no such limit
            resource.setrlimit(kind, (limit, limit))


def _launch(lease: str, memory_mb: int, nice: int, command: list[str]) -> None:
    """Become `command`, holding the kernel's lock on `lease` for as long as it or a child of its lives."""
    os.setsid()
    handle = os.open(lease, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(ALREADY_RUNS)
    os.set_inheritable(handle, True)
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps({"pid": os.getpid(), "begun": time.monotonic()}).encode(), 0)
    os.chdir(Path(lease).parent)
    confine(memory_mb=memory_mb, nice=nice)
    os.execv(command[0], command)  # noqa: S606 - the command comes from the executor, word by word


if __name__ == "__main__":
    _launch(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
