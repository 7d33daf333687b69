"""Cumulative totals by entity over time, read as of any instant."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Timeline"]

_ROOM = 2**62


class Timeline:
    """Totals of integer weights (n, m) of events at `times` of entities `codes` (0 ... entities - 1).

    Entity and time are packed into one integer, so that one binary search finds an entity's totals as of an instant;
    where the times span too much for that, their ranks take their place.
    """

    def __init__(
        self, codes: NDArray[np.int64], times: NDArray[np.int64], weights: NDArray[np.int64], entities: int
    ) -> None:
        self._low = int(times.min()) if len(times) else 0
        self._width = (int(times.max()) if len(times) else 0) - self._low + 1
        self._ranks: NDArray[np.int64] | None = None
        if self._width * (entities + 1) > _ROOM:
            self._ranks = np.unique(times)
            self._low, self._width = 0, len(self._ranks)
        packed = self._pack(codes, times)
        if np.any(packed[1:] < packed[:-1]):
            order = np.argsort(packed, kind="stable")
            packed, weights = packed[order], weights[order]
        self._packed = packed
        self._totals = np.zeros((len(packed) + 1, weights.shape[1]), dtype=np.int64)
        np.cumsum(weights, axis=0, out=self._totals[1:])
        starts = np.searchsorted(packed, np.arange(entities, dtype=np.int64) * self._width, side="left")
        self._before = self._totals[starts]

    def _pack(self, codes: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._ranks is not None:
            times = np.searchsorted(self._ranks, times, side="right") - 1
        return codes * self._width + np.clip(times - self._low, -1, self._width - 1)

    def at(self, codes: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Totals (k, m) of each entity's events at or before each instant; zeros where the code is -1 (unknown)."""
        unknown = codes < 0
        found = np.searchsorted(self._packed, self._pack(codes, times), side="right")
        if not len(self._before):
            return np.zeros((len(codes), self._totals.shape[1]), dtype=np.int64)
        totals = self._totals[found] - self._before[np.maximum(codes, 0)]
        totals[unknown] = 0
        return totals
