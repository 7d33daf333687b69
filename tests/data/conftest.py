"""A small shop with every kind of feature, and random histories of it in which every instant is close to another."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import strategies as st

from evertrain.config.declaration import (
    ExamplesSpec,
    FeatureSpec,
    LookupSpec,
    OpenSpec,
    RequestSpec,
    ServiceSpec,
    SourceSpec,
    WindowSpec,
)
from evertrain.core.identity import ServiceName, SourceName
from evertrain.core.schema import Column, Schema
from evertrain.core.time import Moment
from evertrain.testing.oracle import Row

VISITS, CLOSINGS, PLACES = SourceName("visits"), SourceName("closings"), SourceName("places")
SHOP = (("shop", "shop"),)
KINDS = {"string": pl.String, "int64": pl.Int64, "float64": pl.Float64, "bool": pl.Boolean, "timestamp": pl.Int64}


def _source(name: SourceName, **columns: str) -> SourceSpec:
    return SourceSpec(
        name=name,
        files="*.csv",
        key=("id",),
        event_time="t",
        known_at=Moment(column="t"),
        columns=tuple(
            Column(name=key, type=kind.rstrip("?"), nullable=kind.endswith("?"))  # type: ignore[arg-type]
            for key, kind in columns.items()
        ),
    )


SOURCES = (
    _source(VISITS, id="int64", t="timestamp", shop="string?", n="int64?", x="float64?", vip="bool?"),
    _source(CLOSINGS, id="int64", t="timestamp", shop="string?", opened="timestamp?"),
    _source(PLACES, id="int64", t="timestamp", shop="string?", town="string?"),
)


def window(output: str, fold: Any, start: int | None, column: str | None = None, **more: Any) -> WindowSpec:
    described = {"source": VISITS, "entity": SHOP} | more
    return WindowSpec(output=output, fold=fold, start=start, column=column, **described)


FEATURES: tuple[FeatureSpec, ...] = (
    RequestSpec(outputs=("shop",), inputs=("shop",)),
    window("seen", "count", 5),
    window("seen_ever", "count", None),
    window("seen_vip", "count", 7, filter="vip"),
    window("known_n", "count", 6, "n", over="known"),
    window("spent", "sum", 8, "n", scale=100),
    window("spent_before", "sum", 9, "n", end=3),
    window("spent_mean", "mean", 6, "n", over="known", scale=3),
    window("vip_rate", "rate", 10, "vip", entity=()),
    window("exact", "sum", 8, "x"),
    window("smallest", "min", 8, "x", over="known"),
    window("largest", "max", None, "n"),
    OpenSpec(output="open", opened=VISITS, closed=CLOSINGS, opens="opened", entity=SHOP, start=9, end=2),
    LookupSpec(
        source=VISITS,
        entity=SHOP,
        outputs=(("last_n", "n"), ("last_x", "x")),
        age="minutes",
        ttl=4,
        then=LookupSpec(source=PLACES, entity=SHOP, outputs=(("town", "town"),)),
    ),
)

SERVICE = ServiceSpec(
    name=ServiceName("shop"),
    inputs=Schema((Column(name="id", type="int64"), Column(name="shop", type="string", nullable=True))),
    sources=SOURCES,
    examples=ExamplesSpec(source=VISITS, key=("id",), at=Moment(column="t"), request=Schema(())),
    features=FEATURES,
)

INSTANT = st.integers(1, 24)
SHOPS = st.sampled_from(["a", "b", "", None])


def _rows(**columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Row]]:
    return st.lists(
        st.fixed_dictionaries({"id": st.integers(1, 4), "t": INSTANT, "shop": SHOPS, "_known_at": INSTANT} | columns),
        max_size=14,
    )


HISTORY = st.fixed_dictionaries(
    {
        VISITS: _rows(
            n=st.none() | st.integers(-3, 3),
            x=st.none() | st.sampled_from([1e16, 1.0, -1e16, 0.1, 2.5, float("nan")]),
            vip=st.none() | st.booleans(),
        ),
        CLOSINGS: _rows(opened=st.none() | INSTANT),
        PLACES: _rows(town=st.none() | st.sampled_from(["x", "y"])),
    }
)


def frame_of(source: SourceSpec, rows: Sequence[Row]) -> pl.DataFrame:
    schema = {column.name: KINDS[column.type]() for column in source.columns} | {"_known_at": pl.Int64()}
    return pl.DataFrame(list(rows), schema=schema, orient="row").with_columns(
        pl.col(name).cast(pl.Datetime("us", "UTC"))
        for name in ["_known_at", *(column.name for column in source.columns if column.type == "timestamp")]
    )


class Shop:
    """The service, its random histories, and frames of their rows."""

    service = SERVICE
    history = HISTORY
    frame = staticmethod(frame_of)
    window = staticmethod(window)


@pytest.fixture(scope="session")
def shop() -> type[Shop]:
    return Shop
