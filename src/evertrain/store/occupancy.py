"""How many connections each worker of one port holds: a page of memory that they share, `serving/occupancy`.

    places  128 of 16 bytes: connections held now, plus one (0: nobody takes any), and connections ever taken

A worker writes its own place alone, which nobody else has while it lives: the lock is the kernel's and ends with the
process. What a killed worker wrote stays until its place is claimed again; that no place changes tells that nobody is
there.
"""

import fcntl
import mmap
import os
from pathlib import Path
from typing import NamedTuple

from evertrain.errors import CapacityError
from evertrain.store.state import State

__all__ = ["Occupancy", "Place"]

_PLACES, _WORDS = 128, 2
_SIZE = _PLACES * _WORDS * 8


class Place(NamedTuple):
    """What one worker says of itself: connections that it holds, and how many it ever took."""

    held: int
    taken: int


class Occupancy:
    """The place of one worker, and a view of the others'. One object serves one thread."""

    def __init__(self, path: Path | None = None) -> None:
        """Claim a place; CapacityError when 128 workers live already. None: there is nobody else, and no file."""
        self._handle = -1 if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._place = 0 if path is None else self._claim()
            self._map = mmap.mmap(self._handle, _SIZE)
        except BaseException:
            self._let_go()
            raise
        self._words = memoryview(self._map).cast("q")
        self._taken = 0
        self.retire()

    @classmethod
    def of(cls, state: State) -> "Occupancy":
        """The place of the calling worker among all of an installation."""
        return cls(state.path / "serving" / "occupancy")

    def say(self, held: int, *, took: bool = False) -> None:
        """Say how many connections are held now; took: one of them was taken just now."""
        self._taken += took
        self._words[self._place * _WORDS] = held + 1
        self._words[self._place * _WORDS + 1] = self._taken

    def retire(self) -> None:
        """Take no connections (any more): nobody leaves any to this worker."""
        self._words[self._place * _WORDS] = 0

    def others(self) -> dict[int, Place]:
        """The places of the others that take connections, or did until they were killed, by number."""
        words = self._words.tolist()
        return {
            number: Place(words[number * _WORDS] - 1, words[number * _WORDS + 1])
            for number in range(_PLACES)
            if words[number * _WORDS] and number != self._place
        }

    def close(self) -> None:
        """Give the place back."""
        self.retire()
        self._words.release()
        self._map.close()
        self._let_go()

    def _claim(self) -> int:
        if os.fstat(self._handle).st_size < _SIZE:
            # Written, not only cut to length: a hole in a full disk would be a signal later.
            os.pwrite(self._handle, bytes(_SIZE), 0)
        for number in range(_PLACES):
            try:
                fcntl.lockf(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
            except (BlockingIOError, PermissionError):
                continue
            return number
        raise CapacityError(f"{_PLACES} workers live already.", "End those that are left over.")

    def _let_go(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
