"""The business clock: the system's, or one that a story advances in a small shared file.

Business time dates events, labels, triggers and maturity. Latencies, deadlines and leases use the monotonic clock and
never this one.
"""

import mmap
import os
import time
from pathlib import Path
from typing import Protocol

from evertrain.core.time import Instant, say_instant
from evertrain.errors import IntegrityError
from evertrain.store.file import write_atomically

__all__ = ["BusinessClock", "StoryClock", "SystemClock", "business_clock"]


class BusinessClock(Protocol):
    """Tells the business time."""

    def now(self) -> Instant: ...


class SystemClock:
    """The time of the machine."""

    def now(self) -> Instant:
        return Instant(time.time_ns() // 1000)


_MAGIC = int.from_bytes(b"evclock1", "big")
_MAGIC_AT, _NOW, _GENERATION, _DELIVERED, _DATA_SETTLED, _CONTROL_SETTLED, _CONTROL_DUE = range(7)
_SIZE = 4096


class StoryClock:
    """A business clock that stands still until the story advances it. One writer a field; any number of readers.

    now: the story's time; generation: how often it was advanced; delivered: the rows and labels of this hour, and of
    those before it, have arrived (all written by the story, which may be an hour ahead with what it delivers).
    data_settled: all that was delivered for the hours up to this one is visible online (written by the data process).
    control_settled: every action that was due by then is done (written by the controller).
    control_due: when the controller has the next action to do, however far off (written by the controller).

    Each field is one aligned machine word: a reader sees the old value or the new one, never a mixture.
    """

    def __init__(self, path: Path) -> None:
        """Map a clock that stands; FileNotFoundError when there is none."""
        with path.open("r+b") as file:
            if os.fstat(file.fileno()).st_size < _SIZE:
                raise IntegrityError(f"{path} is not a story clock.", "Remove it, or start the story again.")
            self._words = memoryview(mmap.mmap(file.fileno(), _SIZE)).cast("q")
        if self._words[_MAGIC_AT] != _MAGIC:
            raise IntegrityError(f"{path} is not a story clock.", "Remove it, or start the story again.")

    @classmethod
    def create(cls, path: Path, at: Instant) -> "StoryClock":
        """A clock that shows `at`, with what is known by then delivered but not taken in yet. It appears whole, and
        replaces one that stands.

        A process that mapped the old one keeps the old one: create the clock before the processes start.
        """
        words = memoryview(bytearray(_SIZE)).cast("q")
        words[_MAGIC_AT], words[_NOW] = _MAGIC, at
        words[_CONTROL_SETTLED] = words[_CONTROL_DUE] = words[_DELIVERED] = at
        words[_DATA_SETTLED] = at - 1
        write_atomically(path, words.tobytes())
        return cls(path)

    def now(self) -> Instant:
        return Instant(self._words[_NOW])

    def advance(self, at: Instant) -> None:
        """Show `at`: what belongs to that hour has been delivered. Business time of a story never goes back."""
        if at < self._words[_NOW]:
            raise ValueError(f"A story at {say_instant(self._words[_NOW])} cannot go back to {say_instant(at)}")
        self._words[_NOW] = at
        self._words[_DELIVERED] = max(at, self._words[_DELIVERED])
        self._words[_GENERATION] += 1

    @property
    def generation(self) -> int:
        return self._words[_GENERATION]

    @property
    def delivered(self) -> Instant:
        return Instant(self._words[_DELIVERED])

    @delivered.setter
    def delivered(self, at: Instant) -> None:
        self._words[_DELIVERED] = at

    @property
    def data_settled(self) -> Instant:
        return Instant(self._words[_DATA_SETTLED])

    @data_settled.setter
    def data_settled(self, at: Instant) -> None:
        self._words[_DATA_SETTLED] = at

    @property
    def control_settled(self) -> Instant:
        return Instant(self._words[_CONTROL_SETTLED])

    @control_settled.setter
    def control_settled(self, at: Instant) -> None:
        self._words[_CONTROL_SETTLED] = at

    @property
    def control_due(self) -> Instant:
        return Instant(self._words[_CONTROL_DUE])

    @control_due.setter
    def control_due(self, at: Instant) -> None:
        self._words[_CONTROL_DUE] = at


def business_clock(path: Path) -> BusinessClock:
    """The story's clock when one stands at `path` (the state's `serving/clock`), else the system's."""
    try:
        return StoryClock(path)
    except FileNotFoundError:
        return SystemClock()
