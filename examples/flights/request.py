"""Features that follow from the request alone. Each function takes arrays, n rows offline and one row online."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
Integers = NDArray[np.int64]

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_ZONE = ZoneInfo("America/New_York")
_EPOCH = date(1970, 1, 1)
_YEARS = range(2010, 2036)
_FARTHEST = 8


def calendar(columns: Columns, _q: Integers) -> Columns:
    """Local day and time of the scheduled departure, and how long the flight is scheduled to take."""
    scheduled = columns["scheduled"]
    local = scheduled + _OFFSETS[_CHANGES.searchsorted(scheduled, side="right")]
    day = local // DAY
    place = np.minimum(np.maximum(day - _FIRST_DAY, 0), _DAYS[-1] - _FIRST_DAY)
    return {
        "day_of_week": (day + 3) % 7,
        "minute_of_day": local % DAY // MINUTE,
        "scheduled_elapsed": (columns["scheduled_arrival"] - scheduled) // MINUTE,
        "days_to_holiday": _HOLIDAYS[place],
        "_hour": scheduled // HOUR * HOUR,
        "_year": _YEAR[place],
    }


def plane_age(columns: Columns, _q: Integers) -> NDArray[np.float64]:
    """Years since the plane was built."""
    return columns["_year"] - columns["_plane_year"]


def _offsets() -> tuple[Integers, Integers]:
    """Instants at which New York's offset from UTC changes, and the offset before, between and after them.

    The offset changes at whole hours, and twice a year: days are looked at first, then the hours of those that differ.
    """
    changes, offsets = [], [_offset(datetime(_YEARS[0], 1, 1, tzinfo=UTC))]
    day = datetime(_YEARS[0], 1, 1, tzinfo=UTC)
    while day.year < _YEARS[-1]:
        if _offset(day + timedelta(days=1)) != offsets[-1]:
            hours = (day + timedelta(hours=hour) for hour in range(1, 25))
            change = next(hour for hour in hours if _offset(hour) != offsets[-1])
            changes.append(int(change.timestamp()) * 1_000_000)
            offsets.append(_offset(change))
        day += timedelta(days=1)
    return np.array(changes, dtype=np.int64), np.array(offsets, dtype=np.int64)


def _offset(at: datetime) -> int:
    local = at.astimezone(_ZONE).replace(tzinfo=UTC)
    return (local - at) // timedelta(microseconds=1)


def _nearest_holidays(days: Integers) -> Integers:
    """For each day, days to the nearest holiday (the later one on ties), at most 8 either way."""
    dates = sorted(holidays.country_holidays("US", years=_YEARS, observed=False))
    known = np.array([(one - _EPOCH).days for one in dates], dtype=np.int64)
    place = np.clip(np.searchsorted(known, days), 1, len(known) - 1)
    ahead, behind = known[place] - days, known[place - 1] - days
    return np.clip(np.where(ahead <= -behind, ahead, behind), -_FARTHEST, _FARTHEST)


_FIRST_DAY = (date(_YEARS[0], 1, 1) - _EPOCH).days
_LAST_DAY = (date(_YEARS[-1], 12, 31) - _EPOCH).days
_DAYS = np.arange(_FIRST_DAY, _LAST_DAY + 1)
_HOLIDAYS = _nearest_holidays(_DAYS)
_YEAR = _DAYS.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
_CHANGES, _OFFSETS = _offsets()
