"""What people order, and how the loop answers."""

import itertools
from typing import Literal

from evertrain.core.event import Draft, OrderAnswered, OrderGiven
from evertrain.core.identity import VersionId, digest_of
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.time import DAY
from evertrain.testing.simulation import SERVICE, Faults, World

Verb = Literal["retrain", "promote", "rollback", "import"]


def record_of(world: World) -> ServiceRecord:
    return Registry(world.journal.read()).service(SERVICE)


def order(world: World, verb: Verb, *, version: VersionId | None = None, recipe: str = "default") -> OrderAnswered:
    """Give an order and let the loop look once; returns its answer."""
    [event] = world.journal.append(
        Draft(
            id=f"order:{len(world.journal.events)}",
            at=world.planes.now,
            actor="test",
            subject=f"service/{SERVICE}",
            reason="A test asks.",
            fact=OrderGiven(
                service=SERVICE, verb=verb, role="operator", words=digest_of("why"), version=version, recipe=recipe
            ),
        )
    )
    world.tick(world.planes.now)
    answers = [event.fact for event in world.journal.read() if isinstance(event.fact, OrderAnswered)]
    assert answers[-1].order == event.sequence
    return answers[-1]


def settled(days: int = 30) -> World:
    """A world with a champion, a previous one, and no rollout under way."""
    world = World(seed=1)
    world.run(days)
    while record_of(world).open_rollout is not None or record_of(world).open_cycles:
        world.run(1)
    assert record_of(world).previous is not None
    return world


def test_rollback_takes_the_champion_back_and_refuses_it() -> None:
    world = settled()
    before = record_of(world)
    assert order(world, "rollback").accepted
    after = record_of(world)
    assert after.champion == before.previous
    assert world.planes.table.routes[SERVICE].champion == before.previous
    assert world.planes.table.routes[SERVICE].previous is None
    assert before.champion is not None
    assert after.versions[before.champion].refused


def test_a_second_rollback_has_nothing_to_go_back_to() -> None:
    world = settled()
    order(world, "rollback")
    champion = record_of(world).champion
    assert not order(world, "rollback").accepted
    assert record_of(world).champion == champion


def test_rollback_during_a_canary_ends_the_canary() -> None:
    world = World(seed=1)
    for _ in range(60):
        world.run(1)
        rollout = record_of(world).open_rollout
        if rollout is not None and rollout.share > 0:
            break
    record = record_of(world)
    assert record.open_rollout is not None
    champion, canary = record.champion, record.open_rollout.version
    assert order(world, "rollback").accepted
    route = world.planes.table.routes[SERVICE]
    assert route.champion == champion
    assert route.canary is None
    assert record_of(world).versions[canary].refused


def test_promote_overrides_a_refusal_on_record() -> None:
    world = settled()
    bad = record_of(world).champion
    assert bad is not None
    order(world, "rollback")
    assert order(world, "promote", version=bad).accepted
    world.run(1)
    record = record_of(world)
    assert record.champion == bad
    assert not record.versions[bad].refused
    assert any(decision.outcome == "override" for decision in record.decisions)


def test_orders_that_make_no_sense_are_declined_and_change_nothing() -> None:
    world = settled()
    champion = record_of(world).champion
    assert not order(world, "promote", version=VersionId(digest_of("stranger"))).accepted
    assert not order(world, "promote", version=champion).accepted
    assert not order(world, "retrain", recipe="unheard of").accepted
    assert record_of(world).champion == champion


def test_a_retraining_that_is_ordered_twice_is_one_run() -> None:
    world = settled()
    cycles = len(record_of(world).cycles)
    assert order(world, "retrain").accepted
    assert order(world, "retrain").accepted
    assert len(record_of(world).cycles) == cycles + 1


def test_a_service_without_a_first_version_tries_again_after_its_cooldown() -> None:
    world = World(seed=2, faults=Faults(crash=1.0))
    world.run(5)
    record = record_of(world)
    assert record.champion is None
    assert len(record.cycles) > 1
    began = [cycle.began for cycle in record.cycles.values()]
    assert all(later - earlier >= DAY for earlier, later in itertools.pairwise(began))
