"""Somebody else's predictions and labels, looked at: performance by segment and over time, and the inputs.

Figures are about mature rows, whole cohorts of them: with a horizon a row counts when its label is due, and rows whose
label comes early do not push ahead. Every interval and every test takes rows of one block of time as one observation
(`monitor.estimate`); where a table has too few blocks, rows are taken one by one and the report says so.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.core.policy import MetricName
from evertrain.core.time import DAY, HOUR, Instant, Span, say_span, to_datetime
from evertrain.errors import UserError
from evertrain.monitor.change import Change, Group, Labelled, compare_stretches
from evertrain.monitor.estimate import Estimate, estimate, mean_estimate
from evertrain.monitor.period import Periods
from evertrain.monitor.report import METRIC_NAMES, METRICS, Inputs, Kind, Mature, Observations, Question, Report
from evertrain.monitor.segment import groups_of, look_at_segments, say_worst
from evertrain.monitor.shift import DEALS, Course, Side, compare_inputs
from evertrain.monitor.stretch import Tail, cut_blocks, newest_from, shared_block, unsettled_tail

__all__ = ["look"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def look(
    name: str,
    seen: Observations,
    question: Question,
    *,
    kind: Kind,
    reference: Observations | None = None,
    reference_name: str = "",
    inputs: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
    notices: tuple[str, ...] = (),
) -> Report:
    """The report. seen must hold a row. inputs: the columns that are compared with the reference.

    Rows after the instant of the look are left out. reference None: what is older than the newest stretch. The result
    is a pure function of its arguments. UserError where no row is as old as the look.
    """
    metric = question.metric or METRICS[kind][0]
    now = Instant(int(seen.at.max())) if question.now is None else question.now
    seen, later = _as_of(seen, now)
    due = seen.at + (question.horizon or 0) <= now
    judged = due & ~np.isnan(seen.label)
    blocks = cut_blocks(seen.at, judged)
    tail = unsettled_tail(seen.at, due, seen.label, blocks.size) if question.labelled else None
    every = Mature(due=due, judged=judged, block=blocks.number)
    settled = _settled(every, seen.at, tail)
    mature = settled if question.horizon is None else every
    counted = mature.judged
    label, score, own = seen.label[counted], seen.score[counted], blocks.number[counted]
    groups = list(groups_of(seen.rows, question.segments, counted)) if question.labelled else []
    segments = look_at_segments(seen, groups, question, metric, mature)
    compared: MetricName = "log_loss" if metric == "auc" else metric
    asked = settled.judged
    since, changes = _changes(seen, groups, question, metric=compared, counted=asked, size=blocks.size or DAY)
    periods = Periods(seen)
    figures = {
        one: estimate(one, label, score, block=own, alpha=question.alpha)
        for one in dict.fromkeys((metric, *METRICS[kind]))
    }
    base = float(label.mean()) if len(label) else None
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
        waiting=int(np.count_nonzero(~due)) if question.labelled else 0,
        missing=int(np.count_nonzero(due & ~judged)) if question.labelled else 0,
        base=base,
        figures=figures,
        bias=mean_estimate(score - label, block=own, alpha=question.alpha),
        dependence=blocks.says,
        segments=segments,
        tested=sum(one.p_value is not None for one in segments),
        worst=say_worst(segments, metric, question.alpha),
        changes=changes,
        changed=_say_changed(changes, compared, question),
        compared=compared,
        since=since,
        until=Instant(int(seen.at[asked].max())) if asked.any() else None,
        has_labels=question.labelled,
        periods=tuple(periods.told(seen, question, metric, every, tail)),
        inputs=_inputs(seen, reference, reference_name, inputs, question=question, periods=periods),
        warnings=(*_warnings(kind, figures, base, tail=tail, question=question, now=now), *warnings),
        notices=(*([] if not later else [f"{_rows(later)} of a later time than the look: left out."]), *notices),
    )


def _settled(every: Mature, at: Ints, tail: Tail | None) -> Mature:
    """Without rows of a time whose labels have come in part only."""
    if tail is None:
        return every
    settled = at < tail.start
    return Mature(due=every.due & settled, judged=every.judged & settled, block=every.block)


def _as_of(seen: Observations, now: Instant) -> tuple[Observations, int]:
    """The rows that there were at the time of the look, and how many came later."""
    there = seen.at <= now
    later = int(np.count_nonzero(~there))
    if later == len(seen.at):
        raise UserError("All rows are of a later time than the look.", "Name a later --now, or leave it out.")
    return (_part(seen, there), later) if later else (seen, 0)


def _part(seen: Observations, rows: Flags) -> Observations:
    return Observations(
        at=seen.at[rows], score=seen.score[rows], label=seen.label[rows], rows=seen.rows.filter(pl.Series(rows))
    )


# What to know first ---------------------------------------------------------------------------------------------------


def _warnings(
    kind: Kind,
    figures: dict[MetricName, Estimate],
    base: float | None,
    *,
    tail: Tail | None,
    question: Question,
    now: Instant,
) -> Iterator[str]:
    """What makes the figures say something else than they seem to."""
    if tail is not None:
        yield _say_tail(tail, kind, question, now)
    if base is not None and kind == "probability" and (said := _say_worthless(figures["log_loss"].value, base)):
        yield said
    auc = figures.get("auc")
    if auc is not None and auc.high is not None and auc.high < 0.5:
        yield (
            f"The scores order the labels the wrong way round: the AUC is {auc.value:.3f}, and chance is 0.5. Is the "
            f"label that counts as 1 the one that the score is about?"
        )


def _say_worthless(found: float | None, base: float) -> str:
    """That always saying the mean label would do better than the scores; "" where it would not."""
    constant = -sum(share * math.log(share) for share in (base, 1.0 - base) if share > 0.0)
    if found is None or found <= constant or not 0.0 < base < 1.0:
        return ""
    return (
        f"The scores are worse than none: their log loss is {found:.4f}, and that of always saying the mean label, "
        f"{base:.3g}, would be {constant:.4f}."
    )


def _say_tail(tail: Tail, kind: Kind, question: Question, now: Instant) -> str:
    there = (
        f"{tail.labelled / tail.due:.0%} of the rows from {_day(tail.start)} on have a label, {tail.usual:.0%} before"
    )
    means = ""
    if None not in tail.mean:
        what = "the share of positives" if kind == "probability" else "the mean"
        means = f"; of the labels that have come {what} is {tail.mean[0]:.3g}, and {tail.mean[1]:.3g} before"
    said = f"Only {there}{means}: what is known early is seldom like the rest"
    if question.horizon is None:
        return (
            f"{said}, so these rows count in no figure but that of their own period. State when a label is due; by "
            f"these rows it is --horizon {_said_wait(now - tail.start)}."
        )
    return (
        f"{said}, and what got worse is asked of the time before. The horizon of {say_span(question.horizon)} seems "
        f"too short, or labels were lost."
    )


def _said_wait(span: int) -> str:
    """A duration for an option, rounded up to days, or hours below one.

    >>> _said_wait(29 * DAY + 1), _said_wait(5 * HOUR)
    ('30d', '5h')
    """
    unit, name = (DAY, "d") if span > DAY else (HOUR, "h")
    return f"{-(-span // unit)}{name}"


def _day(at: int) -> str:
    moment = to_datetime(at)
    return f"{moment.day} {moment:%b %Y}"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


# Then and now ---------------------------------------------------------------------------------------------------------


def _changes(
    seen: Observations,
    groups: Sequence[Group],
    question: Question,
    *,
    metric: MetricName,
    counted: Flags,
    size: Span,
) -> tuple[Instant | None, tuple[Change, ...]]:
    """Where the newest stretch of settled labels begins, and each group before and in it."""
    at = seen.at[counted]
    start = newest_from(at, size, question.recent)
    if start is None:
        return None, ()
    every = Group("", "", np.ones(len(at), dtype=np.bool_))
    rows = Labelled(label=seen.label[counted], score=seen.score[counted], at=at, block=at // size, size=size)
    inside = [Group(one.column, one.value, one.rows[counted]) for one in groups]
    return start, compare_stretches(
        metric, rows, [every, *inside], start, alpha=question.alpha, needed=question.labels, seed=question.seed
    )


def _say_changed(changes: Sequence[Change], metric: MetricName, question: Question) -> str:
    """One or two sentences about what got worse: the group whose figure did so most, and all rows."""
    tested = [one for one in changes if one.p_value is not None]
    if not tested:
        return "" if not changes else "Whether anything got worse cannot be told: too few labels or blocks of time."
    family = f"{len(tested)} looked at" if len(tested) > 1 else "nothing else was looked at"
    shown = [one for one in tested if one.outcome == "worse"]
    if not shown:
        return f"Nothing is shown to have got worse in the newest stretch ({family}, Holm at {question.alpha:.0%})."
    worst = max(shown, key=lambda one: one.worse or 0.0)
    every = next((one for one in shown if not one.column and one is not worst), None)
    others = len(shown) - 1 - (every is not None)
    said = [f"{_say_change(worst, metric)} ({family})."]
    if every is not None:
        said.append(f"So did {_say_change(every, metric).replace(' got worse', '')}.")
    if others:
        said.append(f"{others} other segment{' has' if others == 1 else 's have'} got worse too.")
    return " ".join(said)


def _say_change(one: Change, metric: MetricName) -> str:
    since = "" if one.since is None else f" since about {_day(one.since)}"
    p_value = "< 0.001" if (one.p_value or 0.0) < 0.001 else f"{one.p_value:.3f}"
    name = METRIC_NAMES[metric]
    figures = f"{name} {one.figure[0]:.4f} before the newest stretch, {one.figure[1]:.4f} in it"
    return f"{one.name} got worse{since}: {figures}, Holm p {p_value}"


# Inputs ---------------------------------------------------------------------------------------------------------------


def _inputs(
    seen: Observations,
    reference: Observations | None,
    named: str,
    columns: tuple[str, ...],
    *,
    question: Question,
    periods: Periods,
) -> Inputs | None:
    """The newest stretch against the reference, or against the time before it."""
    size = shared_block(seen.at)
    start = newest_from(seen.at, size, question.recent)
    if not columns or (start is None and reference is None):
        return None
    begins = Instant(int(seen.at.min())) if start is None else start
    present = _part(seen, seen.at >= begins)
    if reference is None:
        reference, named = _part(seen, seen.at < begins), "the time before it"
    if len(reference.at) < reference.rows.height:
        size = None
    by = "rows (too few blocks of time: rows of one day may err together, so that this calls more than it should)"
    if size is not None:
        by = f"blocks of {say_span(size)}"
    then, now = (Side(side.rows, None if size is None else side.at // size) for side in (reference, present))
    longest = size or DAY
    course = Course(rows=seen.rows, period=periods.number, block=seen.at // longest, size=longest)
    found = compare_inputs(then, now, columns, alpha=question.alpha, seed=question.seed, course=course)
    return Inputs(
        reference=named,
        start=begins,
        rows=(reference.rows.height, present.rows.height),
        method=(
            f"population stability index of the rows from {_day(begins)} on, held against up to {DEALS:,} permutations "
            f"of {by}; Holm over {sum(one.p_value is not None for one in found)} columns: when nothing has moved, any "
            f"column at all is called moved with a chance of at most {question.alpha:.0%}"
        ),
        columns=tuple(found),
    )
