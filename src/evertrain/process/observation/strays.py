"""Single cells and rows of a table that are unlike all others: set aside, each kind with its count and its first place.

One "$12" does not make text of a column of numbers, one label of 2.0 no regression of a classification, and one row of
1970 no century of empty periods. What is set aside is told; where more than a few are odd, nothing is, and the reader
says what it makes of the column as a whole.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.core.schema import Column, Kind
from evertrain.core.time import DAY, say_instant
from evertrain.core.wording import say_many
from evertrain.data.column import parse_text
from evertrain.data.source import ROW, Cells

__all__ = [
    "is_zero_or_one",
    "odd_cells",
    "without_odd_cells",
    "without_odd_labels",
    "without_odd_scores",
    "without_odd_times",
    "without_odd_words",
]

Ints = NDArray[np.int64]

_CELL = "cell"
_KINDS: tuple[Kind, ...] = ("float64", "bool")
_MOST_WORDS = 0.05
_MOST_SCORES = 0.05
_MOST_LABELS = 0.01
_FEWEST = 20
"""In fewer values than these nothing is odd."""
_MOST_TIMES = 0.001
_FEW_TIMES = 3
_APART = 2
"""A time is odd that lies this many times the width of all others away from them."""


def without_odd_words(cells: Cells, names: Sequence[str], notices: list[str]) -> Cells:
    """Without the rows in which one of these columns, of numbers otherwise, holds something else."""
    for name in names:
        odd = odd_cells(cells.frame[name])
        if odd is not None:
            notices.append(_told(cells.frame.filter(odd), name, "which is no number", "set aside"))
            cells = Cells(cells.frame.filter(~odd), cells.broken, cells.text)
    return cells


def without_odd_cells(cells: Cells, names: Sequence[str], notices: list[str]) -> Cells:
    """The same of inputs, where the cell counts as missing and its row stays."""
    for name in names:
        odd = odd_cells(cells.frame[name])
        if odd is not None:
            notices.append(_told(cells.frame.filter(odd), name, "which is no number", "read as missing there"))
            value = pl.when(~odd).then(pl.col(name)).alias(name)
            cells = Cells(cells.frame.with_columns(value), cells.broken, cells.text)
    return cells


def odd_cells(values: pl.Series) -> pl.Series | None:
    """Where a column of text holds no number, though nearly all of it does; None where there is no such column.

    Digits that are no number, such as 02139, are codes, and then the whole column is.
    """
    there = len(values) - values.null_count()
    if values.dtype != pl.String or there < _FEWEST:
        return None
    frame = pl.DataFrame([values.alias(_CELL)])
    number, truth = (
        frame.select(parse_text(Column(name=_CELL, type=kind), None)[1].is_not_null()).to_series() for kind in _KINDS
    )
    odd = min(number, truth, key=_count)
    if not 0 < _count(odd) <= _MOST_WORDS * there or values.filter(odd).str.contains(r"^[+-]?\d+$").any():
        return None
    return odd


def _count(flags: pl.Series) -> int:
    return int(flags.to_numpy().sum())


def without_odd_times(frame: pl.DataFrame, name: str, notices: list[str]) -> pl.DataFrame:
    """Without the few rows whose time lies far from that of all others."""
    at = frame[name].to_physical().to_numpy()
    odd = pl.Series(_far_away(at))
    if not odd.any():
        return frame
    rows = frame.filter(odd)
    first = say_instant(int(rows[name].to_physical()[0]))
    notices.append(
        f"{say_many(rows.height, 'row')} set aside, whose {name} is far from that of all others: the first is row "
        f"{rows[ROW][0]}, {first}."
    )
    return frame.filter(~odd)


def _far_away(at: Ints) -> NDArray[np.bool_]:
    """The outermost times, a few at most, beyond a gap that is wide against all the rest.

    >>> at = np.concatenate([np.arange(1000) * DAY // 10, [10_000 * DAY]])
    >>> np.flatnonzero(_far_away(at)).tolist()
    [1000]
    """
    odd = np.zeros(len(at), dtype=np.bool_)
    few = max(_FEW_TIMES, int(_MOST_TIMES * len(at)))
    if len(at) < max(_FEWEST, 4 * few):
        return odd
    order = np.argsort(at, kind="stable")
    sorted_ = at[order]
    wide = _APART * max(int(sorted_[-1 - few] - sorted_[few]), DAY)
    gaps = np.diff(sorted_)
    early, late = np.flatnonzero(gaps[:few] > wide), np.flatnonzero(gaps[-few:] > wide)
    if len(early):
        odd[order[: int(early[-1]) + 1]] = True
    if len(late):
        odd[order[len(at) - few + int(late[0]) :]] = True
    return odd


def without_odd_labels(frame: pl.DataFrame, name: str, notices: list[str]) -> pl.DataFrame:
    """Without the few rows whose label is neither 0 nor 1, where nearly all are."""
    label = frame[name]
    if not label.dtype.is_numeric():
        return frame
    odd = label.is_not_null() & ~is_zero_or_one(label)
    count = len(label) - label.null_count()
    if count < _FEWEST or not odd.any() or _count(odd) > _MOST_LABELS * count:
        return frame
    notices.append(_told(frame.filter(odd), name, "where all others are 0 and 1", "set aside"))
    return frame.filter(~odd)


def is_zero_or_one(numbers: pl.Series) -> pl.Series:
    """Where a number is 0 or 1; false where it is missing."""
    return numbers.cast(pl.Float64).is_in([0.0, 1.0]).fill_null(value=False)


def without_odd_scores(frame: pl.DataFrame, name: str, notices: list[str]) -> pl.DataFrame:
    """Without the few rows whose score is no probability, where nearly all are."""
    odd = ~frame[name].is_between(0, 1)
    if len(odd) < _FEWEST or not odd.any() or _count(odd) > _MOST_SCORES * len(odd):
        return frame
    notices.append(_told(frame.filter(odd), name, "which is no probability", "set aside"))
    return frame.filter(~odd)


def _told(rows: pl.DataFrame, name: str, why: str, done: str) -> str:
    """What was found, and where it is first."""
    rows = rows.sort(ROW)
    return f"{say_many(rows.height, 'row')} {done}: {name} is {rows[name][0]!r} in row {rows[ROW][0]}, {why}."
