"""What a rollout does next: wait, advance, promote or roll back, and why.

Two questions, never mixed. *Does it harm?* The e-value of `core.evidence` reaches 1/alpha: roll back. *Is it safe to go
on?* "No alarm" is no answer; a step is admitted when the harm that it could do within the anytime-valid bound is
accepted: bound x share x requests of 24 hours <= `max_bad_answers`. The last promotion needs the bound on the
difference of error rates below `margin`. The first step is the declared entry: evidence begins there.
"""

import math
from typing import Literal

import msgspec

from evertrain.core.bound import requests_needed, upper_difference
from evertrain.core.evidence import Tally
from evertrain.core.paired import PairedFigures
from evertrain.core.policy import CanarySpec, ShadowSpec
from evertrain.core.shadow import Alike
from evertrain.core.spacing import EVERY
from evertrain.core.time import DAY, MINUTE, SECOND, Instant, Span, say_instant, say_span
from evertrain.core.wording import say_evidence

__all__ = [
    "BOUND_ALPHA",
    "MOST_REQUESTS",
    "Assessment",
    "accepted_harm",
    "assess",
    "assess_shadow",
    "evidence_of",
    "fewest_at_step",
    "fewest_requests",
    "paired_limit",
    "requests_to_go",
]

BOUND_ALPHA = 0.05
"""One-sided error rate of the bound that admits a step."""

FEWEST_AT_STEP = 10
"""Requests of its own that a step waits for. A canary that fails everything is taken back after five at the most."""

MOST_REQUESTS = 10_000_000
"""More answers without a single error than this are no plan: a margin that needs them is refused when declared."""

_ERROR_BUDGET = 0.001
_FEWEST_BAD_ANSWERS = 50.0

_FORESEEABLE_DAYS = 3650

_OUTRUN = (
    "waiting: its latency has to be compared with the control arm's first; of each arm at most "
    f"{SECOND // EVERY} answers a second count, so that takes some seconds"
)

_QUIET = 10 * MINUTE
"""So long without a request is said: the time that is foretold moves on with it."""

_ERRORS, _LATENCY, _PAIRED, _LOSSES, _SCORES = 0.5, 0.25, 0.1, 0.05, 0.1
"""Parts of alpha. Errors have half: they harm at once, and the third of a canary that only fails must end it. Labels
count in pairs, and alone where there is no time to score requests again."""

Action = Literal["wait", "pass", "advance", "promote", "roll back"]


class _Kind(msgspec.Struct, frozen=True):
    """One kind of evidence: what it is about, its e-value, and its part of alpha."""

    words: str
    value: float
    weight: float


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """The decision of one look. next_look: when waiting is expected to be over; None where no time can be said."""

    action: Action
    reasons: tuple[str, ...]
    figures: dict[str, float]
    next_look: Instant | None = None

    def known_to(self, end: Instant | None) -> "Assessment":
        """The same of answers that are known up to `end`, while later ones are still read; None: all are known.

        What speaks against a version holds at any time. What speaks for it waits until nothing is left to be read.

        >>> passed = Assessment(action="advance", reasons=("a share of 10% is admitted",), figures={})
        >>> passed.known_to(None).action, passed.known_to(Instant(0)).reasons[0]
        ('advance', 'waiting: what was answered while nobody looked is read first, up to 1970-01-01T00:00:00Z so far')
        >>> passed.known_to(Instant(0)).reasons[1]
        'by that much, a share of 10% is admitted'
        """
        if end is None or self.action == "roll back":
            return self
        first, *more = self.reasons
        so_far = (first if self.action == "wait" else f"by that much, {first}", *more)
        told = f"what was answered while nobody looked is read first, up to {say_instant(end)[:19]}Z so far"
        return msgspec.structs.replace(self, action="wait", reasons=(f"waiting: {told}", *so_far), next_look=None)


def assess(
    step: int,
    spec: CanarySpec,
    tally: Tally,
    requests_24h: float,
    now: Instant,
    *,
    pace: float | None = None,
    idle: int = 0,
    latency_decides: bool = True,
    paired: PairedFigures | None = None,
    since: Instant | None = None,
) -> Assessment:
    """Look at a rollout that is in step `step` (an index into `spec.steps`).

    requests_24h: all requests that a day brings the service, counted as the tally counts. pace: requests a day
    at which they come now, by which a time is foretold; that of the last 24 hours where it is not given. idle:
    microseconds since the last one. latency_decides: False where time is simulated; latency is then a figure only.
    paired: what rescoring has found. since: when the step began, for the least time of a step.

    >>> quiet = assess(1, CanarySpec(steps=(0.01, 0.1)), Tally.start(0.1), 0.0, Instant(0))
    >>> quiet.action, quiet.reasons[0]
    ('wait', 'waiting: about 439 more canary requests; there is next to no traffic, so no time can be said')
    """
    figures = _figures(tally, spec, paired, latency_decides)
    figures["requests_24h"] = requests_24h
    evidence, bound = figures["e_value"], figures["bound"]
    if evidence >= 1.0 / spec.alpha:
        harm = _harm(_kinds(tally, latency_decides, paired), spec, evidence)
        return Assessment(action="roll back", reasons=harm, figures=figures)
    last = step >= len(spec.steps) - 1
    limit = bound_limit(spec, step, requests_24h)
    figures["bound_limit"] = limit
    own = fewest_at_step(spec.steps[step], requests_24h)
    if tally.step.canary >= own and (bound < limit if last else bound <= limit):
        passed = Assessment(
            action="promote" if last else "advance",
            reasons=(_admitted(spec, step, bound, requests_24h),),
            figures=figures,
        )
        if last and latency_decides and tally.latency.outrun:
            return msgspec.structs.replace(passed, action="wait", reasons=(_OUTRUN, *passed.reasons))
        return _no_sooner(passed, spec, since, now)
    more = requests_to_go(step, spec, tally, requests_24h)
    because = "" if last or more is None or more <= own - tally.step.canary else _foreseen(requests_24h)
    pace = requests_24h if pace is None else pace
    waits = _wait(spec.steps[step], more, now, figures, pace=pace, idle=idle, because=because)
    return waits if paired is None else msgspec.structs.replace(waits, reasons=(*waits.reasons, paired.words))


def assess_shadow(
    shadow: ShadowSpec,
    spec: CanarySpec,
    tally: Tally,
    alike: Alike,
    now: Instant,
    *,
    pace: float,
    idle: int = 0,
    paired: PairedFigures | None = None,
) -> Assessment:
    """Look at a rollout whose version is in shadow: it passes by the bound of the last promotion.

    tally: in which what the shadow was shown counts as the canary's. Its latency is that of another path, and decides
    nothing. pace: requests a day at which they come now.
    """
    figures = _figures(tally, spec, paired, latency_decides=False)
    figures |= {"bound_limit": spec.margin, "shadowed": float(tally.canary), "apart": alike.apart}
    figures |= {"otherwise": alike.share_differing}
    if alike.correlation is not None:
        figures["correlation"] = alike.correlation
    evidence = figures["e_value"]
    if evidence >= 1.0 / spec.alpha:
        harm = _harm(_kinds(tally, latency_decides=False, paired=paired, arm="shadow"), spec, evidence)
        return Assessment(action="roll back", reasons=(*harm, alike.words), figures=figures)
    told = (alike.words, *(() if paired is None else (paired.words,)))
    if shadow.requests is None:
        words = f"in shadow until a person promotes it; it has seen {tally.canary:,} requests"
        return Assessment(action="wait", reasons=(words, *told), figures=figures)
    if tally.canary >= shadow.requests and figures["bound"] < spec.margin:
        words = f"it saw {tally.canary:,} requests, and fails at most {figures['bound']:.4f} more often than the rest"
        return Assessment(
            action="pass", reasons=(f"{words}, within the margin {spec.margin:g}", *told), figures=figures
        )
    more = _requests_until(spec.margin, tally)
    more = None if more is None else max(more, shadow.requests - tally.canary, 1)
    waits = _wait(shadow.share, more, now, figures, pace=pace, idle=idle)
    return msgspec.structs.replace(waits, reasons=(*waits.reasons, *told))


def _figures(tally: Tally, spec: CanarySpec, paired: PairedFigures | None, latency_decides: bool) -> dict[str, float]:
    return {
        "e_value": evidence_of(tally, latency_decides=latency_decides, paired=paired),
        "e_errors": tally.errors.value,
        "e_latency": tally.latency.value,
        "e_scores": tally.scores.value,
        "e_losses": tally.losses.value,
        **({} if paired is None else {"e_paired": paired.e_value, "paired": float(paired.labels)}),
        "e_limit": 1.0 / spec.alpha,
        "bound": upper_difference(
            errors=tally.canary_errors,
            requests=tally.canary,
            baseline_errors=tally.rest_errors,
            baseline_requests=tally.rest,
            alpha=BOUND_ALPHA,
        ),
        "canary": float(tally.canary),
        "canary_errors": float(tally.canary_errors),
        "rest": float(tally.rest),
        "rest_errors": float(tally.rest_errors),
    }


def _requests_until(limit: float, tally: Tally) -> int | None:
    """Canary requests without an error until the bound falls below the limit."""
    return requests_needed(
        math.nextafter(limit, 0.0),
        errors=tally.canary_errors,
        requests=tally.canary,
        baseline_errors=tally.rest_errors,
        baseline_requests=tally.rest,
        alpha=BOUND_ALPHA,
    )


def requests_to_go(step: int, spec: CanarySpec, tally: Tally, requests_24h: float) -> int | None:
    """Canary requests without an error until the step is over, at least one; None where no number of them would do.

    >>> requests_to_go(1, CanarySpec(steps=(0.01, 0.1)), Tally.start(0.1), 1_000.0)
    439
    """
    more = _requests_until(bound_limit(spec, step, requests_24h), tally)
    own = fewest_at_step(spec.steps[step], requests_24h)
    return None if more is None else max(more, own - tally.step.canary, 1)


def evidence_of(tally: Tally, *, latency_decides: bool = True, paired: PairedFigures | None = None) -> float:
    """All evidence of harm as one e-value: 1 at the start.

    >>> evidence_of(Tally.start(0.1))
    1.0
    """
    return sum(kind.weight * kind.value for kind in _kinds(tally, latency_decides, paired))


def paired_limit(spec: CanarySpec, *, latency_decides: bool = True) -> float:
    """The e-value of paired labels that ends a trial alone, and a probation: both have the same part of alpha.

    >>> round(paired_limit(CanarySpec()))
    1000
    """
    found = _kinds(Tally.start(0.5), latency_decides, None)
    return 1.0 / (spec.alpha * next(kind.weight for kind in found if kind.words.startswith("paired")))


def fewest_requests(margin: float) -> int | None:
    """Canary requests without a single error before the bound falls below `margin`; None where it never would.

    >>> fewest_requests(0.01)
    439
    """
    return requests_needed(
        math.nextafter(margin, 0.0),
        errors=0,
        requests=0,
        baseline_errors=0,
        baseline_requests=0,
        alpha=BOUND_ALPHA,
    )


def accepted_harm(spec: CanarySpec, requests_24h: float) -> float:
    """How many bad answers a step may cost in 24 h.

    >>> accepted_harm(CanarySpec(), 1_000.0), accepted_harm(CanarySpec(), 2_000_000.0)
    (50.0, 2000.0)
    """
    if spec.max_bad_answers is not None:
        return spec.max_bad_answers
    return max(_FEWEST_BAD_ANSWERS, _ERROR_BUDGET * requests_24h)


def bound_limit(spec: CanarySpec, step: int, requests_24h: float) -> float:
    """What the bound must not exceed in step `step`: `margin` to promote, before that what the next share may cost."""
    if step >= len(spec.steps) - 1:
        return spec.margin
    answers = spec.steps[step + 1] * requests_24h
    return min(1.0, accepted_harm(spec, requests_24h) / answers) if answers > 0 else 1.0


def fewest_at_step(share: float, requests_24h: float) -> int:
    """So many requests a step waits for at its own share, whatever the steps before it have shown.

    One that fails them all is taken back before they are over. Where there is little traffic, a day's share will do.
    """
    return max(1, min(FEWEST_AT_STEP, math.ceil(share * requests_24h)))


def _kinds(
    tally: Tally, latency_decides: bool, paired: PairedFigures | None, arm: Literal["canary", "shadow"] = "canary"
) -> list[_Kind]:
    """What decides, with its weight. All kinds share one alpha: a weighted mean of e-values is an e-value."""
    errors = f"{arm} errors {tally.canary_errors} of {tally.canary}, the rest {tally.rest_errors} of {tally.rest}"
    losses = f"labels of {tally.losses.canary} {arm} answers against {tally.losses.rest} of the rest's"
    late = "latency against the control arm"
    if told := tally.latency.says:
        late += f": {told} (slower_by allows more)"
    kinds = [
        _Kind(errors, tally.errors.value, _ERRORS),
        _Kind(late, tally.latency.value, _LATENCY if latency_decides else 0.0),
        _Kind("paired labels" if paired is None else paired.words, 1.0 if paired is None else paired.e_value, _PAIRED),
        _Kind(losses, tally.losses.value, _LOSSES),
        _Kind("scores far from the control arm's", tally.scores.value, _SCORES),
    ]
    whole = sum(kind.weight for kind in kinds)
    return [msgspec.structs.replace(kind, weight=kind.weight / whole) for kind in kinds if kind.weight > 0]


def _harm(kinds: list[_Kind], spec: CanarySpec, evidence: float) -> tuple[str, ...]:
    """The whole first, then what speaks against it, the strongest first; errors always, since they say of how many.

    What has shown no harm is among the figures on record, and only hides here what has.
    """
    reached = f"evidence of harm {say_evidence(evidence)} reached {1.0 / spec.alpha:g}"
    total = f"{reached} (false alarms at most {spec.alpha:g})"
    speaks = (kind for kind in kinds if kind.value > 1.0 or kind is kinds[0])
    told = sorted(speaks, key=lambda kind: -kind.weight * kind.value)
    return total, *(f"{kind.words}: e-value {kind.value:.4g}" for kind in told)


def _admitted(spec: CanarySpec, step: int, bound: float, requests_24h: float) -> str:
    if step >= len(spec.steps) - 1:
        return (
            f"the share of failed requests is at most {bound:.4f} above the rest's, within the margin {spec.margin:g}"
        )
    return (
        f"a share of {spec.steps[step + 1]:.0%} is admitted: the share of failed requests is at most {bound:.4f} above "
        f"the rest's, within {accepted_harm(spec, requests_24h):.0f} failed requests a day"
    )


def _foreseen(requests_24h: float) -> str:
    """What sets the number of requests that a step before the last waits for: it moves with the traffic."""
    return f", because about {requests_24h:,.0f} requests a day are foreseen at the present rate"


def _wait(
    share: float,
    more: int | None,
    now: Instant,
    figures: dict[str, float],
    *,
    pace: float,
    idle: int,
    because: str = "",
) -> Assessment:
    if more is None:
        return Assessment(action="wait", reasons=("waiting: no number of requests would do",), figures=figures)
    figures = {**figures, "more": float(more)}
    rate = share * pace
    quiet = f"; no request came for {idle // MINUTE:,} min" if idle >= _QUIET else ""
    if more > rate * _FORESEEABLE_DAYS:
        why = "there is next to no traffic" if rate <= 0 else "traffic is very low"
        reason = f"waiting: about {more} more canary requests{because}; {why}, so no time can be said{quiet}"
        return Assessment(action="wait", reasons=(reason,), figures=figures)
    by = Instant(now + math.ceil(more / rate * DAY))
    reason = f"waiting: about {more} more canary requests that do not fail, by about {say_instant(by)[:16]}Z"
    reason += because + quiet
    return Assessment(action="wait", reasons=(reason,), figures=figures, next_look=by)


def _no_sooner(passed: Assessment, spec: CanarySpec, since: Instant | None, now: Instant) -> Assessment:
    """A step that has passed, or a wait until it has lasted as long as it is to: evidence of earlier steps counts."""
    ends = now if since is None else Instant(since + spec.step_for)
    if ends <= now:
        return passed
    reason = f"waiting: a step lasts at least {say_span(Span(spec.step_for))}, so until {say_instant(ends)[:19]}Z"
    return Assessment(action="wait", reasons=(reason, *passed.reasons), figures=passed.figures, next_look=ends)
