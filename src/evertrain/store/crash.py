"""Named crash points, so that recovery can be tested where it is hardest.

`EVERTRAIN_CRASH_AT=<name>` makes the process kill itself with SIGKILL when it reaches that point; `<name>:3` on the
third time. Nothing is flushed, no handler runs: the same as a power supply that is pulled from this process alone.
"""

import os
import signal

__all__ = ["crash_point"]

_passed: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Die here when the environment says so; otherwise cost nothing."""
    wanted = os.environ.get("EVERTRAIN_CRASH_AT")
    if wanted is None:
        return
    point, _, count = wanted.partition(":")
    if point != name:
        return
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] >= int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)
