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
from evertrain.core.absence import ended
from evertrain.core.approval import Approval
from evertrain.core.cycle import CycleMove
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.pool import Pool, PoolMember, Pools
from evertrain.core.record import Cycle, Decision, Rollout, ServiceRecord, Version
from evertrain.core.rollout import RolloutMove
from evertrain.core.routing import Refusal
from evertrain.core.time import Instant
from evertrain.core.trial import LACKING

__all__ = ["Cycle", "Decision", "Registry", "Rollout", "ServiceRecord", "Version"]

_ON_TRIAL = ("canary-", "shadow-")
"""How the names of processes begin that run a version on trial."""
_BESIDE = "control-"
"""And of the one that runs the champion beside it."""


class Registry:
    """All services, by folding events in ledger order."""

    def __init__(self, events: Iterable[facts.Event] = ()) -> None:
        self.pools = Pools()
        self.services: dict[ServiceName, ServiceRecord] = {}
        self.sequence = -1
        self.generation = 0
        self.alerts: dict[str, facts.Event] = {}
        for event in events:
            self.fold(event)

    def service(self, name: ServiceName) -> ServiceRecord:
        return self.services.setdefault(name, ServiceRecord(service=name, pools=self.pools))

    def fold(self, event: facts.Event) -> None:
        """Take in the next event. An event that was folded already changes nothing."""
        if event.sequence <= self.sequence:
            return
        self.sequence = event.sequence
        fact = event.fact
        match fact:
            case facts.AlertRaised() | facts.AlertCleared() | facts.ProcessExited():
                self._fold_upkeep(event, fact)
            case facts.ServiceDeclared():
                record = self.service(fact.service)
                record.declaration, record.bundle, record.folder = fact.declaration, fact.bundle, fact.folder
                record.declared = record.declared or event.at
            case facts.TriggerDecided() | facts.CycleMoved() | facts.DatasetSnapshotted() | facts.StageFinished():
                _fold_cycle(self.service(fact.service), event, fact)
            case (
                facts.VersionBuilt()
                | facts.VersionJudged()
                | facts.VersionRescored()
                | facts.VersionRefused()
                | facts.VersionCleared()
                | facts.ChampionOverridden()
            ):
                _fold_version(self.service(fact.service), event, fact)
            case facts.ApprovalAsked() | facts.ApprovalGiven():
                _fold_approval(self.service(fact.service), event, fact)
            case facts.RolloutBegun() | facts.RolloutMoved() | facts.RoutingChanged() | facts.ChampionReverted():
                _fold_rollout(self.service(fact.service), event, fact)
            case facts.PoolOpened() | facts.PoolHeld() | facts.PoolClosed():
                _fold_pool(self.service(fact.service), event, fact)
            case facts.OrderGiven() | facts.OrderAnswered() | facts.ServiceSwitched():
                _fold_order(self.service(fact.service), event, fact)

    def _fold_upkeep(
        self, event: facts.Event, fact: facts.AlertRaised | facts.AlertCleared | facts.ProcessExited
    ) -> None:
        match fact:
            case facts.AlertRaised():
                self.alerts[fact.alert] = event
            case facts.AlertCleared():
                self.alerts.pop(fact.alert, None)
            case facts.ProcessExited(pool=None):
                _fold_exit(self.services.values(), event, fact)
            case facts.ProcessExited(pool=int(pool), crashed=True):
                self.pools.crashed(pool, event.at)


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


def _fold_order(
    record: ServiceRecord, event: facts.Event, fact: facts.OrderGiven | facts.OrderAnswered | facts.ServiceSwitched
) -> None:
    match fact:
        case facts.OrderGiven():
            record.orders[event.sequence] = event
        case facts.OrderAnswered():
            record.orders.pop(fact.order, None)
            _decide(record, event, "accepted" if fact.accepted else "declined")
        case facts.ServiceSwitched():
            record.enabled, record.notice = fact.enabled, "" if fact.enabled else event.reason
            _decide(record, event, "on" if fact.enabled else "off")


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
                    shadow=fact.shadow,
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
    fact: facts.VersionBuilt
    | facts.VersionJudged
    | facts.VersionRescored
    | facts.VersionRefused
    | facts.VersionCleared
    | facts.ChampionOverridden,
) -> None:
    match fact:
        case facts.VersionRescored():
            record.rescored[fact.version] = fact
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
            version.refused, version.cleared = "", False
            _decide(record, event, "override")
        case facts.VersionCleared():
            record.versions[fact.version].cleared = True


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
                shadow=fact.shadow,
            )
            if fact.cycle is not None:
                record.cycles[fact.cycle].rollout = fact.rollout
        case facts.RolloutMoved():
            rollout = record.rollouts[fact.rollout]
            rollout.state = rollouts.advance(rollout.state, cast("RolloutMove", fact.move), fact.rollout)
            rollout.step, rollout.evidence = fact.step, fact.evidence or rollout.evidence
            rollout.since, rollout.why, rollout.falls = event.at, event.reason, 0
            rollout.absence = None
            rollout.shares.append((event.at, fact.share))
            if fact.move == "mirror" and rollout.shadow is not None:
                rollout.mirrored = rollout.mirrored or (event.at, rollout.shadow.share)
            if fact.move == "pass":
                rollout.shadow = None
            if fact.move == "promote":
                until = Instant(event.at + record.pools.back)
                record.pools.crowned(fact.service, record.champion, fact.version, until)
                _crown(record, fact.version, event.at)
            _decide(record, event, fact.move)
        case facts.RoutingChanged():
            record.generation, record.routed = fact.generation, fact.route
        case facts.ChampionReverted():
            record.pools.crowned(fact.service, record.champion, fact.after, event.at)
            _crown(record, fact.after, event.at)
            _decide(record, event, "reverted")


def _fold_exit(records: Iterable[ServiceRecord], event: facts.Event, fact: facts.ProcessExited) -> None:
    """Count it where a version is on trial. One that lacks a package says nothing of it, nor does the control arm."""
    beside = fact.process.startswith(_BESIDE)
    if not (beside or fact.process.startswith(_ON_TRIAL)):
        return
    for record in records:
        rollout = record.open_rollout
        if rollout is None or fact.version != (rollout.champion if beside else rollout.version):
            continue
        if beside or fact.code == LACKING:
            rollout.absence = ended(rollout.absence, beside=beside, at=event.at, why=event.reason)
        else:
            rollout.falls, rollout.fell = rollout.falls + 1, event.reason


def _fold_approval(record: ServiceRecord, event: facts.Event, fact: facts.ApprovalAsked | facts.ApprovalGiven) -> None:
    asked = record.rollouts[fact.rollout].approvals.setdefault(fact.gate, {})
    match fact:
        case facts.ApprovalAsked():
            asked[fact.approver] = Approval(
                approver=fact.approver, gate=fact.gate, until=fact.until, on_timeout=fact.on_timeout
            )
        case facts.ApprovalGiven() if asked[fact.approver].decision is None:
            asked[fact.approver] = msgspec.structs.replace(
                asked[fact.approver], decision=fact.decision, why=event.reason
            )
            _decide(record, event, fact.decision)
        case _:
            pass  # the first answer holds


def _fold_pool(
    record: ServiceRecord, event: facts.Event, fact: facts.PoolOpened | facts.PoolHeld | facts.PoolClosed
) -> None:
    match fact:
        case facts.PoolOpened():
            own = PoolMember(service=fact.service, version=fact.version)
            record.pools.open(Pool(number=fact.pool, environment=fact.environment, own=own), event.at, fact.back)
            _decide(record, event, "opened")
        case facts.PoolHeld():
            record.pools.lacks[fact.rollout] = (*record.pools.lacks.get(fact.rollout, ()), fact.lack)
            _decide(record, event, "held")
        case facts.PoolClosed():
            record.pools.close(fact.service)
            _decide(record, event, "closed")


def _crown(record: ServiceRecord, champion: VersionId | None, at: Instant) -> None:
    if record.champion is not None:
        record.versions[record.champion].retired = at
    record.champion = champion
    if champion is not None:
        record.served.append(champion)
        version = record.versions[champion]
        version.championed, version.retired = at, None
        record.anchor = record.anchor or champion
