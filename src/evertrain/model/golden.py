"""Choosing the golden requests of a version, and the scores that it must give again."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.core.golden import Golden, GoldenRequest
from evertrain.core.schema import Column, Input, Schema, Value
from evertrain.core.score import plain
from evertrain.core.time import Instant
from evertrain.errors import ModelError
from evertrain.model.assemble import FEATURE, REQUEST
from evertrain.model.matrix import values_of

__all__ = ["UNSEEN", "choose_golden", "synthesise_golden", "take_golden", "without_categories"]

UNSEEN: Final = "\x00never seen"
"""A category text that no training holds."""

_COUNT: Final = 24

Scorer = Callable[[Sequence[tuple[Value, ...]]], NDArray[np.float64]]
"""Vectors of values, before encoding, to scores of n rows."""


def choose_golden(frame: pl.DataFrame, inputs: Schema, vector: Sequence[Input], scorer: Scorer) -> Golden:
    """Golden requests from training rows, evenly spaced in canonical order, with the model's scores."""
    chosen = frame.gather_every(max(1, frame.height // _COUNT)).head(_COUNT)
    rows = values_of(chosen, [REQUEST + name for name in inputs.names])
    vectors = values_of(chosen, [FEATURE + item.name for item in vector])
    return _golden(rows, chosen["at"].to_list(), vectors, vector, scorer)


def synthesise_golden(inputs: Schema, vector: Sequence[Input]) -> Golden:
    """Golden requests for a model that came as a file: values made from the schema, within its bounds, no scores.

    The vector is the request itself, in the vector's order.

    >>> from evertrain.core.schema import Column
    >>> made = synthesise_golden(Schema((Column(name="n", type="int64", low=1, high=24),)), [Input(name="n")])
    >>> [request.vector for request in made.requests][:3]
    [(1,), (2,), (3,)]
    """
    categories = {item.name: item.categories for item in vector if item.categories}
    rows = [
        tuple(_made(column, number, categories.get(column.name)) for column in inputs.columns)
        for number in range(_COUNT)
    ]
    return take_golden(rows, inputs, vector)


def take_golden(rows: Sequence[tuple[Value, ...]], inputs: Schema, vector: Sequence[Input]) -> Golden:
    """Golden requests for a model that came as a file, from rows in the schema's order; evenly spaced, no scores."""
    places = [inputs.names.index(item.name) for item in vector]
    rows = rows[:: max(1, len(rows) // _COUNT)][:_COUNT]
    return Golden(
        requests=tuple(
            GoldenRequest(row=row, at=Instant(0), vector=tuple(row[place] for place in places)) for row in rows
        )
    )


def without_categories(
    vector: Sequence[Input], values: tuple[Value, ...], text: str | None
) -> tuple[Value, ...] | None:
    """The vector with every category replaced by `text`; None when it has no categories.

    >>> without_categories([Input(name="shop", categories=("a",)), Input(name="n")], ("a", 3), None)
    (None, 3)
    """
    if all(item.categories is None for item in vector):
        return None
    return tuple(value if item.categories is None else text for item, value in zip(vector, values, strict=True))


def _golden(
    rows: Sequence[tuple[Value, ...]],
    times: Sequence[int],
    vectors: Sequence[tuple[Value, ...]],
    vector: Sequence[Input],
    scorer: Scorer,
) -> Golden:
    scores = plain(scorer(vectors))
    requests = tuple(
        GoldenRequest(row=row, at=Instant(at), vector=values, score=score)
        for row, at, values, score in zip(rows, times, vectors, scores, strict=True)
    )
    null, unseen = (without_categories(vector, vectors[0], text) for text in (None, UNSEEN))
    if null is None or unseen is None:
        return Golden(requests=requests)
    try:
        null_score, unseen_score = plain(scorer([null, unseen]))
    except ModelError as error:
        raise ModelError(
            f"The model cannot answer a category that is missing or was never seen. {error.what}",
            "Impute missing values in the recipe's pipeline, or use a model that takes NaN.",
        ) from error
    return Golden(requests=requests, null_score=null_score, unseen_score=unseen_score)


def _made(column: Column, number: int, categories: tuple[str, ...] | None) -> Value:
    """The `number`-th value of a column: its bounds are hit, nulls come where they are allowed."""
    if column.nullable and number % 7 == 6:
        return None
    match column.type:
        case "string":
            return categories[number % len(categories)] if categories else f"value {number % 5}"
        case "bool":
            return number % 2 == 1
        case "int64":
            return round(_between(column, number, widest=1_000_000))
        case "timestamp":
            return number * 3_600_000_000
        case "float64":
            return _between(column, number, widest=1e6)


def _between(column: Column, number: int, widest: float) -> float:
    low = column.low if column.low is not None else (0.0 if column.high is None else column.high - widest)
    high = column.high if column.high is not None else low + (100.0 if column.low is None else widest)
    return low + (high - low) * number / (_COUNT - 1)
