"""How much room a disk leaves to the prediction log, and what gives way when it gets scarce: trials first, users last.

    enough  everything goes its way
    low     people are told
    short   the next segment cannot be reserved: nothing goes to versions on trial, and the champion answers for them
    full    the last segment is full as well: whatever would have to be logged is refused

Nothing that was answered is lost on any of these steps, and each of them is left again as soon as there is room.
"""

import errno
import os
from pathlib import Path
from typing import Final, Literal

import msgspec

__all__ = ["LEVELS", "NO_ROOM", "Level", "Room", "free_bytes"]

Level = Literal["enough", "low", "short", "full"]
LEVELS: Final[tuple[Level, ...]] = ("enough", "low", "short", "full")
"""In the order of what gives way."""

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What a system says of a disk that takes nothing now, and may again."""


class Room(msgspec.Struct, frozen=True):
    """How a disk stands. says: why, and what follows; "" while there is enough."""

    level: Level = "enough"
    says: str = ""

    @property
    def for_trials(self) -> bool:
        """Whether requests may go to versions on trial."""
        return self.level in ("enough", "low")


def free_bytes(place: Path | int) -> int:
    """Bytes that this user may still take of the disk of a path, or of an open file; 0 of one that is gone."""
    try:
        disk = os.statvfs(place)
    except OSError:
        return 0
    return disk.f_bavail * disk.f_frsize
