"""What was predicted of each row and what came of it, as numbers; their kind, and whether the two are swapped."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.data.source import Cells
from evertrain.errors import SourceError
from evertrain.monitor.report import Kind
from evertrain.process.observation.rows import say_names

__all__ = ["kind_of", "labels_of", "say_swapped", "scores_of", "with_positive"]

Floats = NDArray[np.float64]
Names = tuple[str, str | None]
"""Of the columns of score and label."""

_MOST_VALUES = 12
_MANY = 5
"""A label of so many different values between 0 and 1 is no outcome, but a score."""


def with_positive(cells: Cells, name: str | None, positive: str | None) -> Cells:
    """The label as 1 and 0, where its positive value is named. A number may be written in any way: 0, 0.0."""
    if positive is None or name is None:
        return cells
    label = cells.frame[name].cast(pl.String)
    same = (label == positive) | (label.cast(pl.Float64, strict=False) == _number(positive)).fill_null(value=False)
    if not same.any():
        values = label.drop_nulls().unique().sort().head(_MOST_VALUES).to_list()
        raise SourceError(
            f"No row of {name!r} is {positive!r}; its values are {say_names(values)}.",
            "Name one of them with --positive.",
        )
    ones = pl.select(pl.when(label.is_not_null()).then(same.cast(pl.Int64))).to_series()
    numbers = ones.cast(pl.String) if cells.text else ones
    return Cells(cells.frame.with_columns(numbers.alias(name)), cells.broken, cells.text)


def _number(text: str) -> float:
    """What the text says, NaN where it is no number."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def labels_of(values: pl.Series) -> Floats:
    """Labels as numbers, NaN where none has come. SourceError for words."""
    if values.null_count() == len(values):
        return np.full(len(values), np.nan)
    if _is_number(values):
        return _floats(values)
    raise _no_numbers(
        values, "label", "Write it as 0 and 1 or as a number, or name its positive value: --positive VALUE."
    )


def scores_of(values: pl.Series, label: pl.Series | None) -> Floats:
    """Scores as numbers. SourceError for words, with a remedy that depends on what the label holds."""
    if _is_number(values):
        return _floats(values)
    remedy = "Name the column of the predicted number with --score; or, where it is a class, say --kind classes."
    if label is not None and _is_number(label) and _are_shares(_floats(label.drop_nulls())):
        remedy = f"{_say_swap(values.name, label.name)} And name the label's positive value: --positive VALUE."
    raise _no_numbers(values, "score", remedy)


def _is_number(values: pl.Series) -> bool:
    return values.dtype == pl.Boolean or values.dtype.is_numeric()


def _floats(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _no_numbers(values: pl.Series, role: str, remedy: str) -> SourceError:
    words = say_names(values.drop_nulls().cast(pl.String).unique().sort().head(4).to_list())
    return SourceError(
        f"The {role} {values.name!r} is neither a number nor true and false: it holds values such as {words}.", remedy
    )


# Kinds and swaps ------------------------------------------------------------------------------------------------------


def kind_of(label: Floats, score: Floats, kind: Kind | None, names: Names) -> Kind:
    """What the score is; kind: what was said of it. SourceError where it cannot be that."""
    there = label[~np.isnan(label)]
    is_binary = _are_binary(there)
    outside = int(np.count_nonzero((score < 0.0) | (score > 1.0)))
    if kind == "value":
        return "value"
    if kind == "probability" and len(there) and not is_binary:
        said = "name the positive value of the label with --positive"
        swapped = names[1] is not None and bool(say_swapped(label, score, names))
        raise SourceError(
            f"{names[1]!r} holds other values than 0 and 1, so {names[0]!r} is no probability of it.",
            _say_swap(names[0], names[1] or "") if swapped else f"Say --kind value, or {said}.",
        )
    if outside and (kind == "probability" or is_binary):
        raise SourceError(
            f"{outside:,} of {len(score):,} scores in {names[0]!r} lie outside 0 and 1, so they are no "
            f"probabilities of a label of 0 and 1.",
            "Give probabilities, not margins or classes; or say --kind value for two numbers.",
        )
    return "probability" if not outside and (is_binary or not len(there)) else "value"


def say_swapped(label: Floats, score: Floats, names: Names) -> str:
    """That score and label seem to be named the wrong way round; "" where they do not.

    An outcome is 0 or 1 and a probability anything between, never the other way round.

    >>> share = np.linspace(0.1, 0.9, 20)
    >>> say_swapped(share, np.round(share), ("y", "p")).partition("shares ")[2]
    'between: are the two swapped? Then it is --score p --label y.'
    >>> say_swapped(np.round(share), share, ("p", "y"))
    ''
    """
    there = label[~np.isnan(label)]
    if names[1] is None or not _are_binary(score) or not _are_shares(there):
        return ""
    return (
        f"Every score in {names[0]!r} is 0 or 1, and the labels in {names[1]!r} are shares between: "
        f"{_say_swap(names[0], names[1])}"
    )


def _say_swap(score: str, label: str) -> str:
    return f"are the two swapped? Then it is --score {label} --label {score}."


def _are_binary(values: Floats) -> bool:
    return len(values) > 0 and bool(np.isin(values, (0.0, 1.0)).all())


def _are_shares(values: Floats) -> bool:
    return bool(((values >= 0.0) & (values <= 1.0)).all()) and len(np.unique(values)) >= _MANY
