"""A person turns a service, or the rollout that is under way, off and on."""

import pytest

from evertrain.core.event import RolloutMoved, ServiceSwitched
from evertrain.core.order import Verb
from evertrain.core.rollout import RolloutState
from evertrain.core.routing import Route
from evertrain.testing.person import order, record_of
from evertrain.testing.simulation import SERVICE, World


def route_of(world: World) -> Route:
    return world.planes.table.routes[SERVICE]


def on_trial() -> World:
    """A world whose second version gets a share of the traffic."""
    world = World(seed=1)
    for _ in range(60):
        world.run(1)
        rollout = record_of(world).open_rollout
        if rollout is not None and rollout.champion is not None and rollout.state is RolloutState.STEPPING:
            return world
    raise AssertionError("nothing came on trial")


def test_off_closes_the_route_and_on_opens_it_with_the_version_that_it_had() -> None:
    world = World(seed=1)
    world.run(10)
    before = route_of(world)
    taken, said = order(world, "off")
    assert taken
    off = route_of(world)
    assert (off.enabled, off.notice, off.champion) == (False, said, before.champion)
    assert said == "A person (operator) turned it off at 1970-01-11 00:00 UTC."
    assert order(world, "on")[0]
    assert route_of(world) == before
    switched = [event.fact for event in world.journal.read() if isinstance(event.fact, ServiceSwitched)]
    assert [fact.enabled for fact in switched] == [False, True]


def test_a_new_loop_finds_the_service_off_and_leaves_it_so() -> None:
    world = World(seed=1)
    world.run(10)
    order(world, "off")
    world.loop = world._start()
    world.run(30)
    assert not route_of(world).enabled
    assert len(record_of(world).versions) > 1, "it trains on"


def test_a_paused_rollout_has_no_share_until_it_is_resumed_at_the_step_that_it_was_in() -> None:
    world = on_trial()
    before, rollout = route_of(world), record_of(world).open_rollout
    assert before.canary is not None
    assert rollout is not None
    taken, said = order(world, "pause")
    assert taken
    assert "answers everything" in said
    paused = route_of(world)
    assert (paused.canary, paused.control, paused.champion) == (None, None, before.champion)
    world.run(3)
    assert route_of(world) == paused
    assert order(world, "resume")[0]
    moves = [event.fact for event in world.journal.read() if isinstance(event.fact, RolloutMoved)]
    [*_, resumed] = [place for place, fact in enumerate(moves) if fact.move == "resume"]
    assert (moves[resumed + 1].move, moves[resumed + 1].step) == ("start", rollout.step)
    assert route_of(world).salt == before.salt, "those who were on trial are again"
    world.run(30)
    assert record_of(world).rollouts[rollout.rollout].state is RolloutState.PROMOTED


def test_a_paused_rollout_can_be_rolled_back() -> None:
    world = on_trial()
    rollout = record_of(world).open_rollout
    assert rollout is not None
    order(world, "pause")
    assert order(world, "rollback")[0]
    assert record_of(world).rollouts[rollout.rollout].state is RolloutState.ABORTED


@pytest.mark.parametrize(
    ("before", "verb", "says"),
    [
        ((), "on", "on already"),
        (("off",), "off", "off already. A person (operator) turned it off"),
        ((), "pause", "Nothing is on trial"),
        ((), "resume", "Nothing is on trial"),
    ],
)
def test_a_switch_that_changes_nothing_is_declined_with_the_reason(
    before: tuple[Verb, ...], verb: Verb, says: str
) -> None:
    world = World(seed=1)
    world.run(10)
    for earlier in before:
        order(world, earlier)
    was = route_of(world)
    taken, said = order(world, verb)
    assert not taken
    assert says in said
    assert route_of(world) == was


def test_a_rollout_is_paused_and_resumed_once() -> None:
    world = on_trial()
    assert "on already" in order(world, "resume")[1]
    order(world, "pause")
    assert "off already. A person (operator)" in order(world, "pause")[1]
