"""A process and what it started: how much memory they hold, and how what it left behind is ended."""

import contextlib
import os
import signal

import psutil

__all__ = ["end_group", "resident"]


def resident(pid: int) -> int:
    """Bytes of resident memory of a process and all below it; what has ended meanwhile counts for nothing.

    A page that several of them share, as a process and its fork do, counts once where the system says so (Linux).
    """
    total = 0
    try:
        process = psutil.Process(pid)
        children = process.children(recursive=True)
        if not children:
            return int(process.memory_info().rss)
        for member in [process, *children]:
            found = member.memory_full_info()
            total += int(getattr(found, "pss", found.rss))
    except psutil.Error:
        return total
    return total


def end_group(pid: int) -> None:
    """SIGKILL the group that this process leads or led, and so what it forked and left running.

    A process that has been reaped may have given its number to a stranger: then nothing is done. While a group has
    members its number is nobody else's.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if not psutil.pid_exists(pid) or os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
