"""Which cycle gives way to a newer one."""

import pytest

from evertrain.control.succession import at_work, busy_for_order, gives_way_to_order, gives_way_to_trigger, superseded
from evertrain.core.cycle import CycleState
from evertrain.core.identity import CycleId, Digest, ServiceName
from evertrain.core.registry import Cycle, ServiceRecord
from evertrain.core.time import Instant

HELD = {CycleState.INCONCLUSIVE, CycleState.WAITING_FOR_LABELS}


def record(state: CycleState, *, bundle: str = "in force") -> tuple[ServiceRecord, Cycle]:
    """A service whose one cycle stands in a state, and works by this bundle."""
    cycle = Cycle(
        cycle=CycleId("shop/c1"),
        kind="full",
        recipe="default",
        trigger="first",
        began=Instant(0),
        since=Instant(0),
        why="",
        state=state,
        bundle=Digest(bundle),
    )
    service = ServiceRecord(service=ServiceName("shop"), bundle=Digest("in force"))
    service.cycles[cycle.cycle] = cycle
    return service, cycle


@pytest.mark.parametrize("state", [state for state in CycleState if record(state)[1].open])
def test_only_what_waits_gives_way(state: CycleState) -> None:
    service, cycle = record(state)
    assert gives_way_to_order(cycle) == (state in HELD)
    assert (busy_for_order(service) is None) == (state in HELD)
    assert gives_way_to_trigger(service, cycle) == (state is CycleState.INCONCLUSIVE)
    assert superseded(service, cycle).after == CycleState.SUPERSEDED


def test_a_cycle_that_waits_for_labels_gives_way_to_a_trigger_once_other_code_is_in_force() -> None:
    service, cycle = record(CycleState.WAITING_FOR_LABELS)
    assert at_work(service) is cycle
    service, cycle = record(CycleState.WAITING_FOR_LABELS, bundle="of before")
    assert at_work(service) is None
    assert gives_way_to_trigger(service, cycle)
