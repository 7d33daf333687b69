"""Inputs against a reference: what a column holds now, and what it held then.

The distance of two samples is the population stability index (Lewis 1994, "An Introduction to Credit Scoring"), over
tenths or the commonest categories, with a cell of its own for missing values. How large it is by chance depends on the
size of the samples and on how days differ, so it is held against permutations (Fisher 1935, exact under "the days of
both are alike"): whole blocks of time are dealt anew to reference and present, and the p-value is the share of deals
with a distance as large. Dealing ends early where the answer is plain (Besag and Clifford 1991, Biometrika 78:301: h
as large among l deals give p = h / l). The cells come from both samples together: cut by the reference alone, they
would fit it better than any deal, and everything would seem to move. Holm 1979 over all columns: the chance that any
column is called moved, when none is, is at most alpha.

*Since* is the change point of the cells' counts: the edge of a block that parts them with the largest likelihood
ratio (Horvath and Serbout 1997, J. Multivariate Anal. 62:1). It is an estimate, told of columns that have moved.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.core.comparison import holm
from evertrain.core.time import Instant, Span

__all__ = ["DEALS", "Course", "Shift", "Side", "compare_inputs", "finest"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DEALS = 9999
"""Permutations. The smallest p-value is 1 / (DEALS + 1), so that 500 columns can be told apart at 5 %."""

_MOST_CATEGORIES = 30
_MOST_NEW_NAMES = 5
_TENTHS = np.linspace(0.1, 0.9, 9)
_ENOUGH = 100
"""So many deals as large as what was found, and dealing ends."""
_MANY = 20
"""With so many chosen of twice as many there are more deals than are ever made."""
_AT_ONCE = 1000
"""Deals in hand at once: years of hours would fill the memory otherwise."""
_FEW = 100
"""A text column with fewer different values than this is never taken for an identifier."""

_LEAST_ROWS = 100
"""A period with fewer rows lies far from the reference by chance alone: no distance is told of it."""
_BESIDE = 3
"""Blocks that lie at least on each side of a change point."""

Outcome = Literal["moved", "not shown", "insufficient", "not compared"]


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one column.

    missing: share of rows without a value, in the reference and now. fresh: share of today's rows whose category the
    reference never held, fresh_names the commonest of them. psi: the distance; p_value: adjusted by Holm. center: the
    medians. over_time: the distance of each period from the reference. since: where the move seems to have begun.
    """

    column: str
    outcome: Outcome
    missing: tuple[float, float]
    psi: float | None = None
    p_value: float | None = None
    fresh: float | None = None
    fresh_names: tuple[str, ...] = ()
    center: tuple[float, float] | None = None
    over_time: tuple[float | None, ...] = ()
    since: Instant | None = None
    words: str = ""


class Side(msgspec.Struct, frozen=True):
    """Rows and the number of the block that each stands in; block None: rows that are dealt one by one."""

    rows: pl.DataFrame
    block: Ints | None


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """All rows in the order of time, the present ones among them. period: the number of each row's period, from 0 on;
    block: that of its block, which is `size` long."""

    rows: pl.DataFrame
    period: Ints
    block: Ints
    size: Span


class _Cells(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides of a column cut into the same cells, numbered 0 to count - 1. place: any other rows into them."""

    reference: Ints
    present: Ints
    count: int
    place: Callable[[pl.Series], Ints]
    fresh: float | None = None
    fresh_names: tuple[str, ...] = ()
    center: tuple[float, float] | None = None


def compare_inputs(
    reference: Side,
    present: Side,
    columns: Sequence[str],
    *,
    alpha: float,
    seed: int,
    needed: int = 1,
    course: Course | None = None,
) -> list[Shift]:
    """Look at each column that both sides have; the moved ones first, then by distance.

    needed: with fewer rows on a side nothing is claimed, since a few stray ones lie in few blocks of their own.
    """
    rows = (reference.rows.height, present.rows.height)
    few = "" if min(rows) >= needed else f"{rows[0]:,} and {rows[1]:,} rows, {needed} are needed"
    deals = _Deals(reference, present, seed)
    found: dict[str, Shift] = {}
    raw: dict[str, float] = {}
    for name in columns:
        then, now = reference.rows[name], present.rows[name]
        missing = (_missing(then), _missing(now))
        why_not = _incomparable(then, now)
        if few and not why_not:
            found[name] = Shift(column=name, outcome="insufficient", missing=missing, words=few)
            continue
        if why_not:
            found[name] = Shift(column=name, outcome="not compared", missing=missing, words=why_not)
            continue
        cells = _cut(then, now)
        psi, raw[name] = deals.judge(cells)
        found[name] = Shift(
            column=name,
            outcome="not shown",
            missing=missing,
            psi=psi,
            fresh=cells.fresh,
            fresh_names=cells.fresh_names,
            center=cells.center,
            over_time=() if course is None else _distances(cells, course, name),
            since=None if course is None else _since(cells, course, name),
        )
    for name, p_value in zip(raw, holm(list(raw.values())), strict=True):
        found[name] = _judged(found[name], p_value, alpha, can_tell=deals.finest * len(raw) <= alpha)
    order: Mapping[Outcome, int] = {"moved": 0, "insufficient": 1, "not shown": 2, "not compared": 3}
    return sorted(found.values(), key=lambda one: (order[one.outcome], -(one.psi or 0.0), one.column))


def _judged(shift: Shift, p_value: float, alpha: float, *, can_tell: bool) -> Shift:
    if p_value <= alpha:
        return msgspec.structs.replace(shift, outcome="moved", p_value=p_value, words=_said_size(shift.psi or 0.0))
    if can_tell:
        return msgspec.structs.replace(shift, p_value=p_value, since=None)
    words = "too few blocks of time to tell: no pass"
    return msgspec.structs.replace(shift, outcome="insufficient", p_value=p_value, since=None, words=words)


def _distances(cells: _Cells, course: Course, name: str) -> tuple[float | None, ...]:
    """The distance of each period from the reference, None of one with few rows."""
    by_period = _table_of(course.period, cells.place(course.rows[name]), cells.count)
    then = np.bincount(cells.reference, minlength=cells.count).astype(np.float64)
    return tuple(float(_psi(then, counts)) if counts.sum() >= _LEAST_ROWS else None for counts in by_period)


def _since(cells: _Cells, course: Course, name: str) -> Instant | None:
    """Where the counts change most; the beginning, where they were elsewhere from the start and merely moved on."""
    names, block = np.unique(course.block, return_inverse=True)
    by_block = _table_of(block, cells.place(course.rows[name]), cells.count)
    turn = _turning_point(by_block)
    if turn is None:
        return None
    then = np.bincount(cells.reference, minlength=cells.count).astype(np.float64)
    before, after = (float(_psi(then, side.sum(axis=0))) for side in (by_block[:turn], by_block[turn:]))
    return Instant(int(names[0 if before >= after / 2.0 else turn]) * course.size)


def _table_of(group: Ints, place: Ints, count: int) -> Floats:
    """How many rows of each group stand in each cell; shape (groups, cells)."""
    groups = int(group.max()) + 1
    flat = np.bincount(group * count + place, minlength=groups * count)
    return flat.reshape(groups, count).astype(np.float64)


def _turning_point(by_block: Floats) -> int | None:
    """The number of the block before whose edge the counts are parted best."""
    before = by_block.cumsum(axis=0)[_BESIDE - 1 : len(by_block) - _BESIDE]
    if not len(before):
        return None
    after = by_block.sum(axis=0) - before
    return int(np.argmax(_fit_of(before) + _fit_of(after))) + _BESIDE


def _fit_of(counts: Floats) -> Floats:
    """The log likelihood of counts at their own shares, along the last axis."""
    total = counts.sum(axis=-1, keepdims=True)
    shares = np.where(counts > 0, counts, 1.0) / np.maximum(total, 1.0)
    found: Floats = (counts * np.log(shares)).sum(axis=-1)
    return found


def _said_size(psi: float) -> str:
    """The lines at 0.1 and 0.25 are convention (Siddiqi 2006), no test.

    >>> _said_size(0.02), _said_size(0.3)
    ('slightly', 'strongly')
    """
    return "strongly" if psi >= 0.25 else "clearly" if psi >= 0.1 else "slightly"


# Cells ----------------------------------------------------------------------------------------------------------------


def _missing(values: pl.Series) -> float:
    return values.null_count() / len(values) if len(values) else 0.0


def _incomparable(then: pl.Series, now: pl.Series) -> str:
    """Why a column is only looked at for missing values; "" where it is compared."""
    if len(then.drop_nulls()) == 0 or len(now.drop_nulls()) == 0:
        return "one of the sides holds no value"
    if then.dtype.is_temporal() or now.dtype.is_temporal():
        return "a time: it moves by itself"
    if then.dtype.is_numeric() != now.dtype.is_numeric():
        return f"is {_said_type(then)} in the reference and {_said_type(now)} now"
    for values in (then, now):
        if values.dtype.is_float():
            continue
        distinct, there = values.n_unique() - (values.null_count() > 0), len(values) - values.null_count()
        if distinct > _FEW and distinct > there * _share_of_identifier(values):
            return f"an identifier: {distinct:,} different values in {there:,} rows"
    return ""


def _share_of_identifier(values: pl.Series) -> float:
    """Whole numbers may all differ and still measure something; they are identifiers when not one comes twice."""
    return 0.999 if values.dtype.is_integer() else 0.5


def _said_type(values: pl.Series) -> str:
    return "a number" if values.dtype.is_numeric() else "text"


def _cut(then: pl.Series, now: pl.Series) -> _Cells:
    return _cut_numbers(then, now) if then.dtype.is_numeric() else _cut_categories(then, now)


def _cut_numbers(then: pl.Series, now: pl.Series) -> _Cells:
    """Tenths of both together, merged where a value fills more than one; the last cell holds missing values."""
    sides = [_floats(values) for values in (then, now)]
    both = np.concatenate(sides)
    edges = np.unique(np.quantile(both[~np.isnan(both)], _TENTHS))
    missing = len(edges) + 1

    def place(values: pl.Series) -> Ints:
        numbers = _floats(values)
        return np.where(np.isnan(numbers), missing, np.searchsorted(edges, numbers, side="right"))

    center = (float(np.nanmedian(sides[0])), float(np.nanmedian(sides[1])))
    return _Cells(reference=place(then), present=place(now), count=missing + 1, place=place, center=center)


def _floats(values: pl.Series) -> Floats:
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _cut_categories(then: pl.Series, now: pl.Series) -> _Cells:
    """The commonest categories of both together, all other ones, missing."""
    sides = [values.cast(pl.String).alias("name") for values in (then, now)]
    common = pl.concat(sides).drop_nulls().value_counts(sort=True).sort("count", "name", descending=[True, False])
    kept = common["name"].head(_MOST_CATEGORIES)
    places = pl.DataFrame({"name": kept, "cell": np.arange(len(kept), dtype=np.int64)})
    missing = len(kept) + 1

    def place(values: pl.Series) -> Ints:
        return (
            values.cast(pl.String)
            .alias("name")
            .to_frame()
            .join(places, on="name", how="left", maintain_order="left")
            .select(pl.when(pl.col("name").is_null()).then(missing).otherwise(pl.col("cell").fill_null(len(kept))))
            .to_series()
            .cast(pl.Int64)
            .to_numpy()
        )

    fresh = sides[1].drop_nulls().filter(~sides[1].drop_nulls().is_in(sides[0].drop_nulls().unique().implode()))
    names = fresh.value_counts(sort=True).sort("count", "name", descending=[True, False])["name"]
    return _Cells(
        reference=place(then),
        present=place(now),
        count=missing + 1,
        place=place,
        fresh=len(fresh) / len(now),
        fresh_names=tuple(names.head(_MOST_NEW_NAMES).to_list()),
    )


# Deals ----------------------------------------------------------------------------------------------------------------


def finest(count: int, chosen: int) -> float:
    """The smallest p-value that dealing so many things, of which some are chosen, can have.

    >>> finest(5, 2), finest(100_000, 50_000) == 1 / (DEALS + 1)
    (0.1, True)
    """
    few = min(chosen, count - chosen)
    return 1.0 / min(DEALS + 1, math.comb(count, few) if few < _MANY else DEALS + 1)


class _Deals:
    """Blocks of both sides dealt anew, the same deals for every column. finest: the smallest p-value there can be."""

    def __init__(self, reference: Side, present: Side, seed: int) -> None:
        self._seed = seed
        self._sides = (reference, present)
        self._dealt: NDArray[np.bool_] | None = None
        self._place: tuple[Ints, Ints] | None = None
        rows = (reference.rows.height, present.rows.height)
        self.finest = finest(sum(rows), rows[0])
        if reference.block is None or present.block is None:
            return
        blocks, places = [], []
        for side in (reference.block, present.block):
            names, place = np.unique(side, return_inverse=True)
            blocks.append(len(names))
            places.append(place.astype(np.int64))
        self._place = (places[0], places[1] + blocks[0])
        self.finest = finest(sum(blocks), blocks[0])
        source = np.random.default_rng(seed)
        self._dealt = np.empty((DEALS, sum(blocks)), dtype=np.bool_)
        for start in range(0, DEALS, _AT_ONCE):
            part = self._dealt[start : start + _AT_ONCE]
            part[:] = source.random(part.shape).argsort(axis=1) < blocks[0]

    def judge(self, cells: _Cells) -> tuple[float, float]:
        """The distance and its p-value."""
        then = np.bincount(cells.reference, minlength=cells.count).astype(np.float64)
        now = np.bincount(cells.present, minlength=cells.count).astype(np.float64)
        distance, found, deals = float(_psi(then, now)), 0, 0
        for dealt in self._deal(cells, then, now):
            as_large = np.flatnonzero(_psi(dealt, then + now - dealt) >= distance - 1e-12)
            if found + len(as_large) >= _ENOUGH:
                return distance, _ENOUGH / (deals + int(as_large[_ENOUGH - found - 1]) + 1)
            found, deals = found + len(as_large), deals + len(dealt)
        return distance, (1 + found) / (1 + deals)

    def _deal(self, cells: _Cells, then: Floats, now: Floats) -> Iterator[Floats]:
        """What the reference holds after each deal, some at once; shape (deals, cells)."""
        if self._dealt is None or self._place is None:
            both, source = (then + now).astype(np.int64), np.random.default_rng(self._seed)
            for start in range(0, DEALS, _AT_ONCE):
                size = min(_AT_ONCE, DEALS - start)
                drawn = source.multivariate_hypergeometric(both, int(then.sum()), size=size, method="marginals")
                yield drawn.astype(np.float64)
            return
        counts = self._by_block(cells, self._place)
        for start in range(0, DEALS, _AT_ONCE):
            yield self._dealt[start : start + _AT_ONCE] @ counts

    @staticmethod
    def _by_block(cells: _Cells, place: tuple[Ints, Ints]) -> Floats:
        """How many rows of each block stand in each cell; shape (blocks, cells)."""
        return _table_of(np.concatenate(place), np.concatenate((cells.reference, cells.present)), cells.count)


def _psi(then: Floats, now: Floats) -> Floats:
    """The index of counts along the last axis. Half a row is added to each cell, so that an empty one stays finite."""
    shares = []
    for counts in (then, now):
        smooth = counts + 0.5
        shares.append(smooth / smooth.sum(axis=-1, keepdims=True))
    moved = (shares[1] - shares[0]) * np.log(shares[1] / shares[0])
    total: Floats = moved.sum(axis=-1)
    return total
