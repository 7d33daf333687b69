"""What a report says of quality below its headline, in sentences, and what makes figures say something else."""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evertrain.core.policy import MetricName
from evertrain.core.time import DAY, HOUR, MINUTE, Instant, Span, say_span, to_datetime
from evertrain.monitor.change import Change
from evertrain.monitor.estimate import Estimate
from evertrain.monitor.onset import Onset
from evertrain.monitor.report import METRIC_NAMES, Inputs, Kind, Question, Segment
from evertrain.monitor.stretch import Silence, Tail

__all__ = [
    "is_weak",
    "say_changed",
    "say_day",
    "say_guarantee",
    "say_odd",
    "say_onset",
    "say_p",
    "say_silence",
    "say_tail",
    "say_two_stretches",
    "say_unasked",
    "say_worst",
]

_WEAK_LABELS = 200
"""Fewer labels leave it to luck whether a skill is below 0."""

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


def say_changed(changes: Sequence[Change], metric: MetricName, alpha: float) -> str:
    """One or two sentences about what got worse: the group whose figure did so most, and all rows."""
    tested = [one for one in changes if one.p_value is not None]
    if not tested:
        return "Whether anything got worse cannot be told: too few labels or blocks of time on one side."
    family = f"{len(tested)} looked at" if len(tested) > 1 else "nothing else was looked at"
    shown = [one for one in tested if one.outcome == "worse"]
    if not shown:
        looks = " over all looks" if any(one.look_p is not None for one in tested) else ""
        return f"Nothing is shown to have got worse in the newest stretch{looks} ({family}, Holm at {alpha:.0%})."
    worst = max(shown, key=lambda one: (one.everywhere, _rise(one)))
    every = next((one for one in shown if not one.column and one is not worst), None)
    others = len(shown) - 1 - (every is not None)
    said = [f"{_say_change(worst, metric)} ({family})."]
    if every is not None:
        said.append(f"So did {_say_change(every, metric).replace(' got worse', '')}.")
    if worst.everywhere and (first := max((one for one in shown if one.column), key=_rise, default=None)):
        said.append(f"The worst is {first.name}, and the others got worse without it too.")
        others -= 1
    if others:
        said.append(f"{others} other segment{' has' if others == 1 else 's have'} got worse too.")
    return " ".join(said)


def _rise(one: Change) -> float:
    return one.worse or 0.0


def _say_change(one: Change, metric: MetricName) -> str:
    since = "" if one.since is None else f" since about {say_day(one.since)}"
    name = METRIC_NAMES[metric]
    figures = f"{name} {one.figure[0]:.4f} before the newest stretch, {one.figure[1]:.4f} in it"
    before, now = one.skill
    weak = f"; its scores say next to nothing of late, skill {before:.3f} before, {now:.3f} now" if is_weak(one) else ""
    return f"{one.name} got worse{since}: {figures}, Holm p {say_p(one.p_value)}{weak}"


def is_weak(one: Change) -> bool:
    """Whether scores that told something of these rows tell nothing of late, by more labels than luck has."""
    before, now = one.skill
    return before is not None and now is not None and now <= 0.0 < before and one.labels[1] >= _WEAK_LABELS


def say_worst(segments: Sequence[Segment], metric: MetricName, alpha: float) -> str:
    """One sentence about the segments, over the whole time."""
    tested = [one for one in segments if one.p_value is not None]
    if not tested:
        return "No segment could be tested." if segments else "No segments were asked for."
    looks = f"{len(tested)} segment{'s' if len(tested) > 1 else ''} tested"
    shown = [one for one in tested if one.outcome == "worse"]
    if not shown:
        return f"Over the whole time no segment is shown to be worse than the rest ({looks}, Holm at {alpha:.0%})."
    worst, name = shown[0], METRIC_NAMES[metric]
    gap, bound = worst.worse or 0.0, worst.at_least or 0.0
    if worst.avoidable is None:
        says = f"{name} worse by {gap:.4f}, and by at least {bound:.4f} whichever segment is picked"
    else:
        says = (
            f"calibration would take {worst.avoidable:.4f} off its {name}, of the rest {worst.avoidable - gap:.4f}; "
            f"at least {bound:.4f} more, whichever segment is picked"
        )
    more = "" if len(shown) == 1 else f" {len(shown)} segments are."
    return (
        f"Over the whole time {worst.column} = {worst.value} is shown to be worse than all other rows: {says} "
        f"({looks}, Holm p {say_p(worst.p_value)}).{more}"
    )


def say_p(p_value: float | None) -> str:
    """A p-value, as short as it is read."""
    return "< 0.001" if (p_value or 0.0) < 0.001 else f"{p_value:.3f}"


def say_day(at: int) -> str:
    """The day of an instant.

    >>> say_day(0)
    '1 Jan 1970'
    """
    moment = to_datetime(at)
    return f"{moment.day} {moment:%b %Y}"


def say_guarantee(question: Question) -> str:
    """What the error rate of the claims is about: one look, or all looks at a stream."""
    rate = f"{question.alpha:.0%}"
    if not question.continual:
        return (
            f"This is one look: when nothing is worse, anything at all is called so with a chance of at most {rate}, "
            f"for each kind of claim. Who looks again and again as a table grows will see more false claims than that; "
            f"of a stream (--listen), what got worse and which segment is worse hold at all looks together."
        )
    late = (
        "" if question.horizon is not None else " State --horizon, since labels that come late change what was judged."
    )
    return (
        f"This holds at all looks together, however often the page is loaded: when nothing is worse, anything at all "
        f"is ever said to have got worse with a chance of at most {rate}, and any segment to be worse than the rest "
        f"with one of {rate}. A look at the same data costs nothing. What is suspicious, what moved, and each interval "
        f"is of this one look.{late}"
    )


# What to know first ---------------------------------------------------------------------------------------------------


def say_unasked(
    question: Question, at: Ints, *, due: Flags, asked: Flags, since: Instant | None, now: Instant
) -> Iterator[str]:
    """Which claims an option leaves nothing for. at: of all rows; asked: those whose label counts over time.

    since: where the newest stretch of them begins, None where there is none.
    """
    if question.labelled and question.horizon is not None and not due.any():
        first = Instant(int(at.min()))
        yield (
            f"No label is due yet, so nothing is said of quality: the horizon of {say_span(question.horizon)} is "
            f"longer than the {_said_wait(now - first)} from the first row to the look. Name a shorter --horizon if "
            f"labels are due sooner; else look again from {say_day(first + question.horizon)} on."
        )
    if question.recent is None or since is not None:
        return
    rows = at[asked] if asked.any() else at
    covered = int(rows.max()) - int(rows.min())
    if covered > question.recent:
        return
    what = "rows whose label counts" if asked.any() else "rows"
    moved = " and what moved" if int(at.max()) - int(at.min()) <= question.recent else ""
    yield (
        f"Nothing is said of what got worse{moved}: the newest stretch of {say_span(question.recent)} leaves no time "
        f"before it in the {_said_wait(covered)} of {what}. Name a shorter one, such as --recent "
        f"{_said_wait(covered // 4)}, or leave it out for a quarter of the time."
    )


def say_odd(kind: Kind, figures: Mapping[MetricName, Estimate], base: float | None) -> Iterator[str]:
    """That scores are the wrong way round, or worse than none."""
    auc = figures.get("auc")
    if auc is not None and auc.value is not None and auc.high is not None and auc.high < 0.5:
        yield (
            f"The scores order the labels the wrong way round: the AUC is {auc.value:.3f}, chance is 0.5, and turned "
            f"round it would be {1.0 - auc.value:.3f}. Either the score is that of the other outcome: give 1 minus it. "
            f"Or labels of 1 are the other outcome: post the other one, or of a table name it with --positive."
        )
    if base is not None and kind == "probability" and (said := _say_worthless(figures["log_loss"].value, base)):
        yield said


def _say_worthless(found: float | None, base: float) -> str:
    """That always saying the mean label would do better than the scores; "" where it would not."""
    constant = -sum(share * math.log(share) for share in (base, 1.0 - base) if share > 0.0)
    if found is None or found <= constant or not 0.0 < base < 1.0:
        return ""
    return (
        f"The scores are worse than none: their log loss is {found:.4f}, and that of always saying the mean label, "
        f"{base:.3g}, would be {constant:.4f}."
    )


def say_tail(tail: Tail, kind: Kind, question: Question, now: Instant) -> str:
    """That labels of the newest rows have come in part only, and what to state."""
    begins = say_day(tail.start)
    there = f"{tail.labelled / tail.due:.0%} of the rows from {begins} on have a label, {tail.usual:.0%} before"
    means = ""
    if None not in tail.mean:
        what = "the share of positives" if kind == "probability" else "the mean"
        means = f"; of the labels that have come {what} is {tail.mean[0]:.3g}, and {tail.mean[1]:.3g} before"
    said = f"Only {there}{means}: what is known early is seldom like the rest"
    if question.horizon is None:
        return (
            f"{said}, so these rows count in no figure but that of their own period. State when a label is due; by "
            f"these rows it is --horizon {_said_wait(now - tail.nearly)}, in which {_cut_share(tail.covered)} of the "
            f"labels have come."
        )
    return (
        f"{said}, and what got worse is asked of the time before. The horizon of {say_span(question.horizon)} seems "
        f"too short, or labels were lost."
    )


def say_onset(onset: Onset, recent: Span) -> str:
    """That a change began before the newest stretch, and which stretch would show it."""
    return (
        f"{onset.name} got worse since about {say_day(onset.since)}, which is before the newest {say_span(recent)}: "
        f"the time before that holds it too, so that it may be hidden, or something else named in its stead. Compare "
        f"with --recent {_said_wait(onset.span)}."
    )


def _cut_share(share: float) -> str:
    """A share that is not rounded up to all.

    >>> _cut_share(0.99961), _cut_share(1.0)
    ('99.9%', '100%')
    """
    return "100%" if share >= 1.0 else f"{math.floor(share * 1000) / 10:.1f}%"


def say_silence(silence: Silence, question: Question) -> str:
    """That the newest labels hold no positive, and what it may mean."""
    option = "give --horizon" if question.horizon is None else "give a longer --horizon"
    return (
        f"No positive since {say_day(silence.since)} among {silence.labels:,} labels, while {silence.usual:.0%} were "
        f"before: are missing outcomes written as 0? Leave them empty, or {option}."
    )


def say_as_of(question: Question, later: int) -> Iterator[str]:
    """That a look of the past knows what came of its rows afterwards. later: how many rows were left out."""
    if later and question.labelled and question.horizon is None and not question.continual:
        yield (
            "--now leaves out later rows, not labels that came later: the table does not say when a label came. Give "
            "--horizon, and only rows count whose label was due at the time of the look."
        )


def say_two_stretches(since: Instant | None, inputs: Inputs | None) -> Iterator[str]:
    """Why the newest stretch of labels and that of inputs begin on different days."""
    if since is not None and inputs is not None and say_day(since) != say_day(inputs.start):
        yield (
            f"The newest stretch of labels begins {say_day(since)}, that of inputs {say_day(inputs.start)}: labels "
            f"come later, and each stretch ends with the newest row that counts for it."
        )


def _said_wait(span: int) -> str:
    """A duration for an option, rounded up to days, or hours or minutes below one.

    >>> _said_wait(29 * DAY + 1), _said_wait(5 * HOUR), _said_wait(90)
    ('30d', '5h', '1m')
    """
    unit, name = next((one for one in ((DAY, "d"), (HOUR, "h")) if span > one[0]), (MINUTE, "m"))
    return f"{max(1, -(-span // unit))}{name}"
