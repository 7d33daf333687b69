"""Segments of a watched table, each held against all other rows.

By a proper score they are compared by the loss that calibration would take away (`monitor.calibration`), so that a
segment is not called worse because its outcome is nearer to even; by any other metric, by the metric itself.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.core.comparison import MIN_BLOCKS, holm
from evertrain.core.policy import MetricName
from evertrain.monitor.anytime import mixture_bound, mixture_p
from evertrain.monitor.calibration import AVOIDABLE, Calibrator, skill
from evertrain.monitor.change import Group
from evertrain.monitor.estimate import Contest, Gap, estimate, mean_estimate
from evertrain.monitor.report import Mature, Observations, Question, Segment

__all__ = ["groups_of", "look_at_segments"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_MOST_VALUES = 40
"""So many values of a segment column stand by themselves, the commonest; the rest is one segment."""
_CUT_FROM = 20
"""A segment column of numbers with more different values than this is cut at its quartiles."""
MISSING, OTHER = "missing", "all other values"


def groups_of(rows: pl.DataFrame, columns: Sequence[str], counted: Flags) -> Iterator[Group]:
    """The segments with their rows: numbers cut at the quartiles, rare values put together."""
    for column in columns:
        for value, inside in _values_of(rows[column], counted):
            yield Group(column, value, inside)


def look_at_segments(
    seen: Observations,
    groups: Sequence[Group],
    question: Question,
    metric: MetricName,
    mature: Mature,
    *,
    spent: float | None = None,
) -> tuple[Segment, ...]:
    """Every segment, the worst first. spent: what a stream's p-values are raised by; None: there is one look."""

    def contest_of(mature: Mature) -> _Contest:
        return _Contest(seen, question, metric, mature)

    contest = contest_of(mature)
    found = [contest.segment(group) for group in groups]
    gaps = [gap for _, gap in found if gap is not None]
    adjusted = iter(holm([_p_value(gap, spent) for gap in gaps]))
    looked = iter(holm([gap.p_value for gap in gaps]))
    rate = question.alpha / max(1, len(gaps))
    named = [
        one if gap is None else _tested(one, gap, next(adjusted), _at_least(gap, rate, spent), question.alpha)
        for one, gap in found
    ]
    if spent is not None:
        named = [one if one.p_value is None else _suspected(one, next(looked), question.alpha) for one in named]
    ranked = sorted(
        zip(named, groups, strict=True), key=lambda pair: (pair[0].p_value is None, -(pair[0].worse or 0.0))
    )
    return tuple(_without_echoes(ranked, contest_of, mature, alpha=question.alpha, spent=spent))


def _without_echoes(
    ranked: Sequence[tuple[Segment, Group]],
    contest_of: "Callable[[Mature], _Contest]",
    mature: Mature,
    *,
    alpha: float,
    spent: float | None,
) -> Iterator[Segment]:
    """All of them, the worst first; what is worse only because the worst one is part of it is not called so."""
    others = [(one, group) for one, group in ranked[1:] if one.outcome in ("worse", "suspicious")]
    remain: Iterator[bool] = iter(())
    if others:
        inside = ranked[0][1].rows
        contest = contest_of(Mature(due=mature.due & ~inside, judged=mature.judged & ~inside, block=mature.block))
        gaps = [contest.segment(group)[1] for _, group in others]
        adjusted = holm(
            [
                1.0 if gap is None else _p_value(gap, spent if one.outcome == "worse" else None)
                for gap, (one, _) in zip(gaps, others, strict=True)
            ]
        )
        pairs = zip(gaps, adjusted, strict=True)
        remain = iter([gap is not None and p_value <= alpha and gap.value > 0 for gap, p_value in pairs])
    for place, (one, _) in enumerate(ranked):
        if place and one.outcome in ("worse", "suspicious") and not next(remain):
            words = f"not without {ranked[0][0].name}"
            yield msgspec.structs.replace(one, outcome="open", words=words)
        else:
            yield one


class _Contest:
    """Each segment's mature rows against all others."""

    def __init__(self, seen: Observations, question: Question, metric: MetricName, mature: Mature) -> None:
        self._seen, self._question, self._metric, self._mature = seen, question, metric, mature
        counted = mature.judged
        label, score = seen.label[counted], seen.score[counted]
        self._contest = Contest(metric, label, score, mature.block[counted])
        self._calibrator = Calibrator(metric, label, score) if metric in AVOIDABLE and len(label) else None

    def segment(self, group: Group) -> tuple[Segment, Gap | None]:
        """What is told before the test, and how much worse than the rest it is: None without enough labels."""
        seen, mature, question = self._seen, self._mature, self._question
        rows = group.rows & mature.judged
        label, score, block = seen.label[rows], seen.score[rows], mature.block[rows]
        gap, avoidable = self._against(rows)
        enough = len(label) >= question.labels
        known = skill(self._metric, label, score)
        segment = Segment(
            column=group.column,
            value=group.value,
            rows=int(np.count_nonzero(group.rows & mature.due)),
            missing=int(np.count_nonzero(group.rows & mature.due & ~mature.judged)),
            figure=estimate(self._metric, label, score, block=block, alpha=question.alpha),
            bias=mean_estimate(score - label, block=block, alpha=question.alpha),
            base=float(label.mean()) if len(label) else None,
            skill=known,
            avoidable=avoidable,
            outcome="insufficient",
            words="" if enough else f"{len(label)} labels, {question.labels} are needed",
        )
        if enough and gap is None:
            words = f"fewer than {MIN_BLOCKS} blocks, labels of one class, or no other rows"
            segment = msgspec.structs.replace(segment, words=words)
        elif enough and known is not None and known <= 0.0:
            segment = msgspec.structs.replace(segment, words="knows no more than its mean label")
        return segment, gap if enough else None

    def _against(self, rows: Flags) -> tuple[Gap | None, float | None]:
        """How much worse these rows are than the rest, and the part of their loss that is avoidable."""
        inside = rows[self._mature.judged]
        if self._calibrator is None:
            return self._contest.gap(inside), None
        if not inside.any():
            return None, None
        lost = np.empty(len(inside))
        for side in (inside, ~inside):
            if side.any():
                lost[side] = self._calibrator.avoidable(side)
        return self._contest.gap_of(lost, inside), float(lost[inside].mean())


def _p_value(gap: Gap, spent: float | None) -> float:
    if spent is None:
        return gap.p_value
    return min(1.0, spent * mixture_p(gap.value / gap.error, gap.freedom + 1))


def _at_least(gap: Gap, rate: float, spent: float | None) -> float:
    """The lower bound with an error rate that Bonferroni has divided: it holds whichever segment is picked out."""
    if spent is None:
        return gap.at_least(rate)
    return gap.value - mixture_bound(rate / spent, gap.freedom + 1) * gap.error


def _tested(segment: Segment, gap: Gap, p_value: float, at_least: float, alpha: float) -> Segment:
    return msgspec.structs.replace(
        segment,
        outcome="worse" if p_value <= alpha and gap.value > 0 else "open",
        worse=gap.value,
        at_least=at_least,
        p_value=p_value,
    )


def _suspected(segment: Segment, look_p: float, alpha: float) -> Segment:
    """With the p-value of a single look, and whether it would call the segment worse where all looks do not yet."""
    suspicious = segment.outcome == "open" and look_p <= alpha and (segment.worse or 0.0) > 0.0
    if not suspicious:
        return msgspec.structs.replace(segment, look_p=look_p)
    words = "; ".join(filter(None, (segment.words, "not shown over all looks")))
    return msgspec.structs.replace(segment, look_p=look_p, outcome="suspicious", words=words)


def _values_of(column: pl.Series, counted: Flags) -> Iterator[tuple[str, Flags]]:
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
