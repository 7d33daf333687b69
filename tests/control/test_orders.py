"""What people order, and how the loop answers."""

import itertools
from typing import Literal

import msgspec

from evertrain.config.declaration import FunctionRef, ServiceSpec, TrainingSpec
from evertrain.core.event import Draft, OrderAnswered, ServiceDeclared, TriggerDecided, VersionCleared
from evertrain.core.identity import VersionId, digest_of
from evertrain.core.registry import Cycle
from evertrain.core.time import DAY
from evertrain.testing.person import order, record_of
from evertrain.testing.simulation import SERVICE, Faults, World, simulated_service

Verb = Literal["retrain", "promote", "rollback", "import"]


def answers(world: World) -> list[str]:
    return [event.reason for event in world.journal.read() if isinstance(event.fact, OrderAnswered)]


def settled(days: int = 30, spec: ServiceSpec | None = None) -> World:
    """A world with a champion, a previous one, and no rollout under way."""
    world = World(seed=1, spec=spec)
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
    assert world.planes.table.routes[SERVICE].previous == after.previous
    assert before.champion is not None
    assert after.versions[before.champion].refused


def test_rollback_goes_back_along_what_served_to_the_first_version_and_no_further() -> None:
    world = settled()
    served = list(record_of(world).served)
    assert len(served) > 2
    for expected in reversed(served[:-1]):
        assert order(world, "rollback").accepted
        assert record_of(world).champion == expected
    assert not order(world, "rollback").accepted
    assert record_of(world).champion == served[0]
    assert "served, and was refused or taken back since" in answers(world)[-1]


def test_rollback_after_two_overrides_finds_the_version_before_them() -> None:
    """1 served, a refused 3 was forced in, then 2: back go 3 and then 1, which nobody ever refused."""
    world = settled()
    first, second, third, *_ = record_of(world).versions
    while record_of(world).champion != first:
        assert order(world, "rollback").accepted
    for forced in (third, second):
        assert order(world, "promote", version=forced).accepted
        assert record_of(world).champion == forced
    for expected in (third, first):
        assert order(world, "rollback").accepted
        assert record_of(world).champion == expected
    assert not order(world, "rollback").accepted


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
    assert not record_of(world).versions[canary].refused  # nothing spoke against it
    ended = record_of(world).rollouts[record.open_rollout.rollout]
    assert ended.state.value == "aborted"
    assert ended.evidence["canary"] > 0
    reason = next(one.reason for one in reversed(world.journal.read()) if isinstance(one.fact, OrderAnswered))
    assert f"took version {record.versions[canary].ordinal} back from its trial with" in reason
    assert champion is not None
    assert f"`evertrain rollback` again takes back version {record.versions[champion].ordinal}." in reason


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


def test_a_refused_version_whose_file_is_not_kept_is_promoted_once_the_file_is_back() -> None:
    world = settled()
    bad = record_of(world).champion
    assert bad is not None
    order(world, "rollback")
    fact = VersionCleared(service=SERVICE, version=bad, model=record_of(world).versions[bad].fingerprint.model)
    world.journal.append(
        Draft(id="cleared", at=world.planes.now, actor="controller", subject=SERVICE, reason="It is old.", fact=fact)
    )
    declined = order(world, "promote", version=bad)
    assert (declined.accepted, "Push it once more" in declined.reason) == (False, True)
    world.planes.files.add(fact.model)
    assert order(world, "promote", version=bad).accepted
    assert not record_of(world).versions[bad].cleared


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


def declare_anew(world: World, code: str) -> None:
    """Put other code on record, as `apply` does."""
    world.journal.append(
        Draft(
            id=f"declared:{code}",
            at=world.planes.now,
            actor="test",
            subject=f"service/{SERVICE}",
            reason="A test applies it.",
            fact=ServiceDeclared(service=SERVICE, declaration=world.spec.digest, bundle=digest_of(code)),
        )
    )


def held() -> tuple[World, Cycle]:
    """A world with a champion, and a challenger whose evidence does not suffice."""
    world = settled()
    world.planes.faults = Faults(inconclusive=1.0)
    order(world, "retrain")
    world.run(1)
    [cycle] = record_of(world).open_cycles
    assert cycle.state == "inconclusive"
    world.planes.faults = Faults()
    return world, cycle


def state_of(world: World, cycle: Cycle) -> str:
    return record_of(world).cycles[cycle.cycle].state.value


def test_a_retraining_that_is_ordered_ends_a_cycle_that_only_waits() -> None:
    world, cycle = held()
    assert order(world, "retrain").accepted
    assert f"Cycle {cycle.cycle} (inconclusive) gives way to it." in answers(world)[-1]
    assert state_of(world, cycle) == "superseded"
    [newer] = record_of(world).open_cycles
    assert newer.trigger == "order"


def test_a_person_who_promotes_a_held_version_ends_its_cycle() -> None:
    world, cycle = held()
    assert order(world, "promote", version=cycle.version).accepted
    assert state_of(world, cycle) == "superseded"
    assert record_of(world).champion == cycle.version


def test_an_order_joins_a_cycle_with_the_code_in_force() -> None:
    world = settled()
    order(world, "retrain")
    order(world, "retrain")
    assert "is under way with the code in force; the order joins it" in answers(world)[-1]


def test_an_order_follows_a_cycle_with_old_code_and_begins_once_when_that_has_ended() -> None:
    world = settled()
    order(world, "retrain")
    [old] = record_of(world).open_cycles
    assert old.state == "snapshotted"
    declare_anew(world, "mended")
    assert order(world, "retrain").accepted
    assert "is at work with the OLD code" in answers(world)[-1]
    assert record_of(world).open_cycles == [record_of(world).cycles[old.cycle]]
    while not [cycle for cycle in record_of(world).cycles.values() if cycle.bundle == digest_of("mended")]:
        world.run(1)
    assert state_of(world, old) == "promoted"
    world.run(4)
    newer = [cycle for cycle in record_of(world).cycles.values() if cycle.bundle == digest_of("mended")]
    assert [cycle.trigger for cycle in newer] == ["order"]
    assert record_of(world).wanted is None


def test_an_order_for_another_recipe_is_not_joined_to_a_cycle_that_does_not_run_it() -> None:
    recipe = TrainingSpec(train=FunctionRef(module="recipe", name="train"))
    spec = msgspec.structs.replace(simulated_service(), recipes={"gbm": recipe, "linear": recipe})
    world = settled(spec=spec)
    order(world, "retrain", recipe="gbm")
    order(world, "retrain", recipe="linear")
    assert "is at work by recipe gbm" in answers(world)[-1]
    cycles = len(record_of(world).cycles)
    while len(record_of(world).cycles) == cycles:
        world.run(1)
    assert [*record_of(world).cycles.values()][cycles].recipe == "linear"


def test_new_code_is_tried_at_once_where_no_version_answers() -> None:
    world = World(seed=2, faults=Faults(crash=1.0))
    world.run(1)
    [failed] = record_of(world).cycles.values()
    assert failed.state == "failed"
    assert world.planes.table.routes[SERVICE].champion is None, "workers know that there is such a service"
    world.planes.faults = Faults()
    declare_anew(world, "mended")
    world.tick(world.planes.now)
    [_, again] = record_of(world).cycles.values()
    begun = [event.reason for event in world.journal.read() if isinstance(event.fact, TriggerDecided)]
    assert begun[-1] == "The service still has no version, and what is declared has changed."
    world.run(1)
    assert record_of(world).champion == record_of(world).cycles[again.cycle].version


def test_a_service_without_a_first_version_tries_again_after_its_cooldown() -> None:
    world = World(seed=2, faults=Faults(crash=1.0))
    world.run(5)
    record = record_of(world)
    assert record.champion is None
    assert len(record.cycles) > 1
    began = [cycle.began for cycle in record.cycles.values()]
    assert all(later - earlier >= DAY for earlier, later in itertools.pairwise(began))
