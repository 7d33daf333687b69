"""What a declaration will do, before it does it: the values that `evertrain plan` shows, and their arithmetic.

All functions are pure. What cannot be foreseen (how a model will fare, what traffic will come) is not guessed: traffic
is taken to be as the service sees it, or else as it was in the history, and a canary's figures hold for a version
without errors from now on.
"""

import math
from typing import Literal

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.core.canary import requests_to_go
from evertrain.core.card import Card
from evertrain.core.comparison import MIN_BLOCKS, normal_quantile
from evertrain.core.evidence import Tally
from evertrain.core.gate import Criterion
from evertrain.core.identity import Digest, ServiceName, SourceName
from evertrain.core.policy import CanarySpec, GateSpec, PerformanceTrigger, RowsTrigger, TriggerSpec
from evertrain.core.power import plan_labels, unpassable
from evertrain.core.time import DAY, Instant, Span, say_span
from evertrain.core.trigger import Fired, Observed, due, name_of

__all__ = [
    "EnvironmentPlan",
    "GatePlan",
    "HistoryPlan",
    "Plan",
    "ServicePlan",
    "SourcePlan",
    "StepPlan",
    "TriggerPlan",
    "changes_between",
    "comparison",
    "foresee_canary",
    "foresee_gate",
    "foresee_trigger",
]


class SourcePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a source. faults: whole files that are set aside, and why. parts: what `files` counts.

    numbers: columns that are text only because of a few cells. reasons: why rows are set aside, with how many, the
    commonest first. repaired: a function of the user's mends its cells.
    """

    name: SourceName
    pattern: str
    files: int
    rows: int
    aside: int
    newest: Instant | None
    inferred: bool = False
    faults: tuple[str, ...] = ()
    parts: Literal["files", "pages"] = "files"
    numbers: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    repaired: bool = False


class HistoryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The examples of the history. per_day: over the newest four weeks of them.

    mature: examples whose label's clock has run out; labelled: those of them that have a label. training, holdout:
    rows that a training would begin with now; fewest: how many each has to hold.
    """

    examples: int
    first: Instant | None
    last: Instant | None
    per_day: float
    mature: int
    labelled: int
    training: int
    holdout: int
    fewest: int

    @property
    def enough(self) -> bool:
        return min(self.training, self.holdout) >= self.fewest


class GatePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenger has to prove. obstacle: why nothing could pass, "" when something could.

    noise: standard error of the difference of two versions, as the newest card measured it; None before there is one.
    labels, span: what a verdict needs at that noise, so that an equal challenger passes with chance 0.8; chance: the
    one that it has with the declared holdout.
    """

    primary: str
    margin: float
    holdout: Span
    blocks: int
    blocks_needed: int
    obstacle: str
    noise: float | None = None
    labels: int | None = None
    span: Span | None = None
    chance: float | None = None


class TriggerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """When a trigger fires. at: the instant where it can be said or estimated, else None."""

    name: str
    says: str
    at: Instant | None = None


class StepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One share of a canary. The control arm, the champion in a twin process, gets as much.

    requests: that the canary has still to answer in this step before the next one is admitted, if none fails; None
    where no number would do. days: how long that takes at the rate of requests; None without one.
    """

    share: float
    requests: int | None
    days: float | None


class EnvironmentPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The lock that its versions run with. unhashed: how many packages have no hash. standing: of its environment."""

    file: str
    lock: Digest
    packages: int
    unhashed: int
    standing: str


class ServicePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one service. changes: what differs from the record; None when nothing is on record.

    cautions: what `evertrain init` would say against its inputs and its scripts. canary: the steps to come, of the
    version `trial` from the one that it is in; else of the next one. presumed: the requests a day, as many as
    the history has rows, by which they are reckoned where none has come yet. back: there are no steps, versions enter
    by workers of their own, and those before stay warm for so long.
    """

    service: ServiceName
    changes: tuple[str, ...] | None
    inputs: int
    recipes: tuple[str, ...]
    sources: tuple[SourcePlan, ...]
    history: HistoryPlan | None
    gate: GatePlan | None
    triggers: tuple[TriggerPlan, ...]
    canary: tuple[StepPlan, ...]
    trial: int | None = None
    presumed: float | None = None
    back: Span | None = None
    cautions: tuple[str, ...] = ()
    environment: EnvironmentPlan | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """at: the business time for which it holds."""

    at: Instant
    services: tuple[ServicePlan, ...]


def foresee_gate(gate: GateSpec, card: Card | None) -> GatePlan:
    """What a verdict needs. card: of the newest challenger that was about as good as its champion, if any.

    >>> foresee_gate(GateSpec(holdout=7 * DAY, block=DAY), None).obstacle[:40]
    'a holdout of 7d holds 7 blocks of 1d and'
    """
    noise = None if card is None else _noise(gate, card)
    plan = GatePlan(
        primary=gate.primary,
        margin=gate.margin,
        holdout=Span(gate.holdout),
        blocks=math.ceil(gate.holdout / gate.block),
        blocks_needed=0 if gate.primary == "auc" else MIN_BLOCKS,
        obstacle=unpassable(gate, noise) or "",
        noise=noise,
    )
    if card is None or noise is None or card.boundary is None or card.end is None:
        return plan
    blocks = max(1, math.ceil((card.end - card.boundary) / gate.block))
    needs = plan_labels(gate, error=noise, blocks=blocks, labels=card.holdout_rows)
    return msgspec.structs.replace(plan, labels=needs.labels, span=needs.span, chance=needs.chance)


def comparison(card: Card) -> Criterion | None:
    """How a challenger compared with the champion, unless it was shown to be worse: only alike versions tell noise."""
    for criterion in card.criteria:
        alike = criterion.status in ("pass", "inconclusive") and criterion.interval is not None
        if alike and criterion.name == "not worse than the champion":
            return criterion
    return None


def _noise(gate: GateSpec, card: Card) -> float | None:
    """The standard error that the bounds of a card's comparison imply."""
    found = comparison(card)
    if found is None or found.interval is None:
        return None
    error = (found.interval[1] - found.interval[0]) / (2.0 * normal_quantile(1.0 - gate.alpha))
    return error if error > 0 else None


def foresee_trigger(trigger: TriggerSpec, observed: Observed, *, earliest: Instant, per_day: float) -> TriggerPlan:
    """When a trigger fires next. earliest: when the cooldown is over. per_day: rows that become mature in a day.

    >>> seen = Observed(now=Instant(0), since=Instant(0), rows=400)
    >>> foresee_trigger(RowsTrigger(rows=1000), seen, earliest=Instant(0), per_day=300.0).says
    '400 new mature rows, 1000 make a run; at 300 a day in about 2d'
    """
    if isinstance(trigger, PerformanceTrigger):
        says = (
            f"when {trigger.metric} on the mature labels of {say_span(trigger.window)} (at least {trigger.min_labels}) "
            f"is worse than at the champion's gate by {trigger.drop:g}"
        )
        return TriggerPlan(name=name_of(trigger), says=says)
    look = due(trigger, observed)
    if isinstance(look, Fired):
        return TriggerPlan(name=look.trigger, says=look.reason, at=max(observed.now, earliest))
    says, at = look.reason, look.next_look
    if isinstance(trigger, RowsTrigger) and per_day > 0:
        days = (trigger.rows - observed.rows) / per_day
        says += f"; at {per_day:.0f} a day in about {say_span(math.ceil(days) * DAY)}"
        at = Instant(observed.now + round(days * DAY))
    return TriggerPlan(name=look.trigger, says=says, at=None if at is None else max(at, earliest))


def foresee_canary(
    spec: CanarySpec, requests_24h: float, pace: float, *, step: int = 0, tally: Tally | None = None
) -> tuple[StepPlan, ...]:
    """How a version without errors goes through its canary, from `step` on.

    requests_24h, pace: as `core.canary.assess` takes them. tally: the evidence so far of one that is in that step.

    >>> [step.requests for step in foresee_canary(CanarySpec(steps=(0.05, 0.25)), 1000.0, 1000.0)]
    [17, 422]
    """
    if spec.by_pool:
        return ()
    steps: list[StepPlan] = []
    for place, share in enumerate(spec.steps[step:], start=step):
        tally = tally if tally is not None and place == step else (tally or Tally.start(share)).stepped(share)
        more = requests_to_go(place, spec, tally, requests_24h)
        days = max(more / (share * pace), spec.step_for / DAY) if more is not None and pace > 0 else None
        steps.append(StepPlan(share=share, requests=more, days=days))
        tally = msgspec.structs.replace(tally, canary=tally.canary + (more or 0))
    return tuple(steps)


def changes_between(before: ServiceSpec, after: ServiceSpec) -> tuple[str, ...]:
    """The parts of a declaration that differ."""
    return tuple(
        name.replace("_", " ")
        for name in ServiceSpec.__struct_fields__
        if getattr(before, name) != getattr(after, name)
    )
