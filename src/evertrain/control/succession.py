"""Which cycle gives way to a newer one, and which must be waited for. Triggers and people's orders ask here."""

from evertrain.core.cycle import CycleState, advance, is_held
from evertrain.core.event import CycleMoved
from evertrain.core.registry import Cycle, ServiceRecord

__all__ = ["at_work", "busy_for_order", "gives_way_to_order", "gives_way_to_trigger", "superseded"]


def gives_way_to_order(cycle: Cycle) -> bool:
    """Whether a cycle that trains does nothing but wait: a person who asks for a new one has decided against it."""
    return _trains(cycle) and is_held(cycle.state)


def gives_way_to_trigger(record: ServiceRecord, cycle: Cycle) -> bool:
    """Whether fresher data or newer code make a better challenger than what this cycle waits with.

    One that waits for labels looks at newer data itself, soon; only newer code is a reason to begin anew.
    """
    if cycle.state is CycleState.WAITING_FOR_LABELS:
        return record.declared_since(cycle)
    return cycle.state is CycleState.INCONCLUSIVE


def at_work(record: ServiceRecord) -> Cycle | None:
    """The open cycle that a trigger has to wait for."""
    working = (one for one in record.open_cycles if one.kind != "external" and not gives_way_to_trigger(record, one))
    return next(working, None)


def busy_for_order(record: ServiceRecord) -> Cycle | None:
    """The open cycle that an order to retrain has to wait for, or to join."""
    return next((one for one in record.open_cycles if _trains(one) and not gives_way_to_order(one)), None)


def superseded(record: ServiceRecord, cycle: Cycle) -> CycleMoved:
    """The fact that ends a cycle in favour of another."""
    return CycleMoved(
        service=record.service,
        cycle=cycle.cycle,
        move="supersede",
        before=cycle.state,
        after=advance(cycle.kind, cycle.state, "supersede", cycle.cycle),
    )


def _trains(cycle: Cycle) -> bool:
    """Whether a cycle makes its version itself; the others bring one that exists."""
    return cycle.kind in ("full", "refresh")
