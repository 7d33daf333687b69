"""From a frame of features to the numbers that a model takes, the same numbers that serving computes row by row."""

from collections.abc import Collection, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.core.schema import Input, Value
from evertrain.errors import ModelError
from evertrain.model.assemble import FEATURE

__all__ = ["encode_frame", "pin_vector", "values_of"]


def pin_vector(training: pl.DataFrame, names: Sequence[str], categories: Collection[str]) -> tuple[Input, ...]:
    """The model's inputs, with the categories that the training rows hold, sorted.

    >>> frame = pl.DataFrame({"feature.shop": ["b", None, "a", "b"], "feature.n": [1, 2, 3, 4]})
    >>> [(i.name, i.categories) for i in pin_vector(frame, ["shop", "n"], {"shop"})]
    [('shop', ('a', 'b')), ('n', None)]
    """
    inputs = []
    for name in names:
        column = training[FEATURE + name]
        if column.dtype == pl.String and name not in categories:
            raise ModelError(
                f"Feature {name!r} is text, and no model takes text.", "Name it among the service's categories."
            )
        if name in categories and column.dtype not in (pl.String, pl.Null):
            raise ModelError(
                f"Feature {name!r} is declared as a category but is {column.dtype}.",
                "Make it text, or take it out of the service's categories.",
            )
        pinned = tuple(column.drop_nulls().unique().sort().to_list()) if name in categories else None
        inputs.append(Input(name=name, categories=pinned))
    return tuple(inputs)


def encode_frame(frame: pl.DataFrame, vector: Sequence[Input]) -> NDArray[np.float64]:
    """The (n, k) float64 matrix of a frame's features: a category as its index, missing and unseen as NaN.

    >>> frame = pl.DataFrame({"feature.shop": ["b", None, "z"], "feature.n": [1, 2, None]})
    >>> encode_frame(frame, [Input(name="shop", categories=("a", "b")), Input(name="n")]).tolist()
    [[1.0, 1.0], [nan, 2.0], [nan, nan]]
    """
    matrix = np.empty((frame.height, len(vector)), dtype=np.float64, order="F")
    for position, item in enumerate(vector):
        column = frame[FEATURE + item.name]
        if item.categories is not None:
            index = {text: float(number) for number, text in enumerate(item.categories)}
            column = column.cast(pl.String).replace_strict(index, default=None, return_dtype=pl.Float64)
        matrix[:, position] = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return np.ascontiguousarray(matrix)


def values_of(frame: pl.DataFrame, columns: Sequence[str]) -> list[tuple[Value, ...]]:
    """Rows of plain values; NaN, which JSON cannot say, is missing like null.

    >>> values_of(pl.DataFrame({"a": [1.5, float("nan")], "b": ["x", None]}), ["a", "b"])
    [(1.5, 'x'), (None, None)]
    """
    floats = [name for name in columns if frame.schema[name].is_float()]
    return frame.select(columns).with_columns(pl.col(floats).fill_nan(None)).rows()
