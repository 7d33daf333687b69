"""Features become the numbers that serving computes."""

import numpy as np
import polars as pl
import pytest

from evertrain.core.schema import Input
from evertrain.errors import ModelError
from evertrain.model.matrix import encode_frame, pin_vector, values_of


def test_categories_are_pinned_in_one_order_whatever_the_order_of_rows() -> None:
    frame = pl.DataFrame({"feature.shop": ["z", "ä", None, "a", "Z", "z"]})
    pinned = [pin_vector(one, ["shop"], {"shop"}) for one in (frame, frame.reverse())]
    assert pinned[0] == pinned[1] == (Input(name="shop", categories=("Z", "a", "z", "ä")),)


def test_text_that_is_no_category_is_refused() -> None:
    with pytest.raises(ModelError, match=r"'shop' is text.*categories"):
        pin_vector(pl.DataFrame({"feature.shop": ["a"]}), ["shop"], set())


def test_a_category_that_is_no_text_is_refused() -> None:
    with pytest.raises(ModelError, match="'n' is declared as a category but is Int64"):
        pin_vector(pl.DataFrame({"feature.n": [1]}), ["n"], {"n"})


def test_unseen_is_encoded_exactly_like_null() -> None:
    frame = pl.DataFrame({"feature.shop": ["unseen", None, ""]})
    assert np.isnan(encode_frame(frame, [Input(name="shop", categories=("a",))])).all()


def test_a_column_without_any_value_is_missing_everywhere() -> None:
    frame = pl.DataFrame({"feature.shop": [None, None], "feature.n": [None, None]})
    vector = pin_vector(frame, ["shop", "n"], {"shop"})
    assert vector[0].categories == ()
    assert np.isnan(encode_frame(frame, vector)).all()


def test_numbers_of_every_type_keep_their_value() -> None:
    frame = pl.DataFrame(
        {"feature.i": [2**53, -1], "feature.b": [True, False], "feature.f": [0.1, float("nan")]},
        schema_overrides={"feature.i": pl.Int64},
    )
    matrix = encode_frame(frame, [Input(name=name) for name in "ibf"])
    assert matrix[0].tolist() == [2.0**53, 1.0, 0.1]
    assert matrix[1, :2].tolist() == [-1.0, 0.0]
    assert np.isnan(matrix[1, 2])


def test_values_hold_no_nan_that_json_cannot_say() -> None:
    frame = pl.DataFrame({"a": [1.0, float("nan"), None], "n": [1, None, 3]})
    assert values_of(frame, ["n", "a"]) == [(1, 1.0), (None, None), (3, None)]
