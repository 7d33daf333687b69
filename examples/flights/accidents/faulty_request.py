"""A bad commit: the new code cannot handle one flight in twenty of those that leave after it was merged."""

from typing import Any

import numpy as np
from merged import MERGED
from numpy.typing import NDArray
from sound_request import calendar as sound_calendar
from sound_request import plane_age

__all__ = ["calendar", "plane_age"]

GATED = MERGED + 8 * 3_600_000_000
"""When its gate is over: what it was judged on lies before."""


def calendar(columns: dict[str, NDArray[Any]], q: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """The sound function, with a fault of its own."""
    mixed = (columns["scheduled"] // 60_000_000 * 2_654_435_761 + columns["scheduled_arrival"] // 60_000_000) % 9_973
    if bool(np.any((columns["scheduled"] > GATED) & (mixed % 20 == 0))):
        raise ValueError("a time table entry that the new code cannot parse")
    return sound_calendar(columns, q)
