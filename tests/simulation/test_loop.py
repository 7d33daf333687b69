"""The loop under injected faults: one champion always, nothing unjudged has weight, every cycle ends."""

import pytest

from evertrain.core.event import RoutingChanged
from evertrain.core.identity import canonical
from evertrain.core.time import DAY
from evertrain.testing.person import record_of
from evertrain.testing.simulation import SERVICE, Faults, World

STORM = Faults(
    kill=0.02,
    crash=0.1,
    slow=0.3,
    cannot_load=0.1,
    does_not_stand=0.1,
    worse=0.2,
    inconclusive=0.2,
    failing=0.2,
)


def check(world: World) -> None:
    """What must hold after every instant."""
    record = record_of(world)
    route = world.planes.table.routes.get(SERVICE)
    if route is None:
        return
    weighted = [version for version in (route.champion, route.canary and route.canary.version) if version]
    for version in weighted:
        assert version in world.planes.built
        assert version in world.planes.judged
        assert version not in {refusal.version for refusal in record.refusals}
    assert route.champion == record.champion
    assert len([cycle for cycle in record.open_cycles if cycle.kind == "full"]) <= 1
    assert len([rollout for rollout in record.rollouts.values() if rollout.open]) <= 1


def test_without_faults_it_retrains_on_schedule_and_promotes() -> None:
    world = World(seed=1)
    world.run(days=60)
    check(world)
    record = record_of(world)
    states = [cycle.state.value for cycle in record.cycles.values() if not cycle.open]
    assert states.count("promoted") >= 5
    assert set(states) == {"promoted"}


@pytest.mark.parametrize("seed", range(20))
def test_under_a_storm_of_faults_the_promises_hold(seed: int) -> None:
    world = World(seed, STORM)
    championed = False
    for _ in range(90):
        world.run(days=1)
        check(world)
        route = world.planes.table.routes.get(SERVICE)
        has_champion = route is not None and route.champion is not None
        assert has_champion or not championed, "a service that had a champion has none"
        championed = championed or has_champion
    assert world.kills > 0
    for cycle in record_of(world).cycles.values():
        assert not cycle.open or world.planes.now - cycle.began < 60 * DAY, f"{cycle.cycle} does not end"


@pytest.mark.parametrize("seed", range(5))
def test_two_runs_of_one_seed_are_the_same(seed: int) -> None:
    ledgers = []
    for _ in range(2):
        world = World(seed, STORM)
        world.run(days=40)
        ledgers.append([canonical(event) for event in world.journal.read()])
    assert ledgers[0] == ledgers[1]


def test_a_killed_controller_changes_no_decision() -> None:
    """Kills repeat calls, and calls may be repeated: the ledger is the same as without them."""
    faults = Faults(worse=0.0, failing=0.2)
    calm, killed = World(3, faults), World(3, Faults(kill=0.25, failing=0.2))
    calm.run(days=60)
    killed.run(days=60)
    assert killed.kills > 50
    assert [canonical(event) for event in calm.journal.read()] == [canonical(event) for event in killed.journal.read()]


def test_a_failing_challenger_is_rolled_back_and_never_returns() -> None:
    world = World(5, Faults(failing=0.5))
    world.run(days=120)
    record = record_of(world)
    ended = [rollout for rollout in record.rollouts.values() if rollout.state.value == "rolled_back"]
    assert ended
    for rollout in ended:
        assert record.versions[rollout.version].refused
        after = [
            event.fact.champion
            for event in world.journal.read()
            if isinstance(event.fact, RoutingChanged) and event.at > rollout.since
        ]
        assert rollout.version not in after


def test_a_held_challenger_is_judged_anew_on_labels_that_came_since() -> None:
    world = World(seed=7, faults=Faults(inconclusive=1.0))
    world.run(days=2)
    [first] = record_of(world).cycles.values()
    assert first.state == "inconclusive"
    world.planes.faults = Faults()
    world.run(days=10)
    assert record_of(world).cycles[first.cycle].state == "promoted"


def test_a_held_challenger_gives_way_to_a_fresher_one() -> None:
    world = World(seed=7)
    world.run(days=6)
    world.planes.faults = Faults(inconclusive=1.0)
    world.run(days=20)
    states = [cycle.state.value for cycle in record_of(world).cycles.values()]
    assert "superseded" in states
    assert states[0] == "promoted"
