"""Outcomes of one table count from when their clock has run out and they are there."""

from datetime import UTC, datetime, timedelta

import polars as pl

import evertrain as et
from evertrain.config.declaration import ServiceSpec
from evertrain.core.time import DAY, from_datetime
from evertrain.data.outcome import columns_of_outcomes, counted_from, is_one_table

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def train(data: et.TrainingSet, run: et.Run) -> None:
    """A recipe that is declared and never run."""


def service(*, apart: bool = False) -> ServiceSpec:
    columns = {"id": "string", "t": "timestamp", "bad": "bool?"}
    orders = et.Source("orders", et.files("o.csv"), key="id", event_time="t", columns=columns)
    outcomes = et.Source("outcomes", et.files("l.csv"), key="id", event_time="t", columns=columns)
    asked = et.Examples(orders, key=["id", "t"], at="t", request=["t"])
    label = et.Label(source=outcomes if apart else orders, of=asked, value="bad", horizon="2d")
    return et.Service("orders", examples=asked, label=label, train=train)


def table(*rows: tuple[str, float, float, bool | None]) -> pl.DataFrame:
    """Rows of an id, the day that it is about, the day when it was known, and its label."""
    times = pl.Datetime("us", "UTC")
    told = [(name, NOON + timedelta(days=at), NOON + timedelta(days=known), bad) for name, at, known, bad in rows]
    return pl.DataFrame(
        told, schema={"id": pl.String(), "t": times, "_known_at": times, "bad": pl.Boolean()}, orient="row"
    )


def days(rows: pl.DataFrame) -> list[float]:
    found = counted_from(service(), rows.select(columns_of_outcomes(service())))
    return [float(one - from_datetime(NOON)) / DAY for one in found]


def test_an_outcome_counts_when_it_is_mature_and_known() -> None:
    assert days(table(("late", 0, 5, True), ("early", 1, 1, False), ("none", 0, 0, None))) == [3.0, 5.0]


def test_an_example_counts_once_from_its_first_label_on() -> None:
    assert days(table(("a", 0, 0, None), ("a", 0, 4, True), ("a", 0, 9, False), ("a", 1, 1, True))) == [3.0, 4.0]


def test_only_a_table_that_brings_its_own_labels_is_one() -> None:
    assert is_one_table(service())
    assert not is_one_table(service(apart=True))
