"""The flights' request functions against the standard library, across both changes of the clock."""

import importlib
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import numpy as np

NEW_YORK = ZoneInfo("America/New_York")
MINUTE = timedelta(minutes=1)


def nearest(day: date) -> int:
    """Days to the nearest holiday; the later one on ties, at most 8 either way."""
    known = holidays.country_holidays("US", years=range(day.year - 1, day.year + 2), observed=False)
    distance = min(((one - day).days for one in known), key=lambda days: (abs(days), -days))
    return max(-8, min(8, distance))


def test_local_days_and_minutes_are_those_of_new_york(flights: Any) -> None:
    calendar = importlib.import_module("request").calendar
    moments = [
        datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=hour, minutes=hour % 60) for hour in range(0, 8800, 3)
    ]
    moments += [datetime(2013, 3, 10, 6, 59, tzinfo=UTC) + number * MINUTE for number in range(3)]
    moments += [datetime(2013, 11, 3, 5, 59, tzinfo=UTC) + number * MINUTE for number in range(3)]
    scheduled = np.array([int(moment.timestamp()) * 1_000_000 for moment in moments], dtype=np.int64)
    columns = {"scheduled": scheduled, "scheduled_arrival": scheduled + 95 * 60_000_000}
    computed = calendar(columns, scheduled)
    for number, moment in enumerate(moments):
        local = moment.astimezone(NEW_YORK)
        assert computed["day_of_week"][number] == local.weekday()
        assert computed["minute_of_day"][number] == local.hour * 60 + local.minute
        assert computed["_year"][number] == local.year
        assert computed["days_to_holiday"][number] == nearest(local.date())
        assert computed["scheduled_elapsed"][number] == 95
