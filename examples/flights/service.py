"""Will a flight from New York arrive 15 minutes late or more, or not at all, as known two hours before it leaves?

This file is the whole declaration: what comes in, what one prediction is, what is learned from, and under which rules
a new model replaces the old one. Start it with `evertrain up service.py`.
"""

import polars as pl
from recipe import train
from request import calendar, plane_age

import evertrain as et

# What comes in -------------------------------------------------------------------------------------------------------

FLIGHT = {"flight_id": "string", "carrier": "string", "flight": "int64", "origin": "string"}
ORIGINS = et.one_of("origin", ["EWR", "JFK", "LGA"])


def without_impossible_wind(weather: pl.LazyFrame) -> pl.LazyFrame:
    """A wind above 150 miles an hour is an error of the instrument."""
    return weather.with_columns(pl.when(pl.col("wind_speed") <= 150).then("wind_speed").alias("wind_speed"))


schedule = et.Source(
    "schedule",
    et.files("data/schedule/*/*.arrows"),
    key="flight_id",
    event_time="scheduled",
    known_at="scheduled - 30d",
    columns=FLIGHT
    | {
        "dest": "string",
        "scheduled": "timestamp",
        "scheduled_arrival": "timestamp",
        "distance": "int64",
        "hour": "timestamp",
    },
    checks=[ORIGINS, et.between("distance", 0, 6000)],
    owner="timetable",
)

departures = et.Source(
    "departures",
    et.files("data/departures/*/*.arrows"),
    key="flight_id",
    event_time="departed",
    columns=FLIGHT | {"tailnum": "string?", "scheduled": "timestamp", "departed": "timestamp", "dep_delay": "int64"},
    checks=[ORIGINS],
    owner="operations",
    fresh_within="12h",
)

landings = et.Source(
    "landings",
    et.files("data/landings/*/*.arrows"),
    key="flight_id",
    event_time="landed",
    columns=FLIGHT | {"landed": "timestamp", "arr_delay": "int64"},
    checks=[ORIGINS],
    owner="operations",
    fresh_within="12h",
)

outcomes = et.Source(
    "outcomes",
    et.files("data/outcomes/*/*.arrows"),
    key="flight_id",
    event_time="certain",
    columns=FLIGHT | {"dest": "string", "late": "bool", "certain": "timestamp"},
    owner="operations",
)

weather = et.Source(
    "weather",
    et.files("data/weather/*/*.arrows"),
    key=["origin", "hour"],
    event_time="hour",
    known_after="90m",
    columns={
        "origin": "string",
        "hour": "timestamp",
        "temp": "float64?",
        "dewp": "float64?",
        "humid": "float64?",
        "wind_dir": "int64?",
        "wind_speed": "float64?",
        "wind_gust": "float64?",
        "precip": "float64?",
        "pressure": "float64?",
        "visib": "float64?",
        "precip_hundredths": "int64?",
        "low_visibility": "bool?",
    },
    clean=without_impossible_wind,
    checks=[ORIGINS],
    owner="weather-desk",
    fresh_within="6h",
)

planes = et.Source(
    "planes",
    et.files("data/planes/*/*.arrows"),
    key="tailnum",
    event_time="since",
    columns={"tailnum": "string", "since": "timestamp", "year": "int64?", "seats": "int64?"},
    owner="registry",
)

# What one prediction is, and how it turns out ------------------------------------------------------------------------

flights = et.Examples(
    schedule,
    key="flight_id",
    at="scheduled - 2h",
    request=["flight_id", "carrier", "flight", "origin", "dest", "scheduled", "scheduled_arrival", "distance"],
)

late = et.Label(source=outcomes, of=flights, value="late", mature_at="scheduled_arrival + 15m")

# What the model sees, as known at the prediction time ----------------------------------------------------------------

NUMBER = ["carrier", "flight"]

features = [
    # The request
    et.column("carrier", "origin", "dest", "distance"),
    et.request_features(
        calendar,
        inputs=["scheduled", "scheduled_arrival"],
        outputs=["day_of_week", "minute_of_day", "scheduled_elapsed", "days_to_holiday", "_hour", "_year"],
    ),
    et.windows(schedule, "count as same_hour", entity={"origin": "origin", "_hour": "hour"}, over="known"),
    # The weather, last observed at the origin
    et.latest(
        weather,
        entity="origin",
        columns=["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"],
        ttl="6h",
        age="minutes_since_observation",
    ),
    et.windows(weather, entity="origin", over="known", scale=100, precip_hundredths="sum 6h as precip_6h"),
    et.windows(weather, "count 6h as low_visibility_6h", entity="origin", over="known", where="low_visibility"),
    # The same flight number on the days before
    et.latest(
        departures,
        entity=NUMBER,
        then=et.latest(planes, entity="tailnum", columns={"year": "_plane_year", "seats": "plane_seats"}),
    ),
    et.request_features(plane_age, inputs=["_year", "_plane_year"], outputs="plane_age"),
    et.latest(landings, entity=NUMBER, columns={"arr_delay": "last_arrival_delay"}),
    et.windows(
        outcomes, "count 30d as number_flown_30d", entity=NUMBER, over="known", late="rate 30d as number_late_30d"
    ),
    # What goes on at the origin
    et.windows(
        departures, "count 2h as departed_2h", entity="origin", over="known", dep_delay="mean 2h as departure_delay_2h"
    ),
    et.open_count(
        "waiting", opened=schedule, closed=departures, opens="scheduled", entity="origin", start="3h", end="15m"
    ),
    et.windows(
        landings, "count 4h as landed_4h", entity="origin", over="known", arr_delay="mean 4h as arrival_delay_4h"
    ),
    et.windows(outcomes, entity="origin", over="known", late="rate 6h as origin_late_6h"),
    # How late flights are, as far as it is known
    et.windows(outcomes, entity=["origin", "carrier"], over="known", late="rate 24h as carrier_late_24h"),
    et.windows(outcomes, entity="dest", over="known", late="rate 24h as dest_late_24h"),
    et.windows(outcomes, over="known", late=["rate 24h as late_24h", "rate 7d as late_7d"]),
]

# How it learns, and when a new model may take over -------------------------------------------------------------------

service = et.Service(
    "late-flights",
    examples=flights,
    label=late,
    features=features,
    categories=["carrier", "origin", "dest"],
    train=et.Recipe(train, duration="6h"),
    segments=["origin", "carrier"],
    triggers=[et.every("35d"), et.rows(40_000), et.performance("log_loss", drop=0.15, window="7d", min_labels=2_000)],
    gate=et.Gate(
        primary="log_loss", margin=0.015, anchor_margin=0.03, holdout="7d", block="6h", protect="origin", max_p99="20ms"
    ),
    rollout=et.Canary(steps=[0.05, 0.25, 0.5], margin=0.01, max_bad_answers=50),
    owner="ml-team",
    cooldown="10d",
)
