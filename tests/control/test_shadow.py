"""A version in shadow: it passes to its canary by a bound, evidence ends it, or it stays until a person promotes it."""

import msgspec

from evertrain.core.event import RolloutMoved
from evertrain.core.identity import VersionId, digest_of
from evertrain.core.policy import CanarySpec, ShadowSpec
from evertrain.core.record import Rollout
from evertrain.core.rollout import RolloutState
from evertrain.core.stage import Evaluated
from evertrain.testing.person import order, record_of
from evertrain.testing.simulation import SERVICE, Faults, World, simulated_service

FIRST, SECOND = (VersionId(digest_of(name)) for name in ("first", "second"))


def newest(world: World) -> Rollout:
    return list(record_of(world).rollouts.values())[-1]


def moves(world: World, rollout: Rollout) -> list[str]:
    facts = [event.fact for event in world.journal.read()]
    return [fact.move for fact in facts if isinstance(fact, RolloutMoved) and fact.rollout == rollout.rollout]


def shadowed(faults: Faults | None = None, requests: int | None = 1_000) -> World:
    """A champion, and a second version in shadow."""
    spec = CanarySpec(steps=(0.1, 0.5), shadow=ShadowSpec(requests=requests))
    world = World(seed=2, spec=msgspec.structs.replace(simulated_service(), rollout=spec), faults=faults)
    while len(record_of(world).rollouts) < 2:
        world.run(1)
    world.tick(world.planes.now)
    return world


def test_it_answers_nobody_until_it_has_passed() -> None:
    world = shadowed()
    rollout, route = newest(world), world.planes.table.routes[SERVICE]
    assert rollout.state is RolloutState.SHADOWING
    assert route.shadow is not None
    assert (route.shadow.version, route.shadow.share) == (rollout.version, 1.0)
    assert (route.canary, route.control) == (None, None)
    assert not rollout.share
    while newest(world).open:
        world.run(1)
    rollout = newest(world)
    assert rollout.state is RolloutState.PROMOTED
    told = moves(world, rollout)
    assert told[:4] == ["prepare", "mirror", "pass", "start"]
    assert told[-1] == "promote"
    passed = next(
        event for event in world.journal.read() if isinstance(event.fact, RolloutMoved) and event.fact.move == "pass"
    )
    assert isinstance(passed.fact, RolloutMoved)
    assert passed.fact.evidence["shadowed"] >= 1_000
    assert passed.fact.evidence["bound"] < 0.01
    assert world.planes.table.routes[SERVICE].shadow is None


def test_one_that_fails_is_refused_before_any_user_sees_it() -> None:
    world = shadowed(Faults(failing=1.0))
    while newest(world).open:
        world.run(1)
    rollout = newest(world)
    assert rollout.state is RolloutState.ROLLED_BACK
    assert moves(world, rollout) == ["prepare", "mirror", "roll back"]
    assert not any(share for _, share in rollout.shares)
    assert "evidence of harm" in record_of(world).versions[rollout.version].refused


def test_labels_end_it_as_well() -> None:
    world = shadowed(requests=None)
    world.planes.faults = Faults(worse_on_labels=1.0)
    world.planes.mature = 1_000
    world.run(1)
    rollout = next(one for one in record_of(world).rollouts.values() if one.mirrored)
    assert rollout.state is RolloutState.ROLLED_BACK
    assert "paired on 1,000 labelled requests" in record_of(world).versions[rollout.version].refused


def test_a_killed_controller_goes_on_with_it() -> None:
    world = shadowed(Faults(kill=0.02, slow=0.3))
    rollout = newest(world)
    while record_of(world).rollouts[rollout.rollout].open:
        world.run(1)
    assert moves(world, rollout)[:4] == ["prepare", "mirror", "pass", "start"]


def test_a_pushed_file_stays_in_shadow_until_it_is_promoted() -> None:
    spec = msgspec.structs.replace(simulated_service(), recipes={}, triggers=())
    world = World(seed=1, spec=spec)
    world.planes.checks = [
        Evaluated(version=FIRST, verdict="health only", reasons=("It loads.",), card=digest_of("card"))
    ]
    for version in (FIRST, SECOND):
        order(world, "import", version, shadow=version == SECOND)
        world.run(2)
    assert newest(world).state is RolloutState.SHADOWING
    world.run(30)
    assert newest(world).state is RolloutState.SHADOWING
    assert record_of(world).champion == FIRST
    order(world, "promote", SECOND)
    world.run(1)
    assert record_of(world).champion == SECOND
    assert world.planes.table.routes[SERVICE].shadow is None


def test_after_its_shadow_a_pushed_file_may_be_tried_by_a_canary() -> None:
    spec = msgspec.structs.replace(simulated_service(), recipes={}, triggers=())
    world = World(seed=1, spec=spec)
    world.planes.checks = [
        Evaluated(version=FIRST, verdict="health only", reasons=("It loads.",), card=digest_of("card"))
    ]
    order(world, "import", FIRST)
    world.run(2)
    order(world, "import", SECOND, shadow=True)
    world.run(2)
    assert newest(world).state is RolloutState.SHADOWING
    order(world, "rollback")
    assert newest(world).state is RolloutState.ABORTED
    assert order(world, "import", SECOND).accepted
    world.run(1)
    assert newest(world).version == SECOND
    assert newest(world).state is RolloutState.STEPPING
