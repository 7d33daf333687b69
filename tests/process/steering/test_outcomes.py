"""Outcomes of one table are counted whether or not anybody asked about them."""

from datetime import timedelta
from pathlib import Path

import polars as pl

import evertrain as et
from evertrain.config.declaration import ServiceSpec
from evertrain.core.time import DAY, Instant, parse_instant, to_datetime
from evertrain.process.steering.outcomes import Outcomes
from evertrain.store.state import State
from evertrain.store.table import TIME, Table

BEGIN = parse_instant("2024-05-01T00:00:00Z")


def train(data: et.TrainingSet, run: et.Run) -> None:
    """A recipe that is declared and never run."""


def service() -> ServiceSpec:
    columns = {"id": "string", "t": "timestamp", "bad": "bool?"}
    orders = et.Source("orders", et.files("o.csv"), key="id", event_time="t", columns=columns)
    asked = et.Examples(orders, key="id", at="t", request=["t"])
    label = et.Label(source=orders, of=asked, value="bad", horizon="1d")
    return et.Service("orders", examples=asked, label=label, train=train)


def rows(first: int, count: int, *, known: bool = True) -> pl.DataFrame:
    """One order a day from the `first` on, each known at once."""
    days = [to_datetime(BEGIN) + timedelta(days=number) for number in range(first, first + count)]
    names = [f"o{number}" for number in range(first, first + count)]
    frame = pl.DataFrame(
        {"id": names, "t": days, "bad": pl.Series([True if known else None] * count, dtype=pl.Boolean)}
    )
    return frame.with_columns(pl.col("t").cast(TIME), pl.col("t").cast(TIME).alias("_known_at"))


def test_what_came_to_count_since_then_is_counted_anew_after_each_commit(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    table = Table(state.tables, "source.orders")
    now = Instant(BEGIN + 8 * DAY)
    assert Outcomes(state).count(service(), BEGIN, now) == 0
    table.append(pl.concat([rows(0, 10), rows(10, 5, known=False)]), writer="test", sequence=0)
    assert Outcomes(state).count(service(), BEGIN, now) == 8
    assert Outcomes(state).count(service(), Instant(BEGIN + 6 * DAY), now) == 2
    table.append(rows(20, 3), writer="test", sequence=1)
    assert Outcomes(state).count(service(), BEGIN, Instant(BEGIN + 90 * DAY)) == 13
