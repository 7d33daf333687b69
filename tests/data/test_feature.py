"""The offline path gives what a brute force gives: late, corrected, out-of-order and simultaneous rows, future ones."""

from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evertrain.config.declaration import FunctionRef
from evertrain.core.schema import Value
from evertrain.data.feature import FEATURE, offline
from evertrain.testing.oracle import features


def unasked(reference: FunctionRef) -> Any:
    raise AssertionError(reference)


def typed(value: Value) -> tuple[type, str]:
    """A value with its type and all of its digits."""
    return type(value), repr(value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.data())
def test_features_equal_a_brute_force(shop: Any, drawn: st.DataObject) -> None:
    history = drawn.draw(shop.history)
    asked = [(place, at) for place in ("a", "b", "", None) for at in range(1, 36, 2)]
    frame = pl.DataFrame(asked, schema=["request.shop", "at"], orient="row").with_columns(pl.lit(0).alias("request.id"))
    tables = {source.name: shop.frame(source, history[source.name]) for source in shop.service.sources}
    computed = offline(shop.service, tables, frame, unasked)
    assert computed.columns == [FEATURE + name for name in shop.service.vector]
    for (place, at), values in zip(asked, computed.iter_rows(), strict=True):
        truth = features(shop.service, history, {"shop": place}, at)
        assert list(map(typed, values)) == list(map(typed, truth.values())), (place, at, truth)


@pytest.mark.parametrize(("at", "sum2"), [(120, 3.0), (135, 3.0), (150, 2.0), (240, 0.0), (241, 0.0)])
def test_a_huge_value_that_has_left_a_window_leaves_nothing(shop: Any, at: int, sum2: float) -> None:
    minutes = [(0, 1e16), (30, 1.0), (90, 1.0), (120, 1.0)]
    rows = [{"id": 1, "t": t, "shop": "a", "n": None, "x": x, "vip": None, "_known_at": t} for t, x in minutes]
    spec = msgspec.structs.replace(shop.service, features=(shop.window("total", "sum", 120, "x"),))
    tables = {source.name: shop.frame(source, rows if source.name == "visits" else []) for source in spec.sources}
    asked = pl.DataFrame({"at": [at], "request.id": [1], "request.shop": ["a"]})
    assert offline(spec, tables, asked, unasked)["feature.total"].to_list() == [sum2]
