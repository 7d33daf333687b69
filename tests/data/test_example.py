"""Examples are the requests that would have been made; only what is mature is learned from."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl
import pytest

import evertrain as et
from evertrain.config.declaration import FunctionRef, ServiceSpec
from evertrain.core.identity import SourceName
from evertrain.core.time import Instant, from_datetime
from evertrain.data.example import examples, training_rows
from evertrain.errors import SourceError

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
LABELS, STOCKS = SourceName("labels"), SourceName("stocks")


def train(data: et.TrainingSet, run: et.Run) -> None:
    """A recipe that is declared and never run."""


def service() -> ServiceSpec:
    orders = et.Source(
        "labels",
        et.files("l.csv"),
        key="id",
        event_time="t",
        known_at="known",
        columns={"id": "string", "shop": "string", "t": "timestamp", "known": "timestamp", "bad": "bool"},
    )
    stocks = et.Source(
        "stocks",
        et.files("s.csv"),
        key=["shop"],
        event_time="t",
        columns={"shop": "string", "t": "timestamp", "stock": "int64"},
    )
    asked = et.Examples(orders, key="id", at="t", request=["shop", "t"])
    label = et.Label(source=orders, of=asked, value="bad", horizon="1h")
    stock = et.latest(stocks, entity="shop", columns=["stock"])
    return et.Service("stock", examples=asked, label=label, features=[stock], train=train)


def unasked(reference: FunctionRef) -> Any:
    raise AssertionError(reference)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def instant(minutes: float) -> Instant:
    return from_datetime(at(minutes))


def labels(*rows: tuple[str, str, datetime, datetime, bool]) -> pl.DataFrame:
    times = pl.Datetime("us", "UTC")
    schema = {"id": pl.String(), "shop": pl.String(), "t": times, "_known_at": times, "bad": pl.Boolean()}
    return pl.DataFrame(list(rows), schema=schema, orient="row").with_columns(known=pl.col("_known_at"))


def stocks() -> pl.DataFrame:
    rows = [("s1", at(-60), 5), ("s2", at(-30), 8), ("s1", at(1 / 60), 99)]
    return pl.DataFrame(rows, schema=["shop", "t", "stock"], orient="row").with_columns(
        pl.col("t").cast(pl.Datetime("us", "UTC"))
    )


def test_rows_that_share_entity_and_time_stay_apart() -> None:
    known = at(30)
    table = labels(("o1", "s1", NOON, known, True), ("o2", "s1", NOON, known, False), ("o3", "s2", NOON, known, False))
    mature = training_rows(service(), {LABELS: table, STOCKS: stocks()}, instant(60), unasked)
    assert mature.rows.select("key", "feature.stock", "label").rows() == [
        ("o1", 5, 1.0),
        ("o2", 5, 0.0),
        ("o3", 8, 0.0),
    ]
    assert (mature.missing, mature.immature) == (0, 0)


def test_a_label_known_early_waits_for_its_cohort() -> None:
    table = labels(("o1", "s1", NOON, at(1), False), ("o2", "s1", at(30), at(31), False))
    early = training_rows(service(), {LABELS: table, STOCKS: stocks()}, Instant(instant(60) - 1), unasked)
    assert (early.rows.height, early.immature) == (0, 2)
    due = training_rows(service(), {LABELS: table, STOCKS: stocks()}, instant(60), unasked)
    assert (due.rows["key"].to_list(), due.immature) == (["o1"], 1)


def test_a_mature_example_without_a_label_is_missing_and_not_negative() -> None:
    table = labels(("o1", "s1", NOON, at(500), True))
    mature = training_rows(service(), {LABELS: table, STOCKS: stocks()}, instant(120), unasked)
    assert mature.rows["label"].to_list() == [None]
    assert (mature.missing, mature.share_missing) == (1, 1.0)


def test_a_corrected_label_counts_from_when_it_was_known() -> None:
    table = labels(("o1", "s1", NOON, at(30), True), ("o1", "s1", NOON, at(90), False))
    tables = {LABELS: table, STOCKS: stocks()}
    before, after = (training_rows(service(), tables, instant(cut), unasked) for cut in (80, 90))
    assert (before.rows["label"].to_list(), after.rows["label"].to_list()) == ([1.0], [0.0])


def test_a_key_is_one_example_and_the_first_one_counts() -> None:
    table = labels(("o1", "s1", NOON, NOON, True), ("o1", "s2", at(5), at(5), False))
    assert examples(service(), table).select("key", "request.shop").rows() == [("o1", "s1")]


def test_a_class_is_a_place_among_those_declared_and_any_other_is_told() -> None:
    spec = msgspec.structs.replace(service(), output=et.classes("wet", "dry", "ice"))
    rows = [("o1", "s1", NOON, at(1), "wet"), ("o2", "s1", at(5), at(6), "dry"), ("o3", "s1", at(8), at(9), None)]
    times = pl.Datetime("us", "UTC")
    schema = {"id": pl.String(), "shop": pl.String(), "t": times, "_known_at": times, "bad": pl.String()}
    table = pl.DataFrame(rows, schema=schema, orient="row").with_columns(known=pl.col("_known_at"))
    found = training_rows(spec, {LABELS: table, STOCKS: stocks()}, instant(120), unasked)
    assert found.rows["label"].to_list() == [2.0, 0.0, None]
    fewer = msgspec.structs.replace(spec, output=et.classes("wet", "snow", "ice"))
    with pytest.raises(SourceError, match=r"1 labels of service 'stock' are none of its classes: 'dry'"):
        training_rows(fewer, {LABELS: table, STOCKS: stocks()}, instant(120), unasked)
