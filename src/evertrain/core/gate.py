"""The gate: what a challenger has to prove before it may answer anybody, from cheap to expensive.

1. It runs: golden requests, latency, memory, in the real check server.
2. It knows something: it beats a constant.
3. It is *not worse* than the champion, and than the frozen anchor, by more than a margin: the one-sided bound of the
   paired difference on mature rows that neither saw. Not worse is what fresher data need; *better* (the bound below
   zero) is reported beside it and decides nothing.
4. No protected segment is shown to be harmed; not too many cases that were right become wrong.

Each criterion has a status of its own, and the verdict follows from them: *error* (something could not be measured),
*fail* (a criterion is shown to be broken), *inconclusive* (the rows do not suffice to say), *pass*. Without a champion
there is nothing to compare with, and the verdict is *health only*.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.comparison import MIN_BLOCKS, Difference, compare, mcnemar
from evertrain.core.metric import HIGHER_IS_BETTER, check_rows, losses, metric, weights_of
from evertrain.core.model import Verdict
from evertrain.core.policy import GateSpec
from evertrain.core.score import RowScore
from evertrain.core.segment import harmed
from evertrain.core.time import say_span
from evertrain.core.wording import say_many
from evertrain.errors import UserError

__all__ = ["NOT_WORSE", "Criterion", "GateEvidence", "Health", "Judgement", "constants", "judge"]

NOT_WORSE = "not worse than the champion"
"""The name of the criterion that compares with what answers now."""

Floats = NDArray[np.float64]
Status = Literal["pass", "fail", "error", "inconclusive", "informative"]

_CLASSIFICATION = frozenset({"log_loss", "auc", "brier", "accuracy"})


class Criterion(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. figure and limit in the metric's unit; interval: one-sided bounds of the figure."""

    name: str
    status: Status
    words: str
    figure: float | None = None
    limit: float | None = None
    interval: tuple[float, float] | None = None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What the check server saw. cause: why it could not be measured ("segfault", "deadline", ...), "" when it was.

    golden, golden_failed: golden requests, and those not answered identically, finite and in range. own_p99_ms: without
    what was waited for a processor, None where that is not known. timed: whether measured latency may decide; in
    simulated time it is reported only.
    """

    cause: str = ""
    golden: int = 0
    golden_failed: int = 0
    p99_ms: float | None = None
    own_p99_ms: float | None = None
    memory_mb: float | None = None
    timed: bool = True


class GateEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a verdict rests on. Arrays have length n: the mature holdout rows, the same for all versions;
    scores of classes have the shape (n, k).

    at: prediction times in microseconds. challenger, champion, anchor: scores; None where there is no such version
    (an anchor that is the champion is left out). base_rate: mean label of the training rows, or share of each class.
    weight: the declared evaluation weights. segments: for each protected column, the value of each row, "" for a
    missing one.
    """

    health: Health
    label: Floats
    at: NDArray[np.int64]
    challenger: Floats
    base_rate: RowScore
    champion: Floats | None = None
    anchor: Floats | None = None
    weight: Floats | None = None
    threshold: float = 0.5
    segments: Mapping[str, Sequence[str]] = {}


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict and its reasons. better: whether the challenger is also shown to be better than the champion."""

    verdict: Verdict
    reasons: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    better: bool = False


def judge(evidence: GateEvidence, spec: GateSpec, *, seed: int = 0) -> Judgement:
    """Hold a challenger against the gate. A pure function; `seed` is that of the resampling."""
    criteria = list(_health(evidence.health, spec))
    if any(one.status == "error" for one in criteria):
        return _concluded(criteria, evidence, better=False)
    try:
        check_rows(evidence.label, *_scores(evidence))
        weights_of(evidence.weight, len(evidence.label))
        _check_segments(evidence, spec)
    except UserError as error:
        criteria.append(Criterion(name="rows", status="error", words=str(error)))
        return _concluded(criteria, evidence, better=False)
    criteria.append(_constant(evidence, spec, seed))
    better = False
    if evidence.champion is not None:
        against = _compare(evidence, evidence.champion, spec, seed)
        criteria.append(_not_worse("champion", against, spec, spec.margin))
        criteria.append(_better(against, spec))
        better = against.high < 0
        criteria.extend(_segments(evidence, evidence.champion, spec, seed))
        if spec.primary in _CLASSIFICATION:
            criteria.append(_flips(evidence, evidence.champion, spec))
    if evidence.anchor is not None:
        against = _compare(evidence, evidence.anchor, spec, seed)
        criteria.append(_not_worse("anchor", against, spec, spec.anchor_margin))
    return _concluded(criteria, evidence, better=better)


def _concluded(criteria: list[Criterion], evidence: GateEvidence, *, better: bool) -> Judgement:
    good: Verdict = "pass" if evidence.champion is not None else "health only"
    verdict: Verdict = next(
        (status for status in ("error", "fail", "inconclusive") if any(one.status == status for one in criteria)), good
    )
    decisive = [one for one in criteria if one.status == verdict] or [one for one in criteria if one.status == "pass"]
    reasons = tuple(f"{one.name}: {one.words}" for one in decisive)
    return Judgement(verdict=verdict, reasons=reasons, criteria=tuple(criteria), better=better)


def _scores(evidence: GateEvidence) -> list[Floats]:
    return [score for score in (evidence.challenger, evidence.champion, evidence.anchor) if score is not None]


def _check_segments(evidence: GateEvidence, spec: GateSpec) -> None:
    for column in spec.protect:
        if len(evidence.segments.get(column, ())) != len(evidence.label):
            raise UserError(f"The protected column {column!r} is not there for every row.", "Give its values.")


# It runs -------------------------------------------------------------------------------------------------------------


def _health(health: Health, spec: GateSpec) -> list[Criterion]:
    if health.cause:
        return [Criterion(name="check server", status="error", words=health.cause)]
    answered = f"{health.golden - health.golden_failed} of {health.golden} golden requests were answered as they should"
    golden: Status = "error" if health.golden_failed else "pass"
    found = [
        Criterion(name="golden requests", status=golden, words=answered, figure=float(health.golden_failed), limit=0.0)
    ]
    if health.p99_ms is not None:
        found.append(_latency(health.p99_ms, health.own_p99_ms, spec.max_p99_ms, decides=health.timed))
    if health.memory_mb is not None:
        found.append(_budget("memory", health.memory_mb, float(spec.max_memory_mb), "MB", decides=True))
    return found


def _latency(p99: float, own: float | None, limit: float, *, decides: bool) -> Criterion:
    """Over the limit only because the machine was busy is within it: that says nothing about the version."""
    measured = _budget("p99", p99, limit, "ms", decides=decides)
    if own is None or p99 <= limit or own > limit:
        return measured
    words = f"{own:.1f} ms, within {limit:g} ms; {p99:.1f} ms with what it waited for a processor on a busy machine"
    return msgspec.structs.replace(measured, status="pass" if decides else "informative", words=words, figure=own)


def _budget(name: str, figure: float, limit: float, unit: str, *, decides: bool) -> Criterion:
    within = figure <= limit
    words = f"{figure:.1f} {unit}, {'within' if within else 'over'} {limit:g} {unit}"
    status: Status = "informative" if not decides else "pass" if within else "fail"
    return Criterion(name=name, status=status, words=words, figure=figure, limit=limit)


# It knows something, and is not worse --------------------------------------------------------------------------------


def _compare(evidence: GateEvidence, other: Floats, spec: GateSpec, seed: int) -> Difference:
    return compare(
        spec.primary,
        evidence.label,
        evidence.challenger,
        other,
        at=evidence.at,
        block=spec.block,
        alpha=spec.alpha,
        weight=evidence.weight,
        threshold=evidence.threshold,
        seed=seed,
    )


def _too_few(name: str, against: Difference, spec: GateSpec) -> Criterion:
    if against.method == "DeLong":
        words = f"{against.rows} rows do not hold both classes"
    else:
        words = (
            f"{say_many(against.blocks, 'block')} of {say_span(spec.block)} in {against.rows} rows, {MIN_BLOCKS} are "
            "needed: declare a longer holdout or shorter blocks"
        )
    return Criterion(name=name, status="inconclusive", words=words, figure=float(against.blocks), limit=MIN_BLOCKS)


def constants(score: RowScore, rows: int) -> Floats:
    """The same answer to each of n rows, as an array of scores.

    >>> constants(0.5, 2).tolist(), constants((0.2, 0.3, 0.5), 1).tolist()
    ([0.5, 0.5], [[0.2, 0.3, 0.5]])
    """
    one = np.asarray(score, dtype=np.float64)
    return np.broadcast_to(one, (rows, *one.shape))


def _constant(evidence: GateEvidence, spec: GateSpec, seed: int) -> Criterion:
    """Fail: no better on any row, or shown to be worse. That luck let it lose on these few rows refuses nobody."""
    constant = constants(evidence.base_rate, len(evidence.label))
    against = _compare(evidence, constant, spec, seed)
    if not against.sufficient:
        return _too_few("constant", against, spec)
    figures = [
        metric(spec.primary, evidence.label, score, evidence.weight, threshold=evidence.threshold)
        for score in (evidence.challenger, constant)
    ]
    words = f"{spec.primary} {figures[0]:.4f}, that of a constant {figures[1]:.4f}"
    if against.estimate < 0:
        status: Status = "pass"
    elif against.low >= 0:
        status = "fail"
    else:
        status = "inconclusive"
        words += "; it does not beat it here, and is not shown to be worse: more labels would tell"
    return Criterion(name="constant", status=status, words=words, figure=figures[0], limit=figures[1])


def _not_worse(name: str, against: Difference, spec: GateSpec, margin: float) -> Criterion:
    """Pass: the bound is within the margin. Fail: shown to be worse, and not within it. Else more rows are needed."""
    if not against.sufficient:
        return _too_few(f"not worse than the {name}", against, spec)
    change, gain = ("lower", "higher") if spec.primary in HIGHER_IS_BETTER else ("higher", "lower")
    at_most = f"{spec.primary} is at most {against.high:.4f} {change} (estimate {against.estimate:+.4f})"
    if against.high < 0:
        status: Status = "pass"
        won = f"{spec.primary} is {-against.estimate:.4f} {gain} (at least {-against.high:.4f})"
        words = f"{won}, within the margin {margin:g}"
    elif against.high <= margin:
        status = "pass"
        words = f"{at_most}, within the margin {margin:g}"
    elif against.low > 0:
        status = "fail"
        words = (
            f"no, it is shown to be worse: {spec.primary} is {against.estimate:.4f} {change} "
            f"(at least {against.low:.4f}, at most {against.high:.4f}), and the margin is {margin:g}"
        )
    else:
        status = "inconclusive"
        words = f"{at_most}, beyond the margin {margin:g}, but not shown to be worse: more labels would tell"
    return Criterion(
        name=f"not worse than the {name}",
        status=status,
        words=words,
        figure=against.estimate,
        limit=margin,
        interval=(against.low, against.high),
    )


def _better(against: Difference, spec: GateSpec) -> Criterion:
    if not against.sufficient:
        words = "not enough rows to say"
    elif against.high < 0:
        words = f"shown to be better by {-against.high:.4f} or more ({spec.primary}, error rate {spec.alpha:g})"
    else:
        words = "not shown to be better"
    return Criterion(name="better", status="informative", words=words)


# Whom it harms -------------------------------------------------------------------------------------------------------


def _segments(evidence: GateEvidence, champion: Floats, spec: GateSpec, seed: int) -> list[Criterion]:
    found = harmed(
        spec,
        label=evidence.label,
        challenger=evidence.challenger,
        champion=champion,
        at=evidence.at,
        segments=evidence.segments,
        weight=evidence.weight,
        threshold=evidence.threshold,
        seed=seed,
    )
    return [
        Criterion(
            name=f"segment {one.column}={one.value}",
            status="fail" if one.outcome == "harmed" else "pass" if one.outcome == "not worse" else "informative",
            words=one.words,
            figure=one.estimate,
            limit=spec.segment_margin,
            interval=one.interval,
        )
        for one in found
    ]


def _flips(evidence: GateEvidence, champion: Floats, spec: GateSpec) -> Criterion:
    label, weights = evidence.label, weights_of(evidence.weight, len(evidence.label))
    wrong, was_wrong = (
        losses("accuracy", label, score, threshold=evidence.threshold) > 0 for score in (evidence.challenger, champion)
    )
    flips, gains = int(np.count_nonzero(wrong & ~was_wrong)), int(np.count_nonzero(~wrong & was_wrong))
    share = float(weights[wrong & ~was_wrong].sum() / weights.sum()) if len(label) else 0.0
    words = (
        f"{flips} of {len(label)} rows were right and become wrong, {gains} the other way "
        f"(McNemar p {mcnemar(flips, gains):.3g}); the budget is {spec.max_flips:.0%}"
    )
    status: Status = "pass" if share <= spec.max_flips else "fail"
    return Criterion(name="negative flips", status=status, words=words, figure=share, limit=spec.max_flips)
