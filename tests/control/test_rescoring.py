"""Labels decide on a trained version: while it is on trial, and after its promotion until its probation is over."""

import msgspec
import pytest

from evertrain.core.event import ChampionReverted, Draft, OrderGiven, VersionRefused, VersionRescored
from evertrain.core.identity import VersionId, digest_of
from evertrain.core.policy import CanarySpec
from evertrain.core.record import Rollout
from evertrain.core.registry import Registry
from evertrain.core.rollout import RolloutState
from evertrain.core.time import DAY, Span
from evertrain.testing.person import record_of
from evertrain.testing.simulation import SERVICE, Faults, World, simulated_service

WORSE = Faults(worse_on_labels=1.0)
FORTNIGHT = Span(14 * DAY)


def newest(world: World) -> Rollout:
    return list(record_of(world).rollouts.values())[-1]


def rescored(world: World) -> list[VersionRescored]:
    return [event.fact for event in world.journal.read() if isinstance(event.fact, VersionRescored)]


def on_trial(probation: Span = FORTNIGHT, faults: Faults | None = None) -> World:
    """A champion, and a second version that has its first share."""
    slow = CanarySpec(steps=(0.1, 0.2, 0.5), max_bad_answers=5.0, probation=probation)
    world = World(seed=2, spec=msgspec.structs.replace(simulated_service(), rollout=slow), faults=faults)
    while len(record_of(world).rollouts) < 2 or newest(world).state is not RolloutState.STEPPING:
        world.run(1)
    return world


def serving(probation: Span = FORTNIGHT, faults: Faults | None = None) -> World:
    """The same when the second version has just been promoted."""
    world = on_trial(probation, faults)
    while newest(world).open:
        world.run(1)
    record = record_of(world)
    assert newest(world).state is RolloutState.PROMOTED
    assert record.champion == newest(world).version
    assert record.previous == newest(world).champion
    return world


def label(world: World, count: int) -> None:
    world.planes.mature = count
    world.tick(world.planes.now)


def promotion(world: World, version: VersionId | None) -> Draft:
    return Draft(
        id=f"order:{len(world.journal.events)}",
        at=world.planes.now,
        actor="test",
        subject=f"service/{SERVICE}",
        reason="A test promotes.",
        fact=OrderGiven(service=SERVICE, verb="promote", role="operator", words=digest_of("why"), version=version),
    )


def test_a_version_on_trial_is_taken_back_on_labels_of_all_traffic() -> None:
    world = on_trial()
    world.planes.faults = WORSE
    label(world, 49)
    assert not rescored(world)
    label(world, 50)
    assert [one.known for one in rescored(world)] == [50]
    assert newest(world).open  # too few to say so
    label(world, 62)
    assert len(rescored(world)) == 1
    label(world, 100)
    assert [one.known for one in rescored(world)] == [50, 100]
    label(world, 400)
    rollout, record = newest(world), record_of(world)
    assert rollout.state is RolloutState.ROLLED_BACK
    assert "paired on 400 labelled requests: accuracy" in record.versions[rollout.version].refused
    assert rollout.evidence["paired"] == 400


def test_one_that_is_as_good_goes_on() -> None:
    world = on_trial()
    while newest(world).open:
        label(world, world.planes.mature + 200)
        world.run(1)
    assert newest(world).state is RolloutState.PROMOTED
    assert newest(world).evidence["e_paired"] < 1


@pytest.mark.parametrize("faults", [None, Faults(kill=0.02, slow=0.3)], ids=["calm", "killed"])
def test_a_champion_is_taken_back_by_labels_and_does_not_return(faults: Faults | None) -> None:
    world = serving(faults=faults)
    before, champion = record_of(world).previous, record_of(world).champion
    world.planes.faults = WORSE if faults is None else msgspec.structs.replace(faults, worse_on_labels=1.0)
    label(world, 100)
    assert record_of(world).champion == champion
    label(world, 600)
    record = record_of(world)
    assert record.champion == before
    assert champion is not None
    refused = record.versions[champion].refused
    assert refused.startswith(
        "Labels show that version 2 is worse than version 1, which it replaced and which answers again."
    )
    assert "Paired on 600 labelled requests" in refused
    route = world.planes.table.routes[SERVICE]
    assert route.champion == before
    assert record.refusal_of(record.versions[champion].fingerprint) in route.refused
    facts = [event.fact for event in world.journal.read()]
    assert sum(isinstance(fact, ChampionReverted) for fact in facts) == 1
    assert sum(isinstance(fact, VersionRefused) and fact.version == champion for fact in facts) == 1
    # Neither the next trigger nor a restart brings it back.
    world.planes.faults = Faults()
    world.loop = type(world.loop)(world.journal, world.planes, Registry())
    world.run(40)
    later = [one.version for one in record_of(world).rollouts.values()]
    assert later.count(champion) == 1
    assert len(later) > 2


def test_a_probation_ends() -> None:
    world = serving(probation=Span(2 * DAY))
    world.planes.faults = msgspec.structs.replace(WORSE, crash=1.0)  # nothing else is trained meanwhile
    champion = record_of(world).champion
    world.run(3)
    label(world, 600)
    assert record_of(world).champion == champion
    assert not rescored(world)


def test_what_cannot_be_scored_now_waits_for_more_labels() -> None:
    world = serving()
    world.planes.crashing = "rescored"
    label(world, 100)
    (found,) = rescored(world)
    assert (found.known, found.found, found.result) == (100, None, None)
    assert record_of(world).decisions[-1].kind != "version.rescored"
    world.planes.crashing = ""
    label(world, 199)
    assert len(rescored(world)) == 1
    label(world, 200)
    last = rescored(world)[-1]
    assert last.found is not None
    assert (last.look, last.found.labels) == (2, 200)


def test_what_a_person_put_into_service_stays() -> None:
    world = serving()
    champion = record_of(world).champion
    assert champion is not None
    for version in (record_of(world).previous, champion):
        world.journal.append(promotion(world, version))
        world.run(1)
    assert record_of(world).champion == champion
    world.planes.faults = msgspec.structs.replace(WORSE, crash=1.0)
    label(world, 600)
    assert record_of(world).champion == champion
