"""The gates at which somebody is asked: nothing passes without an answer, and every answer is on record."""

import msgspec
import pytest

from evertrain.config.declaration import ServiceSpec
from evertrain.core.approval import GATES, ApprovalAsked, ApprovalGiven, Approver, Decision, OnTimeout, RolloutGate
from evertrain.core.event import Draft
from evertrain.core.policy import CanarySpec
from evertrain.core.registry import Rollout
from evertrain.core.rollout import RolloutState
from evertrain.core.time import DAY, HOUR, Instant, Span
from evertrain.testing.person import order, record_of
from evertrain.testing.simulation import SERVICE, Faults, World, simulated_service


def open_rollout(world: World) -> Rollout:
    rollout = record_of(world).open_rollout
    assert rollout is not None
    return rollout


def by_hand(*gates: RolloutGate, within: Span = DAY, on_timeout: OnTimeout = "hold") -> ServiceSpec:
    rule = CanarySpec(approval=gates, approval_within=within, on_timeout=on_timeout)
    return msgspec.structs.replace(simulated_service(), rollout=rule)


def answer(world: World, decision: Decision, approver: str = "hook ci") -> None:
    """What the thread of a hook puts on record."""
    rollout = open_rollout(world)
    [gate] = {one.gate for one in rollout.unanswered if one.approver == approver}
    world.journal.append(
        Draft(
            id=f"{rollout.rollout}:{gate}:{approver}:{decision}",
            at=world.planes.now,
            actor=approver,
            subject=f"rollout/{rollout.rollout}",
            reason=f"{approver} says {decision}.",
            fact=ApprovalGiven(
                service=SERVICE, rollout=rollout.rollout, gate=gate, approver=approver, decision=decision, role="hook"
            ),
        )
    )
    world.tick(world.planes.now)


def facts_of(world: World, kind: type[ApprovalAsked] | type[ApprovalGiven]) -> list[ApprovalAsked | ApprovalGiven]:
    return [event.fact for event in world.journal.read() if isinstance(event.fact, kind)]


def run_until_asked(world: World) -> Rollout:
    for _ in range(60):
        world.run(1)
        rollout = record_of(world).open_rollout
        if rollout is not None and rollout.unanswered:
            return rollout
    raise AssertionError("nobody was asked")


def test_without_a_rule_nobody_is_asked() -> None:
    world = World(seed=1)
    world.run(40)
    assert facts_of(world, ApprovalAsked) == []
    assert record_of(world).champion is not None


def test_a_promotion_waits_for_a_person_and_the_canary_goes_on() -> None:
    world = World(seed=1, spec=by_hand("promotion"))
    first = run_until_asked(world)
    assert first.champion is None
    assert first.state is RolloutState.PENDING
    assert order(world, "approve") == (True, "A person (operator) approved the promotion of version 1.")
    assert record_of(world).champion == first.version
    second = run_until_asked(world)
    assert (second.state, second.last_step) == (RolloutState.STEPPING, True)
    world.run(5)
    assert open_rollout(world).rollout == second.rollout
    assert order(world, "approve")[0]
    after = record_of(world)
    assert after.champion == second.version
    assert "A person (operator) approved the promotion of version 2." in after.rollouts[second.rollout].why
    asked = [fact for fact in facts_of(world, ApprovalAsked) if fact.rollout == second.rollout]
    assert len(asked) == 1, "it is asked once"


@pytest.mark.parametrize("gate", GATES)
def test_a_version_that_is_denied_never_answers_and_nothing_else_happens_to_it(gate: RolloutGate) -> None:
    world = World(seed=1)
    world.run(10)
    world.planes.spec = by_hand(gate)
    rollout = run_until_asked(world)
    champion, ordinal = record_of(world).champion, record_of(world).versions[rollout.version].ordinal
    assert (rollout.state is RolloutState.PENDING) == (gate == "canary")
    assert order(world, "deny") == (True, f"A person (operator) denied the {gate} of version {ordinal}.")
    after = record_of(world)
    assert after.rollouts[rollout.rollout].state is RolloutState.ABORTED
    assert after.champion == champion
    assert not after.versions[rollout.version].refused
    said = (
        f"Nothing waits for an approval. The last answer: A person (operator) denied the {gate} of version {ordinal}."
    )
    assert order(world, "approve") == (False, said)


def test_an_answer_holds_for_the_version_that_is_named_and_for_no_other() -> None:
    world = World(seed=1)
    world.run(10)
    world.planes.spec = by_hand("promotion")
    rollout = run_until_asked(world)
    champion, ordinal = record_of(world).champion, record_of(world).versions[rollout.version].ordinal
    for verb in ("approve", "deny"):
        told = order(world, verb, champion)
        said = f"Version {ordinal - 1} does not wait for an approval; version {ordinal} does. Nothing was decided."
        assert told == (False, said)
    assert open_rollout(world).unanswered
    assert order(world, "approve", rollout.version)[0]
    assert record_of(world).champion == rollout.version


def test_no_traffic_goes_to_a_version_whose_canary_is_not_allowed() -> None:
    world = World(seed=1)
    world.run(10)
    world.planes.spec = by_hand("canary")
    run_until_asked(world)
    for _ in range(5):
        world.run(1)
        route = world.planes.table.routes[SERVICE]
        assert (route.canary, route.prepare) == (None, ())
    assert "has not begun" in order(world, "pause")[1]
    order(world, "approve")
    assert world.planes.table.routes[SERVICE].canary is not None


@pytest.mark.parametrize(
    ("on_timeout", "state"),
    [("hold", RolloutState.STEPPING), ("allow", RolloutState.PROMOTED), ("deny", RolloutState.ABORTED)],
)
def test_what_was_declared_holds_when_nobody_answers_in_time(on_timeout: OnTimeout, state: RolloutState) -> None:
    world = World(seed=1)
    world.run(10)
    world.planes.spec = by_hand("promotion", within=Span(5 * HOUR), on_timeout=on_timeout)
    rollout = run_until_asked(world)
    [question] = rollout.unanswered
    before = Instant(question.until - 1)
    world.tick(max(before, world.planes.now))
    world.tick(max(question.until, world.planes.now))
    after = record_of(world).rollouts[rollout.rollout]
    assert after.state is state
    given = facts_of(world, ApprovalGiven)
    assert [fact.role for fact in given if isinstance(fact, ApprovalGiven)] == ["time-out"] * (on_timeout != "hold")
    if on_timeout == "hold":
        assert order(world, "approve")[0], "a person may still decide"
        assert record_of(world).champion == rollout.version


def test_all_who_are_asked_have_to_allow_it_and_one_may_deny_it() -> None:
    world = World(seed=1)
    world.run(10)
    world.planes.spec = by_hand("promotion")
    world.planes.asked = {"promotion": (Approver(name="hook ci", within=DAY),)}
    rollout = run_until_asked(world)
    assert {one.approver for one in rollout.unanswered} == {"a person", "hook ci"}
    answer(world, "allow")
    assert open_rollout(world).rollout == rollout.rollout
    assert order(world, "deny")[0]
    assert record_of(world).rollouts[rollout.rollout].state is RolloutState.ABORTED


def test_the_first_answer_holds() -> None:
    world = World(seed=1)
    world.run(10)
    world.planes.asked = {"promotion": (Approver(name="hook ci", within=DAY), Approver(name="hook risk", within=DAY))}
    rollout = run_until_asked(world)
    answer(world, "allow")
    late = open_rollout(world)
    world.journal.append(
        Draft(
            id="late",
            at=world.planes.now,
            actor="hook ci",
            subject=f"rollout/{rollout.rollout}",
            reason="hook ci says deny.",
            fact=ApprovalGiven(
                service=SERVICE,
                rollout=rollout.rollout,
                gate="promotion",
                approver="hook ci",
                decision="deny",
                role="hook",
            ),
        )
    )
    world.tick(world.planes.now)
    assert open_rollout(world).approvals["promotion"]["hook ci"] == late.approvals["promotion"]["hook ci"]
    answer(world, "allow", "hook risk")
    assert record_of(world).champion == rollout.version


def test_whom_the_configuration_names_no_more_is_not_waited_for() -> None:
    world = World(seed=1)
    world.run(10)
    world.planes.asked = {"promotion": (Approver(name="hook ci", within=DAY),)}
    rollout = run_until_asked(world)
    world.planes.asked = {}
    world.run(1)
    assert record_of(world).champion == rollout.version


def test_evidence_still_ends_a_version_that_waits_for_its_promotion() -> None:
    world = World(seed=1)
    world.run(10)
    world.planes.spec = by_hand("promotion", within=Span(300 * DAY))
    rollout = run_until_asked(world)
    world.planes.faults = Faults(failing=1.0)
    world.run(10)
    after = record_of(world)
    assert after.rollouts[rollout.rollout].state is RolloutState.ROLLED_BACK
    assert after.versions[rollout.version].refused


def test_whoever_orders_a_version_into_service_is_not_asked() -> None:
    world = World(seed=1)
    world.run(10)
    world.planes.spec = by_hand("canary", "promotion")
    rollout = run_until_asked(world)
    assert order(world, "promote", rollout.version)[0]
    assert record_of(world).champion == rollout.version


def test_a_loop_that_is_killed_at_any_moment_asks_once_and_comes_to_the_same() -> None:
    for seed in range(5):
        world = World(seed=seed, faults=Faults(kill=0.1, slow=0.1), spec=by_hand("canary", "promotion", within=DAY))
        for _ in range(30):
            world.run(1)
            rollout = record_of(world).open_rollout
            if rollout is not None and rollout.unanswered:
                assert order(world, "approve")[0]
        asked = facts_of(world, ApprovalAsked)
        assert len({(fact.rollout, fact.gate) for fact in asked}) == len(asked)
        promoted = [one for one in record_of(world).rollouts.values() if one.state is RolloutState.PROMOTED]
        assert promoted
        for one in promoted:
            assert [answer.decision for gate in one.approvals.values() for answer in gate.values()] == ["allow"] * 2
