"""Classes by their names: which one was predicted, and which came. What counts is whether the two are the same.

A row's score is then 1, its label 1 where the predicted class came and 0 where another did: the mean label is the
accuracy, and each class makes two segments, the rows that were said to be of it and those that were.
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.errors import SourceError, UserError

__all__ = ["are_classes", "hits_of", "names_of", "refuse_positive", "refuse_unsaid"]

Floats = NDArray[np.float64]

_FEWEST: Final = 3
_MOST: Final = 50
_ROWS: Final = 20


def are_classes(predicted: pl.Series, came: pl.Series | None) -> bool:
    """Whether both columns hold words, some of them the same."""
    if came is None or predicted.dtype != pl.String or came.dtype != pl.String:
        return False
    return bool({*predicted.drop_nulls().unique()} & {*came.drop_nulls().unique()})


def names_of(values: pl.Series) -> pl.Series:
    """Classes as text: a whole number is the same class however it is written.

    >>> names_of(pl.Series([1.0, None])).to_list(), names_of(pl.Series(["bus"])).to_list()
    (['1', None], ['bus'])
    """
    if values.dtype.is_numeric() and _are_whole(values):
        values = values.cast(pl.Int64)
    return values.cast(pl.String)


def hits_of(predicted: pl.Series, came: pl.Series | None) -> Floats:
    """1 where the predicted class came, 0 where another did, NaN where nobody knows yet."""
    if came is None:
        return np.full(len(predicted), np.nan)
    return (predicted == came).cast(pl.Float64).fill_null(float("nan")).to_numpy()


def refuse_positive(positive: str | None) -> None:
    """UserError where one class of several is called the positive one."""
    if positive is not None:
        raise UserError("Classes have no positive value.", "Leave out --positive, or --kind classes.")


def refuse_unsaid(predicted: pl.Series, came: pl.Series | None) -> None:
    """SourceError where both columns hold the same few whole numbers, which may be classes or numbers."""
    if came is None or not all(one.dtype.is_numeric() and _are_whole(one) for one in (predicted, came)):
        return
    values = {*came.cast(pl.Float64).drop_nulls().unique()}
    few = _FEWEST <= len(values) <= _MOST and len(predicted) >= _ROWS
    if few and {*predicted.cast(pl.Float64).drop_nulls().unique()} <= values:
        raise SourceError(
            f"{predicted.name!r} and {came.name!r} hold the same {len(values)} whole numbers: are they classes or "
            "numbers?",
            "Say it: --kind classes, or --kind value.",
        )


def _are_whole(values: pl.Series) -> bool:
    there = values.cast(pl.Float64).drop_nulls()
    return bool((there.is_finite() & (there == there.round())).all())
