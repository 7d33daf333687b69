"""The gates of a rollout at which somebody is asked, and what a person orders there."""

from collections.abc import Collection

from evertrain.config.declaration import ServiceSpec
from evertrain.control.answer import answered
from evertrain.control.planes import Planes
from evertrain.control.step import Step
from evertrain.core import event as facts
from evertrain.core.approval import PERSON, Approval, Approver, Consent, RolloutGate, consent
from evertrain.core.event import Draft, Event, OrderGiven
from evertrain.core.registry import Rollout, ServiceRecord
from evertrain.core.time import Instant, Span, say_instant

__all__ = ["approvers", "asked_at", "decide_by_order"]

_TIMED_OUT = {"allow": "as good as a yes", "deny": "as good as a no"}
_THEREAFTER = {"hold": "it waits on for a person", "allow": "it goes on", "deny": "it is ended"}


def approvers(planes: Planes, spec: ServiceSpec, rollout: Rollout, gate: RolloutGate) -> tuple[Approver, ...]:
    """Who is to be asked at a gate: nobody where a person ordered the version into service, and so has decided."""
    if rollout.cycle is None:
        return ()
    rule = spec.rollout
    by_hand = Approver(name=PERSON, within=Span(rule.approval_within), on_timeout=rule.on_timeout)
    return (*((by_hand,) if gate in rule.approval else ()), *planes.approvers(spec.name, gate))


def asked_at(
    record: ServiceRecord, rollout: Rollout, gate: RolloutGate, needed: Collection[Approver], now: Instant
) -> Step | Consent:
    """What a gate comes to: questions and time-outs to put on record, or what all answers say."""
    asked = rollout.approvals.get(gate, {})
    missing = [one for one in needed if one.name not in asked]
    if missing:
        return Step(drafts=tuple(_ask(record, rollout, gate, one, now) for one in missing))
    found = [asked[one.name] for one in needed]
    late = [one for one in found if one.decision is None and one.on_timeout != "hold" and now >= one.until]
    if late:
        return Step(drafts=tuple(_time_out(record, rollout, one, now) for one in late))
    return consent(found, now)


def decide_by_order(record: ServiceRecord, now: Instant, event: Event, order: OrderGiven) -> Step:
    """A person allows or denies what the rollout waits for, in the place of whoever was asked.

    An order that names a version holds for that one alone: another one may be on trial by the time it is read.
    """
    rollout = record.open_rollout
    waiting = [] if rollout is None else rollout.unanswered
    if rollout is None or not waiting:
        return answered(record, now, event, _nothing_waits(record), accepted=False)
    if order.version not in (None, rollout.version):
        meant = record.versions.get(order.version)
        said = "That version" if meant is None else f"Version {meant.ordinal}"
        reason = f"{said} does not wait for an approval; {_name(record, rollout)} does. Nothing was decided."
        return answered(record, now, event, reason, accepted=False)
    decision: facts.Decision = "allow" if order.verb == "approve" else "deny"
    gates = " and ".join(dict.fromkeys(one.gate for one in waiting))
    did = "approved" if decision == "allow" else "denied"
    reason = f"A person ({order.role}) {did} the {gates} of {_name(record, rollout)}."
    given = (
        facts.ApprovalGiven(
            service=record.service,
            rollout=rollout.rollout,
            gate=one.gate,
            approver=one.approver,
            decision=decision,
            role=order.role,
            words=order.words,
        )
        for one in waiting
    )
    return answered(record, now, event, reason, *given)


def _nothing_waits(record: ServiceRecord) -> str:
    """What whoever comes second is told: that nothing is open, and how the last question was decided."""
    newest = next(reversed(record.rollouts.values()), None)
    asked = () if newest is None else (one for gate in newest.approvals.values() for one in gate.values())
    decided = [one.why for one in asked if one.decision is not None]
    return " ".join(("Nothing waits for an approval.", *(decided[-1:] and [f"The last answer: {decided[-1]}"])))


def _ask(record: ServiceRecord, rollout: Rollout, gate: RolloutGate, one: Approver, now: Instant) -> Draft:
    until = Instant(now + one.within)
    return Draft(
        id=f"{rollout.rollout}:approval:{gate}:{one.name}",
        at=now,
        actor="controller",
        subject=f"rollout/{rollout.rollout}",
        reason=f"The {gate} of {_name(record, rollout)} waits for {one.name} until {_say_minute(until)}; "
        f"after that {_THEREAFTER[one.on_timeout]}.",
        fact=facts.ApprovalAsked(
            service=record.service,
            rollout=rollout.rollout,
            version=rollout.version,
            gate=gate,
            approver=one.name,
            until=until,
            on_timeout=one.on_timeout,
        ),
    )


def _time_out(record: ServiceRecord, rollout: Rollout, one: Approval, now: Instant) -> Draft:
    decision: facts.Decision = "allow" if one.on_timeout == "allow" else "deny"
    declared = _TIMED_OUT[decision]
    return Draft(
        id=f"{rollout.rollout}:approval:{one.gate}:{one.approver}:timed out",
        at=now,
        actor="controller",
        subject=f"rollout/{rollout.rollout}",
        reason=f"{one.approver} decided nothing until {_say_minute(one.until)}, which was declared {declared}.",
        fact=facts.ApprovalGiven(
            service=record.service,
            rollout=rollout.rollout,
            gate=one.gate,
            approver=one.approver,
            decision=decision,
            role="time-out",
        ),
    )


def _say_minute(at: Instant) -> str:
    return f"{say_instant(at)[:16].replace('T', ' ')} UTC"


def _name(record: ServiceRecord, rollout: Rollout) -> str:
    return f"version {record.versions[rollout.version].ordinal}"
