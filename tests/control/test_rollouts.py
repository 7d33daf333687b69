"""What becomes of a rollout whose process ends by itself: it is tried again, and not for ever."""

import msgspec
import pytest

from evertrain.core.event import Draft, ProcessExited
from evertrain.core.identity import VersionId
from evertrain.core.policy import CanarySpec
from evertrain.core.record import Rollout
from evertrain.core.rollout import RolloutState
from evertrain.core.trial import LACKING
from evertrain.testing.person import record_of
from evertrain.testing.simulation import World, simulated_service


def on_trial() -> World:
    """A service whose second version has just begun with its first share."""
    slow = CanarySpec(steps=(0.1, 0.5), max_bad_answers=5.0)
    world = World(seed=2, spec=msgspec.structs.replace(simulated_service(), rollout=slow))
    while len(record_of(world).rollouts) < 2:
        world.run(1)
    world.tick(world.planes.now)
    assert newest(world).state is RolloutState.STEPPING
    return world


def newest(world: World) -> Rollout:
    return list(record_of(world).rollouts.values())[-1]


def fall(world: World, times: int, *, arm: str = "canary", version: VersionId | None = None, code: int = 1) -> None:
    for _ in range(times):
        fact = ProcessExited(process=f"{arm}-1-0", code=code, signal=None, version=version or newest(world).version)
        world.journal.append(
            Draft(
                id=f"exit:{len(world.journal.events)}",
                at=world.planes.now,
                actor="supervisor",
                subject=f"process/{fact.process}",
                reason="It was killed by SIGSEGV.",
                fact=fact,
            )
        )
    world.tick(world.planes.now)


def test_a_process_that_ends_again_and_again_ends_its_trial() -> None:
    world = on_trial()
    rollout = newest(world)
    fall(world, 7)
    assert newest(world).state is RolloutState.STEPPING
    fall(world, 1)
    record = record_of(world)
    assert record.rollouts[rollout.rollout].state is RolloutState.ROLLED_BACK
    told = "Its process ended 8 times by itself. The last time: It was killed by SIGSEGV."
    assert record.versions[rollout.version].refused == told


@pytest.mark.parametrize(("arm", "code"), [("control", 1), ("reference", 1), ("canary", LACKING)])
def test_what_is_not_its_own_fault_does_not_count(arm: str, code: int) -> None:
    world = on_trial()
    fall(world, 20, arm=arm, code=code)
    assert newest(world).state is RolloutState.STEPPING


def test_another_version_does_not_count() -> None:
    world = on_trial()
    fall(world, 20, version=record_of(world).champion)
    assert newest(world).state is RolloutState.STEPPING


def test_each_move_gives_it_a_new_chance() -> None:
    world = on_trial()
    fall(world, 7)
    before = newest(world).step
    while newest(world).open and newest(world).step == before:
        world.run(1)
    fall(world, 7)
    assert newest(world).state is not RolloutState.ROLLED_BACK


def alone() -> World:
    """A service whose second version is to be tried, and whose control arm does not stand."""
    world = World(seed=2, spec=simulated_service())
    while len(record_of(world).served) < 1:
        world.run(1)
    world.planes.alone = True
    with pytest.raises(AssertionError, match="its processes start"):
        world.run(30)
    assert newest(world).state is RolloutState.PREPARING
    return world


def test_a_control_arm_that_does_not_stand_is_said_and_tried_again() -> None:
    world = alone()
    champion = record_of(world).champion
    with pytest.raises(AssertionError, match=r"which it is compared with, does not stand \(ended 7 times\)"):
        fall(world, 7, arm="control", version=champion)
    world.planes.alone = False
    world.tick(world.planes.now)
    assert newest(world).state is RolloutState.STEPPING
    assert newest(world).absence is None


@pytest.mark.parametrize(("arm", "code"), [("control", 1), ("canary", LACKING)])
def test_a_trial_that_cannot_be_held_ends_without_a_refusal(arm: str, code: int) -> None:
    world = alone()
    rollout = newest(world)
    fall(world, 8, arm=arm, version=rollout.champion if arm == "control" else None, code=code)
    record = record_of(world)
    ended = record.rollouts[rollout.rollout]
    assert ended.state is RolloutState.ABORTED
    assert ended.why.startswith("It cannot be tried: ")
    assert ended.why.endswith("does not stand (ended 8 times): It was killed by SIGSEGV.")
    assert record.versions[rollout.version].refused == ""
    assert record.refusals == []


def without_control() -> World:
    """A service whose version on trial has a share, and has lost its control arm."""
    world = on_trial()
    world.planes.alone = True
    with pytest.raises(AssertionError, match="its processes start"):
        world.run(30)
    return world


def test_a_canary_that_loses_its_control_arm_says_so_and_goes_on_when_it_is_back() -> None:
    world = without_control()
    before = newest(world)
    assert (before.state, before.step) == (RolloutState.STEPPING, 0)
    with pytest.raises(AssertionError, match=r"which it is compared with, does not stand \(ended 7 times\)"):
        fall(world, 7, arm="control", version=before.champion)
    world.planes.alone = False
    world.tick(world.planes.now)
    assert (newest(world).state, newest(world).step) == (RolloutState.STEPPING, 1)


def test_a_canary_whose_control_arm_does_not_come_back_ends_without_a_refusal() -> None:
    world = without_control()
    rollout = newest(world)
    fall(world, 8, arm="control", version=rollout.champion)
    record = record_of(world)
    assert record.rollouts[rollout.rollout].state is RolloutState.ABORTED
    assert record.versions[rollout.version].refused == ""


def test_a_canary_does_not_move_on_while_what_was_answered_in_an_outage_is_still_read() -> None:
    world, twin = on_trial(), on_trial()
    rollout = newest(world)
    world.planes.unread_from = rollout.since
    while newest(twin).step == rollout.step:
        twin.run(1)
        world.run(1)
    assert (newest(world).state, newest(world).step) == (RolloutState.STEPPING, rollout.step)
    world.planes.unread_from = None
    world.tick(world.planes.now)
    assert newest(world).step == rollout.step + 1


def test_a_canary_that_does_harm_is_taken_back_at_once_though_not_all_is_read() -> None:
    world = on_trial()
    rollout = newest(world)
    world.planes.unread_from = rollout.since
    world.planes.faults = msgspec.structs.replace(world.planes.faults, failing=1.0)
    while newest(world).open:
        world.run(1)
    assert record_of(world).rollouts[rollout.rollout].state is RolloutState.ROLLED_BACK


def test_a_version_begins_with_no_share_while_what_was_answered_in_an_outage_is_still_read() -> None:
    world = alone()
    world.planes.alone = False
    world.planes.unread_from = world.planes.now
    with pytest.raises(AssertionError, match="what was answered while nobody looked is read first"):
        world.tick(world.planes.now)
    assert newest(world).state is RolloutState.PREPARING
    world.planes.unread_from = None
    world.tick(world.planes.now)
    assert newest(world).state is RolloutState.STEPPING
