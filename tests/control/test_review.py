"""A pushed file whose quality nobody knew is judged again when labels come: on trial, in line, and once it serves."""

import msgspec
import pytest

from evertrain.control.review import unjudged_until
from evertrain.core.cycle import CycleState
from evertrain.core.event import ChampionOverridden, OrderAnswered, VersionJudged
from evertrain.core.identity import VersionId, digest_of
from evertrain.core.model import Verdict
from evertrain.core.policy import CanarySpec
from evertrain.core.registry import Rollout
from evertrain.core.rollout import RolloutState
from evertrain.core.stage import Evaluated
from evertrain.core.time import DAY, HOUR, Instant, Moment
from evertrain.testing.person import order, record_of
from evertrain.testing.simulation import SERVICE, Faults, World, simulated_service

FIRST, SECOND, THIRD = (VersionId(digest_of(name)) for name in ("first", "second", "third"))


def says(verdict: Verdict, *, hold: str = "", worse: bool = False, compared: int = 1000) -> Evaluated:
    return Evaluated(
        version=FIRST,
        verdict=verdict,
        reasons=(f"a planned {verdict}",),
        card=digest_of(verdict),
        evidence={"compared": float(compared)},
        hold=hold,
        worse=worse,
    )


def rollout_of(world: World, version: VersionId) -> Rollout:
    return [one for one in record_of(world).rollouts.values() if one.version == version][-1]


def push(world: World, version: VersionId) -> None:
    order(world, "import", version)
    world.run(1)


def pushed(*checks: Evaluated) -> World:
    """A served file, and a second one that has just begun with its first share, or is held; `checks` say what."""
    slow = CanarySpec(steps=(0.1, 0.2, 0.5), max_bad_answers=5.0)
    world = World(seed=1, spec=msgspec.structs.replace(simulated_service(), recipes={}, triggers=(), rollout=slow))
    world.planes.checks = [says("health only")]
    push(world, FIRST)
    world.run(1)
    assert record_of(world).champion == FIRST
    world.planes.checks = list(checks)
    push(world, SECOND)
    held = bool(checks) and bool(checks[0].hold)
    assert rollout_of(world, SECOND).step == (-1 if held else 0)
    return world


def verdicts(world: World, version: VersionId) -> list[str]:
    facts = [event.fact for event in world.journal.read()]
    return [fact.verdict for fact in facts if isinstance(fact, VersionJudged) and fact.version == version]


@pytest.mark.parametrize("verdict", ["fail", "error"])
def test_a_bad_file_is_taken_back_as_soon_as_labels_tell(verdict: Verdict) -> None:
    world = pushed(says("health only"), says(verdict, worse=True))
    world.planes.labels = 49
    world.tick(world.planes.now)
    assert verdicts(world, SECOND) == ["health only"]
    world.planes.labels = 50
    world.tick(world.planes.now)
    rollout, record = rollout_of(world, SECOND), record_of(world)
    assert (rollout.state, rollout.step) == (RolloutState.ROLLED_BACK, 0)
    assert record.versions[SECOND].refused == f"Judged again, its verdict is {verdict}. a planned {verdict}"
    assert record.champion == FIRST
    assert not record.open_cycles


def test_a_good_file_gets_its_verdict_and_goes_on() -> None:
    world = pushed(says("health only"), says("inconclusive"), says("pass"))
    world.planes.labels = 60
    world.tick(world.planes.now)
    assert rollout_of(world, SECOND).open  # undecided lets it go on
    world.planes.labels = 119
    world.tick(world.planes.now)
    assert verdicts(world, SECOND) == ["health only", "inconclusive"]
    world.planes.labels = 120
    world.run(60)
    assert verdicts(world, SECOND) == ["health only", "inconclusive", "pass"]
    assert record_of(world).champion == SECOND


def test_it_is_judged_before_each_advance_where_labels_came() -> None:
    world = pushed(says("health only"), says("inconclusive"))
    labels = 100
    while rollout_of(world, SECOND).open:
        labels += 1  # never twice as many
        world.planes.labels = labels
        before = rollout_of(world, SECOND).step
        world.run(1)
        if rollout_of(world, SECOND).step > before:
            assert record_of(world).versions[SECOND].evidence["known"] == labels
    assert len(verdicts(world, SECOND)) >= 3


def test_without_labels_it_goes_on_by_its_health() -> None:
    world = pushed(says("health only"))
    world.run(90)
    assert verdicts(world, SECOND) == ["health only"]
    assert record_of(world).champion == SECOND


def test_what_nobody_could_compare_is_compared_before_it_is_promoted() -> None:
    world = pushed(says("health only", compared=3), says("health only", hold="it ranks the other way round"))
    world.run(90)
    rollout = rollout_of(world, SECOND)
    assert (rollout.state, rollout.last_step, rollout.share) == (RolloutState.PREPARING, True, 0.0)
    assert record_of(world).versions[SECOND].hold == "it ranks the other way round"
    assert (canary := world.planes.table.routes[SERVICE].canary) is not None
    assert canary.share == 0.0
    world.planes.checks = [says("pass")]
    world.planes.labels = 50
    world.run(60)
    assert record_of(world).champion == SECOND


def test_one_that_contradicts_the_champion_waits_for_a_person_or_for_labels() -> None:
    world = pushed(says("health only", hold="it ranks the other way round"), says("pass"))
    world.run(90)
    rollout = rollout_of(world, SECOND)
    assert (rollout.state, rollout.started, record_of(world).champion) == (RolloutState.PREPARING, None, FIRST)
    world.planes.labels = 50
    world.run(60)
    assert record_of(world).champion == SECOND


def test_a_person_may_put_a_held_version_into_service() -> None:
    world = pushed(says("health only", hold="it ranks the other way round"))
    order(world, "promote", SECOND)
    world.run(1)
    assert record_of(world).champion == SECOND
    assert any(isinstance(event.fact, ChampionOverridden) for event in world.journal.read())


def test_a_trained_version_that_is_held_waits_for_a_person_whatever_labels_come() -> None:
    world = World(seed=2, spec=simulated_service(), faults=None)
    while record_of(world).champion is None:
        world.run(1)
    first = record_of(world).champion
    world.planes.faults = Faults(hold="a leak")
    while len(record_of(world).rollouts) < 2:
        world.run(1)
    world.planes.labels = 500
    world.run(60)
    rollout = list(record_of(world).rollouts.values())[-1]
    assert (rollout.state, rollout.share, record_of(world).champion) == (RolloutState.PREPARING, 0.0, first)
    order(world, "promote", rollout.version)
    world.run(1)
    assert record_of(world).champion == rollout.version


def test_a_file_in_line_is_told_that_the_one_before_it_is_held() -> None:
    world = pushed(says("health only", hold="it ranks the other way round"))
    push(world, THIRD)
    answered = [event.reason for event in world.journal.read() if isinstance(event.fact, OrderAnswered)][-1]
    assert "when that of version 2 has ended, which gets no traffic yet." in answered


def test_labels_that_do_not_decide_take_no_protection_away() -> None:
    world = pushed(says("health only", hold="it ranks the other way round"), says("inconclusive"))
    world.run(90)
    world.planes.labels = 50
    world.run(60)
    assert verdicts(world, SECOND) == ["health only", "inconclusive"]
    assert (rollout_of(world, SECOND).started, record_of(world).champion) == (None, FIRST)
    assert record_of(world).versions[SECOND].hold == "it ranks the other way round"


def test_a_file_that_stood_in_line_is_judged_again_before_it_gets_traffic() -> None:
    world = pushed(says("health only"))
    push(world, THIRD)
    answered = [event.reason for event in world.journal.read() if isinstance(event.fact, OrderAnswered)][-1]
    assert "its own canary begins when that of version 2 has ended, which has 10% of the requests" in answered
    assert "Its step is waiting: about" in answered
    assert verdicts(world, THIRD) == ["health only"]
    world.planes.checks = [says("fail")]
    while rollout_of(world, SECOND).open:
        world.run(1)
    rollout = rollout_of(world, THIRD)
    assert rollout.state is RolloutState.ROLLED_BACK
    assert [share for _, share in rollout.shares] == [0.0, 0.0]
    assert world.planes.checked[-1].champion == record_of(world).champion


def test_a_champion_that_labels_show_to_be_worse_gives_way_to_the_one_before() -> None:
    world = pushed(says("health only"))
    world.run(90)
    assert record_of(world).champion == SECOND
    world.planes.checks = [says("inconclusive"), says("fail", worse=True)]
    world.planes.labels = 70
    world.run(1)
    assert record_of(world).champion == SECOND
    world.planes.labels = 140
    world.run(1)
    record = record_of(world)
    assert record.champion == FIRST
    assert world.planes.checked[-1].champion == FIRST
    assert "Labels show that version 2 is worse than version 1" in record.versions[SECOND].refused
    assert world.planes.table.routes[SERVICE].champion == FIRST
    seen = len(world.planes.checked)
    world.planes.labels = 10_000
    world.run(5)
    assert len(world.planes.checked) == seen  # nothing stands behind it any more


def test_a_review_that_cannot_be_done_ends_the_trial_without_a_refusal() -> None:
    world = pushed(says("health only"))
    world.planes.crashing = "review"
    world.planes.labels = 50
    world.tick(world.planes.now)
    assert rollout_of(world, SECOND).state is RolloutState.ABORTED
    assert not record_of(world).versions[SECOND].refused


def test_what_a_person_ended_can_be_pushed_again() -> None:
    world = pushed(says("health only"))
    order(world, "rollback")
    assert rollout_of(world, SECOND).state is RolloutState.ABORTED
    push(world, SECOND)
    assert rollout_of(world, SECOND).state is RolloutState.STEPPING
    assert len(record_of(world).versions) == 2
    world.run(90)
    assert record_of(world).champion == SECOND


def test_what_could_not_be_checked_here_is_not_refused_and_may_be_pushed_again() -> None:
    world = World(seed=1, spec=msgspec.structs.replace(simulated_service(), recipes={}, triggers=()))
    world.planes.checks = [msgspec.structs.replace(says("error"), unchecked="x is missing."), says("health only")]
    push(world, FIRST)
    record = record_of(world)
    assert not record.versions[FIRST].refused
    assert not record.refusals
    [cycle] = record.cycles.values()
    assert (cycle.state, cycle.why) == (
        CycleState.FAILED,
        "It could not be checked, and nothing is held against it. x is missing.",
    )
    push(world, FIRST)
    world.run(1)
    assert record_of(world).champion == FIRST


def test_one_that_is_pushed_before_the_first_answers_is_judged_beside_it_when_it_does() -> None:
    spec = msgspec.structs.replace(simulated_service(), recipes={}, triggers=())
    world = World(seed=1, spec=spec)
    world.planes.checks = [says("health only")]
    order(world, "import", FIRST)
    world.planes.now = Instant(HOUR // 2)  # a check takes an hour
    order(world, "import", SECOND)
    world.run(1)
    assert record_of(world).champion == FIRST
    assert [one.champion for one in world.planes.checked if one.version == SECOND] == [None, FIRST]


def test_until_when_no_label_can_judge_is_told_where_that_is_far_and_nobody_is_asked() -> None:
    world = pushed(says("health only"))
    record, now = record_of(world), world.planes.now
    first = min(one.championed for one in record.versions.values() if one.championed is not None)
    spec = simulated_service()

    def until(offset: int, at: Instant = now, **rollout: object) -> Instant | None:
        assert spec.label is not None
        label = msgspec.structs.replace(spec.label, mature_at=Moment(column="at", offset=offset))
        asked = msgspec.structs.replace(spec, label=label, rollout=msgspec.structs.replace(spec.rollout, **rollout))
        return unjudged_until(record, asked, at)

    assert until(30 * DAY) == first + 30 * DAY
    assert until(30 * DAY, Instant(first + 30 * DAY)) is None, "it is there"
    assert until(HOUR) is None, "the canary is not over by then"
    assert until(30 * DAY, approval=("promotion",)) is None
    assert unjudged_until(record, msgspec.structs.replace(spec, label=None), now) is None
