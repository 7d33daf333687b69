"""The loop's answer to an order: what it led to and the answer itself, on record together, with one reason."""

from evertrain.control.step import Step
from evertrain.core import event as facts
from evertrain.core.event import Draft, Event, Fact
from evertrain.core.registry import ServiceRecord
from evertrain.core.time import Instant

__all__ = ["answered"]


def answered(
    record: ServiceRecord, now: Instant, event: Event, reason: str, *also: Fact, accepted: bool = True
) -> Step:
    """Everything that an order comes to. also: the facts that it leads to; event: the order."""
    answer = facts.OrderAnswered(service=record.service, order=event.sequence, accepted=accepted)
    return Step(
        drafts=tuple(
            Draft(
                id=f"order:{event.sequence}:{place}",
                at=now,
                actor="controller",
                subject=_subject(record, fact),
                reason=reason,
                fact=fact,
            )
            for place, fact in enumerate((*also, answer))
        )
    )


def _subject(record: ServiceRecord, fact: Fact) -> str:
    return f"cycle/{fact.cycle}" if isinstance(fact, facts.CycleMoved) else f"service/{record.service}"
