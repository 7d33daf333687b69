"""The routing table says what the ledger says: a share that is declared is the share that is given."""

import msgspec
import pytest

from evertrain.control.routes import route_step
from evertrain.core.event import RoutingChanged
from evertrain.core.policy import CanarySpec
from evertrain.testing.person import record_of
from evertrain.testing.simulation import SERVICE, World, simulated_service


@pytest.mark.parametrize("most", [0.3, 0.5, 0.9])
def test_the_canary_gets_the_share_of_its_step_and_the_control_arm_as_much_or_what_is_left(most: float) -> None:
    spec = CanarySpec(steps=(0.1, most), margin=0.001)
    world = World(seed=2, spec=msgspec.structs.replace(simulated_service(), rollout=spec))
    while not (rollouts := list(record_of(world).rollouts.values()))[1:] or rollouts[-1].share != most:
        world.run(1)
    route = world.planes.table.routes[SERVICE]
    assert route.canary is not None
    assert route.control is not None
    assert route.canary.share == most
    assert route.control.share == pytest.approx(min(most, 1.0 - most))
    told = [event.fact for event in world.journal.read() if isinstance(event.fact, RoutingChanged)]
    assert told[-1].share == most


def test_a_table_that_was_recorded_and_not_published_takes_its_number_along() -> None:
    """As when the disk of the workers takes nothing: whatever is wanted meanwhile, and again, is another event."""
    world = World(seed=1)
    while record_of(world).champion is None:
        world.run(1)
    record, stands = record_of(world), world.planes.table
    record.enabled = False
    names = []
    for notice in ("it is broken", "it is mended", "it is broken"):
        record.notice = notice
        [draft] = route_step(world.planes, record, world.spec, world.planes.now, entering=False).drafts
        assert isinstance(draft.fact, RoutingChanged)
        record.generation, record.routed = draft.fact.generation, draft.fact.route
        names.append(draft.id)
    assert len(set(names)) == 3
    assert world.planes.table == stands
    route_step(world.planes, record, world.spec, world.planes.now, entering=False)
    assert world.planes.table.generation == record.generation > stands.generation
