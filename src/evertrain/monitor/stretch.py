"""Time cut into blocks and stretches: which rows err together, which are the newest, and whose labels have come.

All arrays have length n; times are microseconds.
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.comparison import MIN_BLOCKS
from evertrain.core.time import DAY, HOUR, MINUTE, Instant, Span, say_span

__all__ = ["Blocks", "Silence", "Tail", "cut_blocks", "newest_from", "shared_block", "silence_of", "unsettled_tail"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_SIZES = (DAY, Span(6 * HOUR), HOUR, Span(10 * MINUTE), MINUTE)
_LEAST = 5
"""So many blocks the newest stretch has at least, where nobody said how long it is."""
_USUAL = 0.8
"""A block whose share of labels is below this part of the usual one has not settled."""
_LATE, _BY_LUCK = 0.001, 2.0
"""The part of labels that may come after a horizon that is suggested, and the standard errors that are left to luck."""
_ERRORS = 4.0
"""Standard errors of a share that luck does not reach."""
_LUCK = 1e-6
"""A chance that luck does not reach."""
_LONGER = 3
"""Labels without a positive are many where they are so many times the longest such run before."""


class Blocks(msgspec.Struct, frozen=True):
    """The number of each row's block. size None: each row is its own. says: what counts as one observation."""

    number: Ints
    size: Span | None
    says: str


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """The newest rows, whose labels have come in part only. mean: of the labels there, and of those before.

    nearly: rows before it have nearly all of their labels, of those that are usual a share of `covered`.
    """

    start: Instant
    due: int
    labelled: int
    usual: float
    mean: tuple[float | None, float | None]
    nearly: Instant
    covered: float


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Labels of the newest rows, not one of them a positive. since: the last positive; usual: the share till then."""

    since: Instant
    labels: int
    usual: float


def cut_blocks(at: Ints, counted: Flags) -> Blocks:
    """The longest blocks of time of which the counted rows fill enough; else each row is its own block."""
    for size in _SIZES:
        number = at // size
        if len(np.unique(number[counted])) >= MIN_BLOCKS:
            return Blocks(number, size, f"rows of one block of {say_span(size)} count as one observation")
    return Blocks(
        np.arange(len(at), dtype=np.int64),
        None,
        "the labels fill too few blocks of time, so rows are taken as independent: intervals may be too narrow",
    )


def shared_block(*sides: Ints) -> Span | None:
    """The longest block of which all sides together fill enough; None where none does."""
    return next((size for size in _SIZES if sum(len(np.unique(at // size)) for at in sides) >= MIN_BLOCKS), None)


def newest_from(at: Ints, size: Span | None, recent: Span | None) -> Instant | None:
    """Where the newest stretch begins, at the edge of a block; None where it would leave nothing before it.

    recent: how long it is; None: a quarter of the time covered, and five blocks at least.

    >>> newest_from(np.arange(40) * DAY, DAY, None) // DAY, newest_from(np.arange(40) * DAY, DAY, Span(7 * DAY)) // DAY
    (30, 33)
    """
    if not len(at):
        return None
    first, last = int(at.min()), int(at.max())
    end = last + 1 if size is None else (last // size + 1) * size
    start = end - (recent or (end - first) // 4)
    if size is not None:
        start -= start % size
        if recent is None:
            start = min(start, int(np.unique(at // size)[-_LEAST:][0]) * size)
    return Instant(start) if first < start <= last else None


def unsettled_tail(at: Ints, due: Flags, label: Floats, size: Span | None) -> Tail | None:
    """The newest blocks whose due rows have some labels and fewer than is usual: early ones are seldom like the rest.

    The usual share is the median of the older half of blocks; the tail is told when luck does not explain it.
    """
    if size is None:
        return None
    names, place = np.unique(at[due] // size, return_inverse=True)
    known = ~np.isnan(label[due])
    rows = np.bincount(place, minlength=len(names))
    share = np.bincount(place, weights=known, minlength=len(names)) / np.maximum(rows, 1)
    usual = float(np.median(share[: max(1, len(names) // 2)])) if len(names) else 0.0
    settled = np.flatnonzero(share >= _USUAL * usual)
    begins = int(settled[-1]) + 1 if len(settled) else 0
    in_tail = place >= begins
    expected, there = usual * int(in_tail.sum()), int(known[in_tail].sum())
    spread = math.sqrt(max(usual * (1.0 - usual) * int(in_tail.sum()), 1.0))
    if not there or not 0 < begins < len(names) or expected - there < _ERRORS * spread:
        return None
    last = _nearly(rows, share * rows, len(names) // 2, begins)
    before = place < last
    found = label[due]
    sides = (found[in_tail & known], found[~in_tail & known])
    return Tail(
        start=Instant(int(names[begins]) * size),
        due=int(in_tail.sum()),
        labelled=there,
        usual=usual,
        mean=(_mean(sides[0]), _mean(sides[1])),
        nearly=Instant(int(names[last]) * size),
        covered=min(1.0, float(known[before].mean()) / usual),
    )


def _nearly(rows: Ints, known: Floats, half: int, begins: int) -> int:
    """The newest block before which all but a thousandth of the labels have come that the older half lets expect.

    rows, known: rows and labels of each block. begins: where labels are plainly fewer; luck is left out of account.

    >>> _nearly(np.full(20, 100), np.repeat([100.0, 99.0, 90.0, 20.0], [14, 1, 2, 3]), 10, 17)
    15
    """
    usual = float(known[:half].sum() / max(1, rows[:half].sum()))
    lacking = np.cumsum(usual * rows - known)
    seen = np.cumsum(rows)
    allowed = _LATE * seen + _BY_LUCK * np.sqrt(seen * usual * (1.0 - usual))
    fits = np.flatnonzero(lacking[:begins] <= allowed[:begins])
    return max(half, 1, int(fits[-1]) + 1 if len(fits) else 0) if half < begins else begins


def silence_of(at: Ints, label: Floats) -> Silence | None:
    """Whether positives have stopped, as they do where outcomes that nobody knows yet are written as 0.

    Luck would have to be smaller than one in a million, and the run longer than any before it, so that outcomes that
    come in bursts are left alone. label: 0 or 1, without gaps.

    >>> label = np.concatenate((np.tile([0.0, 0.0, 1.0], 100), np.zeros(50)))
    >>> silence_of(np.arange(350), label).labels, silence_of(np.arange(310), label[:310])
    (50, None)
    """
    order = np.argsort(at, kind="stable")
    positives = np.flatnonzero(label[order] > 0.0)
    if not len(positives):
        return None
    last = at[order[positives[-1]]]
    silent = int(np.count_nonzero(at > last))
    usual = len(positives) / (len(label) - silent)
    longest = int(np.diff(positives, prepend=-1).max()) - 1
    if silent <= _LONGER * longest or usual >= 1.0 or silent * math.log1p(-usual) > math.log(_LUCK):
        return None
    return Silence(since=Instant(int(last)), labels=silent, usual=usual)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None
