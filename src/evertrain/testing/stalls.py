"""When those who ask and those who answer could not run: a machine that stands still says nothing of either.

Linux counts for each thread how long it could have run and did not (schedstat); elsewhere only the time in which who
asks stood still is known.
"""

import time
from bisect import bisect_left, bisect_right
from pathlib import Path

from evertrain.store.process import Role, alive, heartbeats
from evertrain.store.state import State

__all__ = ["Stalls"]

_OWN_S = 0.1
_LOOK_S = 0.1
_ACTS: tuple[Role, ...] = ("controller", "worker")
"""An order goes from the controller to the workers, one after the other; the last of these is who counts."""


class Stalls:
    """The stalls of whoever looks all the time, and of the processes of an installation that obey an order."""

    def __init__(self, state: State | None) -> None:
        self._state = state
        self._seen = self._looked = time.monotonic()
        self._own: list[tuple[float, float]] = []
        self._waited: dict[tuple[Role, int], list[tuple[float, float]]] = {}

    def look(self) -> None:
        """To be called every few milliseconds."""
        now = time.monotonic()
        if now - self._seen > _OWN_S:
            self._own.append((self._seen, now))
        self._seen = now
        if self._state is not None and now - self._looked > _LOOK_S:
            self._looked = now
            self._note(self._state, now)

    def between(self, begin: float, end: float) -> float:
        """How many seconds of this time who looks stood still, or who had to act waited for a processor."""
        stood = sum(max(0.0, min(over, end) - max(begun, begin)) for begun, over in self._own)
        waited = {key: _rise(looks, begin, end) for key, looks in self._waited.items()}
        return stood + sum(
            max((much for (role, _), much in waited.items() if role == one), default=0.0) for one in _ACTS
        )

    def _note(self, state: State, now: float) -> None:
        for one in heartbeats(state):
            if one.role in _ACTS and alive(one):
                try:
                    waited_ns = int(Path(f"/proc/{one.pid}/schedstat").read_bytes().split()[1])
                except (OSError, IndexError):
                    continue
                self._waited.setdefault((one.role, one.pid), []).append((now, waited_ns / 1e9))


def _rise(looks: list[tuple[float, float]], begin: float, end: float) -> float:
    """By how much a growing figure grew from the last look before a time to the first one after it.

    >>> _rise([(0.0, 1.0), (1.0, 1.5), (2.0, 3.0), (3.0, 9.0)], 1.2, 1.9)
    1.5
    """
    first = max(0, bisect_right(looks, begin, key=lambda look: look[0]) - 1)
    last = min(len(looks) - 1, bisect_left(looks, end, key=lambda look: look[0]))
    return max(0.0, looks[last][1] - looks[first][1])
