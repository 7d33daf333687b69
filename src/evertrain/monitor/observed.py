"""Somebody else's predictions and labels, looked at: performance by segment and over time, and the inputs.

Figures are about mature rows, whole cohorts of them: with a horizon a row counts when its label is due, and rows whose
label comes early do not push ahead. Every interval and every test takes rows of one block of time as one observation
(`monitor.estimate`); where a table has too few blocks, rows are taken one by one and the report says so.
"""

from collections.abc import Iterator
from itertools import pairwise

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.core.comparison import MIN_BLOCKS, holm
from evertrain.core.policy import MetricName
from evertrain.core.time import DAY, HOUR, MINUTE, Instant, Span, say_span
from evertrain.monitor.estimate import Contest, Gap, estimate, mean_estimate
from evertrain.monitor.report import METRICS, Inputs, Kind, Observations, Period, Question, Report, Segment
from evertrain.monitor.shift import DEALS, Side, compare_inputs

__all__ = ["look"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_BLOCKS = (DAY, Span(6 * HOUR), HOUR, Span(10 * MINUTE), MINUTE)
_WEEK = Span(7 * DAY)
_MOST_VALUES = 40
"""So many values of a segment column stand by themselves, the commonest; the rest is one segment."""
_CUT_FROM = 20
"""A segment column of numbers with more different values than this is cut at its quartiles."""
MISSING, OTHER = "missing", "all other values"


class _Mature(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows count: whose label is due, and of them those that have one; and the block of each row."""

    due: Flags
    judged: Flags
    block: Ints


def look(
    name: str,
    seen: Observations,
    question: Question,
    *,
    kind: Kind,
    reference: Observations | None = None,
    reference_name: str = "",
    inputs: tuple[str, ...] = (),
    notices: tuple[str, ...] = (),
) -> Report:
    """The report. seen must hold a row. inputs: the columns that are compared with the reference.

    reference None: the first half of the time that the table covers. The result is a pure function of its arguments.
    """
    metric = question.metric or METRICS[kind][0]
    now = Instant(int(seen.at.max())) if question.now is None else question.now
    due = seen.at + (question.horizon or 0) <= now
    judged = due & ~np.isnan(seen.label)
    block, dependence = _blocks(seen.at, judged)
    mature = _Mature(due=due, judged=judged, block=block)
    label, score, own = seen.label[judged], seen.score[judged], block[judged]
    segments = _segments(seen, question, metric, mature)
    return Report(
        name=name,
        kind=kind,
        metric=metric,
        first=Instant(int(seen.at.min())),
        last=Instant(int(seen.at.max())),
        now=now,
        horizon=question.horizon,
        alpha=question.alpha,
        rows=len(seen.at),
        labelled=int(np.count_nonzero(judged)),
        waiting=int(np.count_nonzero(~due)),
        missing=int(np.count_nonzero(due & ~judged)),
        base=float(label.mean()) if len(label) else None,
        figures={
            one: estimate(one, label, score, block=own, alpha=question.alpha)
            for one in dict.fromkeys((metric, *METRICS[kind]))
        },
        bias=mean_estimate(score - label, block=own, alpha=question.alpha),
        dependence=dependence,
        segments=segments,
        tested=sum(one.p_value is not None for one in segments),
        worst=_said_worst(segments, metric, question.alpha),
        periods=tuple(_periods(seen, question, metric, mature)),
        inputs=_inputs(seen, reference, reference_name, inputs, question),
        notices=notices,
    )


def _blocks(at: Ints, counted: Flags) -> tuple[Ints, str]:
    """The block of each row: the longest of _BLOCKS of which the counted rows fill enough, else each row its own."""
    for size in _BLOCKS:
        place = at // size
        if len(np.unique(place[counted])) >= MIN_BLOCKS:
            return place, f"rows of one block of {say_span(size)} count as one observation"
    return (
        np.arange(len(at), dtype=np.int64),
        "the labels fill too few blocks of time, so rows are taken as independent: intervals may be too narrow",
    )


# Segments -------------------------------------------------------------------------------------------------------------


def _segments(seen: Observations, question: Question, metric: MetricName, mature: _Mature) -> tuple[Segment, ...]:
    found: list[tuple[Segment, Gap | None]] = []
    counted = mature.judged
    contest = Contest(metric, seen.label[counted], seen.score[counted], mature.block[counted])
    for column in question.segments:
        for value, inside in _values_of(seen.rows[column], mature.judged):
            against = contest.gap(inside[counted])
            found.append(
                _segment(seen, question, metric, mature, column=column, value=value, inside=inside, against=against)
            )
    adjusted = iter(holm([against.p_value for _, against in found if against is not None]))
    tested = sum(against is not None for _, against in found)
    named = [
        one if against is None else _tested(one, against, next(adjusted), tested, question.alpha)
        for one, against in found
    ]
    return tuple(sorted(named, key=lambda one: (one.p_value is None, -(one.worse or 0.0))))


def _segment(
    seen: Observations,
    question: Question,
    metric: MetricName,
    mature: _Mature,
    *,
    column: str,
    value: str,
    inside: Flags,
    against: Gap | None,
) -> tuple[Segment, Gap | None]:
    rows = inside & mature.judged
    label, score, block = seen.label[rows], seen.score[rows], mature.block[rows]
    enough = len(label) >= question.labels
    words = "" if enough else f"{len(label)} labels, {question.labels} are needed"
    if enough and against is None:
        words = f"fewer than {MIN_BLOCKS} blocks, labels of one class, or no other rows"
    segment = Segment(
        column=column,
        value=value,
        rows=int(np.count_nonzero(inside & mature.due)),
        missing=int(np.count_nonzero(inside & mature.due & ~mature.judged)),
        figure=estimate(metric, label, score, block=block, alpha=question.alpha),
        bias=mean_estimate(score - label, block=block, alpha=question.alpha),
        base=float(label.mean()) if len(label) else None,
        outcome="insufficient",
        words=words,
    )
    return segment, against if enough else None


def _tested(segment: Segment, against: Gap, p_value: float, tested: int, alpha: float) -> Segment:
    """Bonferroni for the bound: it holds for all segments together, whichever of them is picked out."""
    return msgspec.structs.replace(
        segment,
        outcome="worse" if p_value <= alpha and against.value > 0 else "open",
        worse=against.value,
        at_least=against.at_least(alpha / tested),
        p_value=p_value,
    )


def _values_of(column: pl.Series, counted: Flags) -> Iterator[tuple[str, Flags]]:
    """The values of a segment column with their rows: numbers cut at the quartiles, rare values put together."""
    if column.dtype.is_numeric() and column.n_unique() > _CUT_FROM:
        yield from _quartiles(column)
        return
    text = column.cast(pl.String).fill_null(MISSING)
    common = text.filter(pl.Series(counted)).value_counts(sort=True)
    kept = sorted(common[common.columns[0]].head(_MOST_VALUES).to_list())
    for value in kept:
        yield value, (text == value).to_numpy()
    rest = ~text.is_in(kept).to_numpy()
    if rest.any():
        yield OTHER, rest


def _quartiles(column: pl.Series) -> Iterator[tuple[str, Flags]]:
    numbers = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    there = ~np.isnan(numbers)
    edges = np.unique(np.quantile(numbers[there], (0.25, 0.5, 0.75)))
    place = np.searchsorted(edges, numbers, side="left")
    names = [f"up to {edges[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(edges))]
    for number, name in enumerate([*names, f"over {edges[-1]:g}"]):
        yield name, there & (place == number)
    if not there.all():
        yield MISSING, ~there


def _said_worst(segments: tuple[Segment, ...], metric: MetricName, alpha: float) -> str:
    tested = [one for one in segments if one.p_value is not None]
    if not tested:
        return "No segment could be tested." if segments else "No segments were asked for."
    looks = f"{len(tested)} segment{'s' if len(tested) > 1 else ''} tested"
    shown = [one for one in tested if one.outcome == "worse"]
    if not shown:
        return f"No segment is shown to be worse than the rest ({looks}, Holm at {alpha:.0%})."
    worst = shown[0]
    more = "" if len(shown) == 1 else f" {len(shown)} segments are."
    return (
        f"{worst.column} = {worst.value} is shown to be worse than all other rows: {metric.replace('_', ' ')} worse by "
        f"{worst.worse:.4f}, and by at least {worst.at_least:.4f} whichever segment is picked ({looks}, Holm p "
        f"{_said_p(worst.p_value or 0.0)}).{more}"
    )


def _said_p(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


# Periods --------------------------------------------------------------------------------------------------------------


def _periods(seen: Observations, question: Question, metric: MetricName, mature: _Mature) -> Iterator[Period]:
    width = _width(int(seen.at.max() - seen.at.min()))
    place = seen.at // width if width < _WEEK else (seen.at - seen.at.min() // DAY * DAY) // width
    offset = 0 if width < _WEEK else int(seen.at.min() // DAY * DAY)
    for number in np.unique(place):
        rows = place == number
        judged = rows & mature.judged
        block, _ = _blocks(seen.at[judged], np.ones(int(judged.sum()), dtype=np.bool_))
        yield Period(
            start=Instant(int(number) * width + offset),
            width=width,
            rows=int(np.count_nonzero(rows)),
            waiting=int(np.count_nonzero(rows & ~mature.due)),
            missing=int(np.count_nonzero(rows & mature.due & ~mature.judged)),
            figure=estimate(metric, seen.label[judged], seen.score[judged], block=block, alpha=question.alpha),
        )


def _width(covered: int) -> Span:
    """Hours, days, weeks or four weeks, so that there are some ten to sixty periods.

    >>> say_span(_width(20 * DAY)), say_span(_width(200 * DAY))
    ('1d', '7d')
    """
    for width, most in ((HOUR, 2 * DAY), (DAY, 28 * DAY), (_WEEK, 420 * DAY)):
        if covered <= most:
            return Span(width)
    return Span(4 * _WEEK)


# Inputs ---------------------------------------------------------------------------------------------------------------


def _inputs(
    seen: Observations, reference: Observations | None, named: str, columns: tuple[str, ...], question: Question
) -> Inputs | None:
    if reference is None:
        middle = _middle(seen.at)
        then, now = seen.at < middle, seen.at >= middle
        if not columns or not then.any() or not now.any():
            return None
        sides = [_part(seen, then), _part(seen, now)]
        named = "the first half of the table's time"
    else:
        sides = [reference, seen]
    blocks = _sides(sides)
    by = "rows (too few blocks of time: rows of one day may err together, so that this calls more than it should)"
    if blocks is not None:
        by = f"blocks of {say_span(blocks)}"
    then_side, now_side = (Side(side.rows, None if blocks is None else side.at // blocks) for side in sides)
    found = compare_inputs(then_side, now_side, columns, alpha=question.alpha, seed=question.seed)
    return Inputs(
        reference=named,
        rows=(sides[0].rows.height, sides[1].rows.height),
        method=(
            f"population stability index, held against up to {DEALS:,} permutations of {by}; Holm over "
            f"{sum(one.p_value is not None for one in found)} columns: when nothing has moved, any column at all is "
            f"called moved with a chance of at most {question.alpha:.0%}"
        ),
        columns=tuple(found),
    )


def _middle(at: Ints) -> int:
    """The middle of the time covered, at the edge of a day where it covers days."""
    first, last = int(at.min()), int(at.max())
    middle = first + (last - first) // 2
    return middle - middle % DAY if last - first >= 4 * DAY else middle


def _part(seen: Observations, rows: Flags) -> Observations:
    return Observations(
        at=seen.at[rows], score=seen.score[rows], label=seen.label[rows], rows=seen.rows.filter(pl.Series(rows))
    )


def _sides(sides: list[Observations]) -> Span | None:
    """The longest block of which both sides together fill enough; None where neither does, or one has no times."""
    if any(len(side.at) < side.rows.height for side in sides):
        return None
    for size in _BLOCKS:
        if sum(len(np.unique(side.at // size)) for side in sides) >= MIN_BLOCKS:
            return size
    return None
