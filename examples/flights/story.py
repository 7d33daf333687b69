"""The year 2013 as a story: each flight is asked for two hours before it leaves, everything arrives when it is known.

The schedule is published thirty days ahead, the weather comes ninety minutes late, a departure and a landing when they
happen, and the outcome of a flight when it is certain. Two accidents are planted: a commit that trains on inverted
labels, and one whose feature code raises for some of the flights after it was merged.
"""

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import polars as pl
from prepare import ORIGIN_ZONE, read_sources

from evertrain.core.identity import ServiceName
from evertrain.core.time import DAY, HOUR, MINUTE, Instant, from_datetime
from evertrain.story.script import Accident, Asked, HourOfStory, Outcome

__all__ = ["FlightStory", "script"]

HERE = Path(__file__).parent
HISTORY_DAYS = 36
AHEAD = 30 * DAY
LEAD = 2 * HOUR
WARM_UP = DAY
DRAIN = 8 * HOUR

REQUEST = ["flight_id", "carrier", "flight", "origin", "dest", "scheduled", "scheduled_arrival", "distance"]

# When a row of a source is known: its event time moved by so much.
KNOWN = {
    "schedule": ("scheduled", -AHEAD),
    "departures": ("departed", 0),
    "landings": ("landed", 0),
    "outcomes": ("certain", 0),
    "weather": ("hour", 90 * MINUTE),
    "planes": ("since", 0),
}


class Arrivals:
    """The rows of one source in the order in which they become known."""

    def __init__(self, frame: pl.DataFrame, column: str, lag: int) -> None:
        known = frame[column].dt.epoch("us").to_numpy() + lag
        order = np.argsort(known, kind="stable")
        self.frame = frame[order]
        self._known = known[order]

    def between(self, start: int, end: int) -> pl.DataFrame:
        """The rows that become known in [start, end)."""
        low, high = np.searchsorted(self._known, [start, end])
        return self.frame[int(low) : int(high)]


class FlightStory:
    """Live days from 6 February 2013 on, New York's time, told hour by hour."""

    service = ServiceName("late-flights")
    declaration = HERE / "service.py"

    def __init__(self, days: int | None, folder: Path) -> None:
        midnight = datetime(2013, 1, 1, tzinfo=ZoneInfo(ORIGIN_ZONE))
        self.first = Instant(from_datetime(midnight) + HISTORY_DAYS * DAY)
        self.begin = Instant(self.first - WARM_UP)
        year_ends = from_datetime(datetime(2014, 1, 1, tzinfo=ZoneInfo(ORIGIN_ZONE)))
        self.last = year_ends if days is None else min(year_ends, Instant(self.first + days * DAY))
        drained = self.last + DRAIN
        self.drained = Instant(drained - drained % DAY + DAY + HOUR)
        self._folder = folder
        self.accidents: Sequence[Accident] = _accidents(self.first, self.last)
        frames = read_sources()
        asked = frames["schedule"].with_columns(at=pl.col("scheduled").dt.epoch("us") - LEAD)
        asked = asked.filter(pl.col("at") >= self.first, pl.col("at") < self.last).sort("at", "flight_id")
        self._asked = asked["at"].to_numpy()
        self._rows = asked.select(
            *(pl.col(name).dt.epoch("us") if asked[name].dtype == pl.Datetime else pl.col(name) for name in REQUEST)
        )
        answered = frames["outcomes"]["flight_id"].is_in(asked["flight_id"].implode())
        self._labels = Arrivals(frames["outcomes"].filter(answered), "certain", 0)
        frames["outcomes"] = frames["outcomes"].filter(~answered)
        self._arrivals = {name: Arrivals(frame, *KNOWN[name]) for name, frame in frames.items()}

    @property
    def requests(self) -> int:
        """How many flights are asked for."""
        return len(self._asked)

    def commit(self, accident: Accident, at: Instant) -> Path:
        """A copy of the declaration with a file replaced; the sound one stays as `sound_<name>`."""
        folder, replaced = self._folder / accident.name, COMMITS[accident.name]
        folder.mkdir(parents=True, exist_ok=True)
        for file in ("service.py", "recipe.py", "request.py"):
            shutil.copyfile(HERE / file, folder / (f"sound_{file}" if file in replaced else file))
        for file, source in replaced.items():
            shutil.copyfile(HERE / source, folder / file)
        (folder / "merged.py").write_text(f'"""When this commit was merged, in microseconds."""\n\nMERGED = {at}\n')
        return folder / "service.py"

    def history(self) -> Mapping[str, pl.DataFrame]:
        """Rows by source that are known when the clock starts."""
        known = {name: arrivals.between(0, self.begin) for name, arrivals in self._arrivals.items()}
        known["schedule"] = self._arrivals["schedule"].between(0, self.begin - self.begin % DAY + DAY)
        return known

    def hour(self, at: Instant) -> HourOfStory:
        """What comes in [at, at + 1h)."""
        end = at + HOUR
        frames = {name: arrivals.between(at, end) for name, arrivals in self._arrivals.items() if name != "schedule"}
        if at % DAY == 0:
            # The time table is published once a day, and long before anybody asks.
            frames["schedule"] = self._arrivals["schedule"].between(at, at + DAY)
        labels = self._labels.between(at, end).select("flight_id", "late", pl.col("certain").dt.epoch("us"))
        low, high = np.searchsorted(self._asked, [at, end])
        asked = self._rows[int(low) : int(high)].to_dicts()
        times = self._asked[int(low) : int(high)].tolist()
        return HourOfStory(
            {name: frame for name, frame in frames.items() if frame.height},
            [Outcome(key, float(late), Instant(known)) for key, late, known in labels.iter_rows()],
            [
                Asked(row["flight_id"], Instant(moment), msgspec.json.encode(row))
                for row, moment in zip(asked, times, strict=True)
            ],
        )


COMMITS = {
    "inverted": {"recipe.py": "accidents/inverted_recipe.py"},
    "faulty": {"request.py": "accidents/faulty_request.py"},
}
"""The two bad commits: which file each replaces by which."""


def _accidents(first: Instant, last: Instant) -> Sequence[Accident]:
    """Two bad commits, six days apart. A story that is too short for one leaves it out."""
    midnight = first - first % DAY + DAY
    planted = [
        Accident(
            name="inverted",
            at=Instant(midnight + 36 * DAY),
            expect="refused",
            reason="A commit that trains on inverted labels was merged.",
        ),
        Accident(
            name="faulty",
            at=Instant(midnight + 42 * DAY),
            expect="rolled_back",
            reason="A commit whose feature code raises for some flights was merged.",
        ),
    ]
    return [accident for accident in planted if accident.at + 10 * DAY <= last]


def script(days: int | None, folder: Path) -> FlightStory:
    """The story of so many live days (None: to the end of the year); its bad commits are written under `folder`."""
    return FlightStory(days, folder)
