"""Somebody else's predictions and labels, looked at: performance by segment and over time, and the inputs.

Figures are about mature rows, whole cohorts of them: with a horizon a row counts when its label is due, and rows whose
label comes early do not push ahead. Every interval and every test takes rows of one block of time as one observation
(`monitor.estimate`); where a table has too few blocks, rows are taken one by one and the report says so.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.core.policy import MetricName
from evertrain.core.time import DAY, Instant, Span, say_span
from evertrain.errors import UserError
from evertrain.monitor.anytime import spent
from evertrain.monitor.change import Change, Game, Group, Labelled, compare_stretches, with_suspicions
from evertrain.monitor.curve import courses_of
from evertrain.monitor.estimate import estimate, mean_estimate
from evertrain.monitor.headline import say_headline
from evertrain.monitor.onset import Onset, find_onset, with_edges
from evertrain.monitor.period import Periods
from evertrain.monitor.report import METRICS, Inputs, Kind, Mature, Observations, Question, Report
from evertrain.monitor.segment import groups_of, look_at_segments
from evertrain.monitor.shift import DEALS, Course, Side, compare_inputs
from evertrain.monitor.stretch import Tail, cut_blocks, newest_from, shared_block, silence_of, unsettled_tail
from evertrain.monitor.verdict import (
    say_as_of,
    say_changed,
    say_day,
    say_guarantee,
    say_odd,
    say_onset,
    say_silence,
    say_tail,
    say_two_stretches,
    say_unasked,
    say_worst,
)

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
    spend = spent(blocks.size, question.window) if question.continual else None
    segments = look_at_segments(seen, groups, question, metric, mature, spent=spend)
    compared: MetricName = "log_loss" if metric == "auc" else metric
    asked = settled.judged
    game = None if spend is None else Game(Instant(now - (question.horizon or 0)), spend)
    since, changes, onset = _changes(
        seen, groups, question, metric=compared, counted=asked, size=blocks.size or DAY, game=game
    )
    silence = silence_of(seen.at[judged], seen.label[judged]) if kind == "probability" else None
    periods = Periods(seen)
    figures = {
        one: estimate(one, label, score, block=own, alpha=question.alpha)
        for one in dict.fromkeys((metric, *METRICS[kind]))
    }
    base = float(label.mean()) if len(label) else None
    compared_inputs = _inputs(seen, reference, reference_name, inputs, question=question, periods=periods)
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
        headline=say_headline(changes, segments, compared, question.alpha) if question.labelled else "",
        worst=say_worst(segments, metric, question.alpha),
        changes=changes,
        changed=say_changed(changes, compared, question.alpha) if len(label) else "",
        compared=compared,
        since=since,
        until=Instant(int(seen.at[asked].max())) if asked.any() else None,
        has_labels=question.labelled,
        continual=question.continual,
        guarantee=say_guarantee(question),
        periods=tuple(periods.told(seen, question, metric, every, tail)),
        courses=tuple(
            courses_of(metric, seen, groups, changes=changes, segments=segments, periods=periods, counted=asked)
        ),
        inputs=compared_inputs,
        warnings=(
            *warnings,
            *([] if silence is None else [say_silence(silence, question)]),
            *say_unasked(question, seen.at, due=due, asked=asked, since=since, now=now),
            *([] if onset is None or question.recent is None else [say_onset(onset, question.recent)]),
            *say_odd(kind, figures, base),
            *([] if tail is None else [say_tail(tail, kind, question, now)]),
            *say_as_of(question, later),
        ),
        notices=(
            *say_two_stretches(since, compared_inputs),
            *([] if not later else [f"{_rows(later)} of a later time than the look: left out."]),
            *notices,
        ),
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
    game: Game | None,
) -> tuple[Instant | None, tuple[Change, ...], Onset | None]:
    """Where the newest stretch of settled labels begins, each group before and in it, and what began before it."""
    at = seen.at[counted]
    start = newest_from(at, size, question.recent)
    if start is None:
        return None, (), None
    every = Group("", "", np.ones(len(at), dtype=np.bool_))
    rows = Labelled(label=seen.label[counted], score=seen.score[counted], at=at, block=at // size, size=size)
    inside = [Group(one.column, one.value, one.rows[counted]) for one in groups]

    def compared(start: Instant, alpha: float, game: Game | None) -> tuple[Change, ...]:
        return compare_stretches(
            metric, rows, [every, *inside], start, alpha=alpha, needed=question.labels, seed=question.seed, game=game
        )

    changes = compared(start, question.alpha, game)
    if game is not None:
        changes = with_suspicions(changes, compared(start, question.alpha, None))
    onset = None
    if question.recent is not None:
        onset = find_onset(
            lambda begins, alpha: compared(begins, alpha, None), at, size, question.recent, question.alpha
        )
    return start, changes if onset is None else with_edges(changes, onset, start, size), onset


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
    found = compare_inputs(
        then, now, columns, alpha=question.alpha, needed=question.labels, seed=question.seed, course=course
    )
    return Inputs(
        reference=named,
        start=begins,
        rows=(reference.rows.height, present.rows.height),
        method=(
            f"population stability index of the rows from {say_day(begins)} on, held against up to {DEALS:,} "
            f"permutations of {by}; Holm over {sum(one.p_value is not None for one in found)} columns: when nothing "
            f"has moved, any column at all is called moved with a chance of at most {question.alpha:.0%}"
        ),
        columns=tuple(found),
    )
