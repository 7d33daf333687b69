"""A process and what it started: how much memory they hold, and how what it left behind is ended."""

import contextlib
import os
import signal

import psutil

__all__ = ["end_below", "end_group", "resident"]


def resident(pid: int) -> int:
    """Bytes of resident memory of a process and its kin; what has ended meanwhile counts for nothing.

    A page that several of them share, as a process and its fork do, counts once where the system says so (Linux).
    """
    kin = _kin(pid)
    if len(kin) < 2:
        return sum(_bytes_of(one) for one in kin)
    return sum(_bytes_of(one, shared=True) for one in kin)


def end_below(pid: int) -> None:
    """SIGKILL the kin of a process, so that none is left when it is ended itself."""
    for one in _kin(pid):
        if one.pid != pid:
            with contextlib.suppress(psutil.Error):
                one.kill()


def end_group(pid: int) -> None:
    """SIGKILL the group that this process leads or led, and so what it forked and left running.

    A process that has been reaped may have given its number to a stranger: then nothing is done. While a group has
    members its number is nobody else's.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if not psutil.pid_exists(pid) or os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)


def _kin(pid: int) -> list[psutil.Process]:
    """A process, all below it, and its group: that tells a grandchild whose parent has ended, unless it made one of
    its own.
    """
    found: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        found = {one.pid: one for one in [process, *process.children(recursive=True)]}
    for other in psutil.pids():
        if other not in found and _group_of(other) == pid:
            with contextlib.suppress(psutil.Error):
                found[other] = psutil.Process(other)
    return list(found.values())


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _bytes_of(process: psutil.Process, *, shared: bool = False) -> int:
    with contextlib.suppress(psutil.Error):
        if not shared:
            return int(process.memory_info().rss)
        found = process.memory_full_info()
        return int(getattr(found, "pss", found.rss))
    return 0
