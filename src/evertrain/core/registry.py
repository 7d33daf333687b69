"""The registry: what the ledger's events add up to. Folding is pure, so everybody who reads the ledger agrees.

    registry = Registry()
    for event in ledger.read():
        registry.fold(event)

Nothing here is stored. The loop, the page, the commands and the self-audit each fold the same events.
"""

from collections.abc import Iterable
from typing import cast

import msgspec

from evertrain.core import cycle as cycles
from evertrain.core import event as facts
from evertrain.core import rollout as rollouts
from evertrain.core.cycle import MAX_LOOKS, CycleMove, CycleState, Kind
from evertrain.core.identity import CycleId, Digest, RolloutId, ServiceName, VersionId
from evertrain.core.model import DatasetRef, Fingerprint, Verdict
from evertrain.core.rollout import RolloutMove, RolloutState
from evertrain.core.routing import Refusal
from evertrain.core.time import Instant

__all__ = ["Cycle", "Decision", "Registry", "Rollout", "ServiceRecord", "Version"]


class Version(msgspec.Struct, kw_only=True):
    """A registered model version and what became of it.

    overruled: why it was refused before a person put it into service all the same. judged: when it was last, of
    `verdicts` times; evidence: what that rests on; hold: why a person has to decide before it gets more traffic.
    """

    version: VersionId
    ordinal: int
    fingerprint: Fingerprint
    cycle: CycleId | None
    built: Instant
    verdict: Verdict | None = None
    why: str = ""
    card: Digest | None = None
    judged: Instant = Instant(0)
    verdicts: int = 0
    evidence: dict[str, float] = {}
    hold: str = ""
    refused: str = ""
    overruled: str = ""
    championed: Instant | None = None
    retired: Instant | None = None
    recipe: str = ""


class Cycle(msgspec.Struct, kw_only=True):
    """One run of the loop: where it stands and what it has made.

    since: when it came into its state. until: a held cycle is not looked at before. looks: how often it was looked at
    again. stages: finished work to the blob of its result. declaration, bundle: what it works by, which is fixed
    together with its data.
    """

    cycle: CycleId
    kind: Kind
    recipe: str
    trigger: str
    began: Instant
    since: Instant
    why: str
    state: CycleState = CycleState.TRIGGERED
    until: Instant | None = None
    looks: int = 0
    dataset: DatasetRef | None = None
    version: VersionId | None = None
    rollout: RolloutId | None = None
    stages: dict[str, Digest] = {}
    declaration: Digest | None = None
    bundle: Digest | None = None

    @property
    def open(self) -> bool:
        return not cycles.is_terminal(self.state)

    @property
    def looked_out(self) -> bool:
        """Whether no look is left."""
        return self.looks >= MAX_LOOKS


class Rollout(msgspec.Struct, kw_only=True):
    """One attempt to put a version into service.

    champion: what answers everything else, None when this is the first version. steps: the declared shares; step:
    index into them, -1 before the first. shares: from when on it got which share of the traffic. reviewed: the step in
    which its version was judged again last, -2 when it was not.
    """

    rollout: RolloutId
    version: VersionId
    champion: VersionId | None
    steps: tuple[float, ...]
    cycle: CycleId | None
    began: Instant
    since: Instant
    why: str
    state: RolloutState = RolloutState.PENDING
    step: int = -1
    shares: list[tuple[Instant, float]] = []
    evidence: dict[str, float] = {}
    reviewed: int = -2

    @property
    def started(self) -> Instant | None:
        """When it first got traffic."""
        return next((at for at, share in self.shares if share > 0), None)

    @property
    def open(self) -> bool:
        return not rollouts.is_over(self.state)

    @property
    def share(self) -> float:
        """Of all requests, now."""
        return self.steps[self.step] if self.state is RolloutState.STEPPING else 0.0

    @property
    def last_step(self) -> bool:
        return self.step == len(self.steps) - 1


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a person would ask "why?" about."""

    sequence: int
    at: Instant
    kind: str
    subject: str
    outcome: str
    reason: str


class ServiceRecord(msgspec.Struct, kw_only=True):
    """Everything that the ledger says of one service.

    heard: which trigger got which decision since which cycle, so that a standing trigger is not recorded at each look.
    served: the champions one after the other, a version that came again as often as it did. wanted: the recipe of a
    retraining that a person asked for and that begins when the cycle before it has ended.
    """

    service: ServiceName
    declaration: Digest | None = None
    bundle: Digest | None = None
    versions: dict[VersionId, Version] = {}
    cycles: dict[CycleId, Cycle] = {}
    rollouts: dict[RolloutId, Rollout] = {}
    champion: VersionId | None = None
    anchor: VersionId | None = None
    generation: int = 0
    routed: Digest | None = None
    refusals: list[Refusal] = []
    decisions: list[Decision] = []
    orders: dict[int, facts.Event] = {}
    declared: Instant = Instant(0)
    folder: str = ""
    heard: set[tuple[str, str, CycleId | None]] = set()
    served: list[VersionId] = []
    wanted: str | None = None

    @property
    def previous(self) -> VersionId | None:
        """The version that a rollback goes to: of those that served, the last one that is not refused."""
        before = (one for one in reversed(self.served) if one != self.champion)
        return next((one for one in before if not self.versions[one].refused), None)

    @property
    def open_cycles(self) -> list[Cycle]:
        return [cycle for cycle in self.cycles.values() if cycle.open]

    def rests(self, version: VersionId) -> bool:
        """Whether a registered version neither answers nor is under way to it."""
        busy = {self.champion, *(cycle.version for cycle in self.open_cycles)}
        return version not in busy and (self.open_rollout is None or self.open_rollout.version != version)

    @property
    def newest_cycle(self) -> CycleId | None:
        return next(reversed(self.cycles), None)

    @property
    def open_rollout(self) -> Rollout | None:
        return next((rollout for rollout in self.rollouts.values() if rollout.open), None)

    @property
    def last_run(self) -> Cycle | None:
        """The newest cycle that trains, however it ended."""
        runs = [cycle for cycle in self.cycles.values() if cycle.kind in ("full", "refresh")]
        return runs[-1] if runs else None

    def declared_since(self, cycle: Cycle) -> bool:
        """Whether another declaration, or other code, is in force than the one that a cycle works by."""
        return (cycle.declaration, cycle.bundle) != (self.declaration, self.bundle)

    def refusal_of(self, fingerprint: Fingerprint) -> Refusal | None:
        """The standing refusal of an artifact, whatever it is called now."""
        return next((refusal for refusal in self.refusals if refusal.fingerprint == fingerprint), None)


class Registry:
    """All services, by folding events in ledger order."""

    def __init__(self, events: Iterable[facts.Event] = ()) -> None:
        self.services: dict[ServiceName, ServiceRecord] = {}
        self.sequence = -1
        self.generation = 0
        self.alerts: dict[str, facts.Event] = {}
        for event in events:
            self.fold(event)

    def service(self, name: ServiceName) -> ServiceRecord:
        return self.services.setdefault(name, ServiceRecord(service=name))

    def fold(self, event: facts.Event) -> None:
        """Take in the next event. An event that was folded already changes nothing."""
        if event.sequence <= self.sequence:
            return
        self.sequence = event.sequence
        fact = event.fact
        match fact:
            case facts.AlertRaised():
                self.alerts[fact.alert] = event
            case facts.AlertCleared():
                self.alerts.pop(fact.alert, None)
            case facts.ServiceDeclared():
                record = self.service(fact.service)
                record.declaration, record.bundle, record.folder = fact.declaration, fact.bundle, fact.folder
                record.declared = record.declared or event.at
            case facts.TriggerDecided() | facts.CycleMoved() | facts.DatasetSnapshotted() | facts.StageFinished():
                _fold_cycle(self.service(fact.service), event, fact)
            case facts.VersionBuilt() | facts.VersionJudged() | facts.VersionRefused() | facts.ChampionOverridden():
                _fold_version(self.service(fact.service), event, fact)
            case facts.RolloutBegun() | facts.RolloutMoved() | facts.RoutingChanged() | facts.ChampionReverted():
                _fold_rollout(self.service(fact.service), event, fact)
            case facts.OrderGiven():
                self.service(fact.service).orders[event.sequence] = event
            case facts.OrderAnswered():
                record = self.service(fact.service)
                record.orders.pop(fact.order, None)
                _decide(record, event, "accepted" if fact.accepted else "declined")
            case _:
                pass


def _decide(record: ServiceRecord, event: facts.Event, outcome: str) -> None:
    kind = facts.kind_of(event.fact)
    record.decisions.append(
        Decision(
            sequence=event.sequence,
            at=event.at,
            kind=kind,
            subject=event.subject,
            outcome=outcome,
            reason=event.reason,
        )
    )


def _fold_cycle(
    record: ServiceRecord,
    event: facts.Event,
    fact: facts.TriggerDecided | facts.CycleMoved | facts.DatasetSnapshotted | facts.StageFinished,
) -> None:
    match fact:
        case facts.TriggerDecided():
            _decide(record, event, fact.decision)
            record.heard.add((fact.trigger, fact.decision, record.newest_cycle))
            if fact.decision == "run" and fact.cycle is not None:
                record.cycles[fact.cycle] = Cycle(
                    cycle=fact.cycle,
                    kind=fact.cycle_kind,
                    recipe=fact.recipe,
                    trigger=fact.trigger,
                    began=event.at,
                    since=event.at,
                    why=event.reason,
                    version=fact.version,
                    declaration=record.declaration,
                    bundle=record.bundle,
                )
            record.wanted = _wanted(record.wanted, fact)
        case facts.CycleMoved():
            cycle = record.cycles[fact.cycle]
            cycle.state = cycles.advance(cycle.kind, cycle.state, cast("CycleMove", fact.move), fact.cycle)
            cycle.looks += fact.move == "look again"
            cycle.since, cycle.why, cycle.until = event.at, event.reason, fact.until
            if fact.move == "snapshot":
                cycle.declaration, cycle.bundle = record.declaration, record.bundle
            if not cycle.open or cycles.is_held(cycle.state):
                _decide(record, event, fact.after)
        case facts.DatasetSnapshotted():
            record.cycles[fact.cycle].dataset = fact.dataset
        case facts.StageFinished():
            record.cycles[fact.cycle].stages[fact.stage] = fact.result


def _wanted(before: str | None, fact: facts.TriggerDecided) -> str | None:
    """The recipe of the retraining that is still to begin, after a decision."""
    if fact.trigger == "order" and fact.decision == "defer":
        return fact.recipe
    return None if fact.decision == "run" and fact.cycle_kind in ("full", "refresh") else before


def _fold_version(
    record: ServiceRecord,
    event: facts.Event,
    fact: facts.VersionBuilt | facts.VersionJudged | facts.VersionRefused | facts.ChampionOverridden,
) -> None:
    match fact:
        case facts.VersionBuilt():
            record.versions[fact.version] = Version(
                version=fact.version,
                ordinal=fact.ordinal,
                fingerprint=fact.fingerprint,
                cycle=fact.cycle,
                built=event.at,
                recipe=fact.recipe,
            )
            if fact.cycle is not None:
                record.cycles[fact.cycle].version = fact.version
        case facts.VersionJudged():
            version = record.versions[fact.version]
            version.verdict, version.card, version.why = fact.verdict, fact.card, event.reason
            version.evidence, version.hold = fact.evidence, fact.hold
            version.judged, version.verdicts = event.at, version.verdicts + 1
            on_trial = record.open_rollout
            if on_trial is not None and on_trial.version == fact.version:
                on_trial.reviewed = on_trial.step
            _decide(record, event, fact.verdict)
        case facts.VersionRefused():
            record.versions[fact.version].refused = fact.because
            record.refusals.append(Refusal(version=fact.version, fingerprint=fact.fingerprint, reason=fact.because))
            _decide(record, event, "refused")
        case facts.ChampionOverridden():
            version = record.versions[fact.version]
            refusal = record.refusal_of(version.fingerprint)
            version.overruled = refusal.reason if refusal is not None else version.overruled
            record.refusals = [one for one in record.refusals if one.fingerprint != version.fingerprint]
            version.refused = ""
            _decide(record, event, "override")


def _fold_rollout(
    record: ServiceRecord,
    event: facts.Event,
    fact: facts.RolloutBegun | facts.RolloutMoved | facts.RoutingChanged | facts.ChampionReverted,
) -> None:
    match fact:
        case facts.RolloutBegun():
            record.rollouts[fact.rollout] = Rollout(
                rollout=fact.rollout,
                version=fact.version,
                champion=fact.champion,
                steps=fact.steps,
                cycle=fact.cycle,
                began=event.at,
                since=event.at,
                why=event.reason,
            )
            if fact.cycle is not None:
                record.cycles[fact.cycle].rollout = fact.rollout
        case facts.RolloutMoved():
            rollout = record.rollouts[fact.rollout]
            rollout.state = rollouts.advance(rollout.state, cast("RolloutMove", fact.move), fact.rollout)
            rollout.step, rollout.evidence = fact.step, fact.evidence or rollout.evidence
            rollout.since, rollout.why = event.at, event.reason
            rollout.shares.append((event.at, fact.share))
            if fact.move == "promote":
                _crown(record, fact.version, event.at)
            _decide(record, event, fact.move)
        case facts.RoutingChanged():
            record.generation, record.routed = fact.generation, fact.route
        case facts.ChampionReverted():
            _crown(record, fact.after, event.at)
            _decide(record, event, "reverted")


def _crown(record: ServiceRecord, champion: VersionId | None, at: Instant) -> None:
    if record.champion is not None:
        record.versions[record.champion].retired = at
    record.champion = champion
    if champion is not None:
        record.served.append(champion)
        version = record.versions[champion]
        version.championed, version.retired = at, None
        record.anchor = record.anchor or champion
