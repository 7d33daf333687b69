"""Whether there is memory for as many workers again as there are: what they take, against what the machine can give."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

__all__ = ["free_memory", "room_for_twice"]

_MIB = 1 << 20
_GROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_SPARE = 0.1
"""Of what the workers take now: new ones load a version more before they answer."""


def room_for_twice(pids: Iterable[int], free: int) -> str:
    """Why `free` bytes are too few for these processes once more, "" where they are enough.

    >>> room_for_twice([], 0)
    ''
    """
    taken = sum(_resident(pid) for pid in pids)
    needed = round(taken * (1 + _SPARE))
    if needed <= free:
        return ""
    return f"they need about {needed // _MIB} MiB, as those that answer, and {free // _MIB} MiB are free"


def free_memory(groups: Path = _GROUPS, own: Path = _OWN) -> int:
    """Bytes that can be had: of the machine, and of each control group that this process is in.

    groups: where the groups are mounted; own: the file that names the process's group.
    """
    return min([int(psutil.virtual_memory().available), *_left_in_groups(groups, own)])


def _left_in_groups(groups: Path, own: Path) -> Iterator[int]:
    """What each group with a limit leaves. Files that are only kept in memory give way."""
    inner = ""
    if own.is_file():
        inner = next((line[3:].strip().strip("/") for line in own.read_text().splitlines() if line[:3] == "0::"), "")
    folder = groups / inner
    for group in (folder, *folder.parents):
        if group != groups and groups not in group.parents:
            return
        most, now = _number(group / "memory.max"), _number(group / "memory.current")
        if most is not None and now is not None:
            yield max(0, most - now + _kept_files(group / "memory.stat"))


def _kept_files(stat: Path) -> int:
    if not stat.is_file():
        return 0
    words = (line.split() for line in stat.read_text().splitlines())
    return sum(int(value) for name, value in words if name == "inactive_file")


def _number(path: Path) -> int | None:
    """The number in a file; None where it says "max", or is not there."""
    if not path.is_file():
        return None
    text = path.read_text().strip()
    return int(text) if text.isdecimal() else None


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0  # it has ended meanwhile
