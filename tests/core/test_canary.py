"""What a rollout does next."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.canary import assess
from evertrain.core.evidence import Outcome, Tally
from evertrain.core.loss import Graded
from evertrain.core.policy import CanarySpec
from evertrain.core.prediction import ArmName
from evertrain.core.time import DAY, MINUTE, SECOND, Instant

SPEC = CanarySpec(steps=(0.01, 0.1, 0.5), margin=0.01, max_bad_answers=50.0)
NOW = Instant(1_000_000)


def tally(share: float, *, canary: int, rest: int, errors: int = 0) -> Tally:
    fine = [Outcome("canary", True)] * (canary - errors) + [Outcome("champion", True)] * rest
    return Tally.start(share).fold(fine).fold([Outcome("canary", False)] * errors)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_without_traffic_it_waits_at_every_step(step: int) -> None:
    decision = assess(step, SPEC, Tally.start(SPEC.steps[step]), 0.0, NOW)
    assert decision.action == "wait"
    assert decision.next_look is None
    assert "more canary requests; there is next to no traffic" in decision.reasons[0]


def test_on_little_traffic_it_says_how_many_and_by_when() -> None:
    decision = assess(2, SPEC, tally(0.5, canary=10, rest=10), 100.0, NOW)
    assert decision.action == "wait"
    assert decision.figures["more"] == pytest.approx(429, abs=2)
    assert decision.next_look == pytest.approx(NOW + 429 / 50 * DAY, rel=0.01)
    assert "by about 1970-01-09T" in decision.reasons[0]


def test_a_step_is_admitted_when_the_harm_it_could_do_is_accepted() -> None:
    # 10% of 20,000 requests a day at a bound of 0.025 are 50 bad answers.
    early = assess(0, SPEC, tally(0.01, canary=100, rest=9900), 20_000.0, NOW)
    late = assess(0, SPEC, tally(0.01, canary=200, rest=19_800), 20_000.0, NOW)
    assert early.action == "wait"
    assert late.action == "advance"
    assert late.figures["bound"] <= late.figures["bound_limit"] == pytest.approx(0.025)
    assert "10%" in late.reasons[0]


def test_what_sets_the_number_of_requests_is_said_where_it_moves_with_the_traffic() -> None:
    slow, fast = (assess(0, SPEC, tally(0.01, canary=27, rest=2700), a_day, NOW) for a_day in (20_000.0, 200_000.0))
    assert fast.figures["more"] > slow.figures["more"]
    assert fast.reasons[0].endswith(", because about 200,000 requests a day are foreseen at the present rate")
    for step, seen in ((2, tally(0.5, canary=10, rest=10)), (0, Tally.start(0.01))):
        assert "because" not in assess(step, SPEC, seen, 1_000.0, NOW).reasons[0]


def test_that_no_request_came_is_said_after_ten_minutes() -> None:
    seen = tally(0.5, canary=10, rest=10)
    assert assess(2, SPEC, seen, 100.0, NOW, idle=12 * MINUTE).reasons[0].endswith("; no request came for 12 min")
    assert assess(2, SPEC, seen, 0.0, NOW, idle=12 * MINUTE).reasons[0].endswith("; no request came for 12 min")
    assert "no request" not in assess(2, SPEC, seen, 100.0, NOW, idle=9 * MINUTE).reasons[0]


def test_the_last_promotion_needs_the_margin() -> None:
    assert assess(2, SPEC, tally(0.5, canary=430, rest=430), 2000.0, NOW).action == "wait"
    promoted = assess(2, SPEC, tally(0.5, canary=450, rest=450), 2000.0, NOW)
    assert promoted.action == "promote"
    assert promoted.figures["bound"] < SPEC.margin


@pytest.mark.parametrize("latency_decides", [True, False])
@pytest.mark.parametrize(("share", "errors"), [(0.01, 3), (0.05, 3), (0.1, 4), (0.2, 5)])
def test_a_baseline_without_errors_saves_no_failing_canary(share: float, errors: int, latency_decides: bool) -> None:
    spec = CanarySpec(steps=(share,))
    running = Tally.start(share).fold([Outcome("champion", True)] * 900)
    actions = []
    for _ in range(errors):
        running = running.fold([Outcome("canary", False)])
        actions.append(assess(0, spec, running, 1000.0, NOW, latency_decides=latency_decides).action)
    assert actions == ["wait"] * (errors - 1) + ["roll back"]


def side_by_side(canary: Outcome, control: Outcome, times: int = 60) -> Tally:
    """Their answers in turn, a second apart."""
    both = (canary, control)
    answers = [msgspec.structs.replace(one, received=number * SECOND) for number in range(times) for one in both]
    return Tally.start(0.1).fold(answers)


def test_slow_answers_decide_only_where_latency_does() -> None:
    running = side_by_side(Outcome("canary", True, 90_000), Outcome("control", True, 1000))
    assert assess(0, SPEC, running, 1000.0, NOW).action == "roll back"
    assert "latency" in assess(0, SPEC, running, 1000.0, NOW).reasons[1]
    quiet = assess(0, SPEC, running, 1000.0, NOW, latency_decides=False)
    assert quiet.action != "roll back"
    assert quiet.figures["e_latency"] > 100


def test_no_version_is_promoted_before_its_latency_could_have_been_compared() -> None:
    """Thousands of requests within a second bound the errors; of their latencies only four of each arm count."""
    arms: list[ArmName] = ["canary", "control", "champion"]
    rush = [Outcome(arm, True, 700, 0.5, number) for number in range(1000) for arm in arms]
    running = Tally.start(0.5).fold(rush)
    found = assess(2, SPEC, running, 1e6, NOW)
    assert found.action == "wait"
    assert found.reasons[0].startswith("waiting: its latency has to be compared with the control arm's first")
    assert found.reasons[1].startswith("the share of failed requests is at most")
    assert assess(2, SPEC, running, 1e6, NOW, latency_decides=False).action == "promote"
    seconds = [msgspec.structs.replace(one, received=(number // 3 + 1) * SECOND) for number, one in enumerate(rush)]
    assert assess(2, SPEC, running.fold(seconds[:120]), 1e6, NOW).action == "promote"


@pytest.mark.parametrize("latency_decides", [True, False])
def test_scores_that_are_far_off_end_a_rollout(latency_decides: bool) -> None:
    running = side_by_side(Outcome("canary", True, 1000, 0.9), Outcome("control", True, 1000, 0.1), 100)
    found = assess(0, SPEC, running, 1000.0, NOW, latency_decides=latency_decides)
    assert found.action == "roll back"
    assert found.reasons[1].startswith("scores far from the control arm's: e-value")
    assert found.reasons[2:] == (
        "canary errors 0 of 100, the rest 0 of 100: e-value 1",
    )  # what shows nothing is left out


@pytest.mark.parametrize(("loss", "action"), [(0.9, "roll back"), (0.1, "wait")])
def test_labels_that_tell_of_worse_answers_end_a_rollout(loss: float, action: str) -> None:
    rest = [Graded(False, number / 100) for number in range(60)] * 2
    labelled = [Graded(True, loss), Graded(False, 0.1)] * 60
    found = assess(0, SPEC, Tally.start(0.1).graded(rest).graded(labelled), 1000.0, NOW, latency_decides=False)
    assert found.action == action
    if action == "roll back":
        assert found.reasons[1].startswith("labels of 60 canary answers against 80 of the rest's: e-value")


def test_a_step_waits_for_requests_of_its_own_share() -> None:
    proven = tally(0.1, canary=1000, rest=9000).stepped(0.5)
    assert assess(2, SPEC, proven, 20_000.0, NOW).action == "wait"
    assert assess(2, SPEC, proven, 20_000.0, NOW).figures["more"] == 10
    assert assess(2, SPEC, proven.fold([Outcome("canary", True)] * 10), 20_000.0, NOW).action == "promote"
    # Ten requests would be days: those of one day are waited for.
    assert assess(2, SPEC, proven.fold([Outcome("canary", True)] * 2), 4.0, NOW).action == "promote"


def test_a_time_is_foretold_by_the_pace_of_the_last_minutes() -> None:
    seen = tally(0.5, canary=10, rest=10)
    fast = assess(2, SPEC, seen, 100.0, NOW, pace=86_400.0)
    assert fast.next_look == pytest.approx(NOW + 429 / 43_200 * DAY, rel=0.01)
    assert "next to no traffic, so no time can be said" in assess(2, SPEC, seen, 100.0, NOW, pace=0.0).reasons[0]


@given(
    step=st.integers(0, 2),
    canary=st.integers(0, 3000),
    rest=st.integers(0, 3000),
    errors=st.integers(0, 5),
    requests=st.floats(0, 1e7),
)
def test_every_look_has_one_action_a_reason_and_finite_figures(
    step: int, canary: int, rest: int, errors: int, requests: float
) -> None:
    seen = tally(SPEC.steps[step], canary=canary + errors, rest=rest, errors=errors)
    decision = assess(step, SPEC, seen, requests, NOW)
    assert decision.reasons
    assert all(figure == figure and abs(figure) < float("inf") for figure in decision.figures.values())
    assert decision.action != ("advance" if step == 2 else "promote")


def test_a_step_lasts_as_long_as_it_is_to_unless_harm_ends_it() -> None:
    spec, passed = msgspec.structs.replace(SPEC, step_for=10 * MINUTE), tally(0.5, canary=450, rest=450)
    begun, ends = Instant(NOW - 4 * MINUTE), Instant(NOW + 6 * MINUTE)
    early = assess(2, spec, passed, 2000.0, NOW, since=begun)
    assert (early.action, early.next_look) == ("wait", ends)
    assert early.reasons[0].startswith("waiting: a step lasts at least 10m, so until ")
    assert assess(2, spec, passed, 2000.0, ends, since=begun).action == "promote"
    assert assess(2, SPEC, passed, 2000.0, NOW, since=begun).action == "promote", "without one it is over at once"
    harmful = passed.fold([Outcome("canary", False)] * 60)
    assert assess(2, spec, harmful, 2000.0, NOW, since=begun).action == "roll back"
