"""The canary's evidence: reference figures, validity at every look, exact resumption."""

import statistics

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.bet import Bet, Exposure
from evertrain.core.bound import clopper_pearson
from evertrain.core.evidence import Outcome, Tally, outcomes
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import ArmName, Failed, Labelled, Predicted, Record
from evertrain.core.score import Cause
from evertrain.core.time import Instant

ARMS: tuple[ArmName, ...] = ("champion", "canary", "control")
some_outcomes = st.lists(
    st.builds(
        Outcome,
        st.sampled_from(ARMS),
        st.booleans(),
        st.integers(100, 90_000),
        st.floats(0, 1),
        st.integers(0, 10_000_000),
    ),
    max_size=60,
)


def caught_after(
    rng: np.random.Generator, *, share: float, canary: float, rest: float, requests: int, alpha: float = 0.01
) -> tuple[int, int] | None:
    """(canary requests, canary errors) at the look that rolls back, looking after every request."""
    on_canary = rng.random(requests) < share
    failed = rng.random(requests) < np.where(on_canary, canary, rest)
    canaries = np.cumsum(on_canary)
    bet, errors = Bet(), 0
    for index in np.flatnonzero(failed):
        before = int(canaries[index]) - int(on_canary[index])
        exposure = Exposure(share=share, canary=before, other=int(index) - before)
        bet = bet.after(exposure.rho, bool(on_canary[index]))
        errors += int(on_canary[index])
        if bet.value >= 1 / alpha:
            return int(canaries[index]), errors
    return None


@pytest.mark.parametrize(("share", "errors"), [(0.01, 3), (0.05, 3), (0.1, 4), (0.2, 5)])
def test_a_canary_that_always_fails_is_caught_by_its_first_errors_though_the_baseline_has_none(
    share: float, errors: int
) -> None:
    rng = np.random.default_rng(5)
    for _ in range(100):
        caught = caught_after(rng, share=share, canary=1.0, rest=0.0, requests=int(30 / share))
        assert caught is not None
        assert caught[1] == errors


def test_false_rollbacks_stay_below_alpha_when_one_looks_after_every_request() -> None:
    rng, runs = np.random.default_rng(11), 1500
    alarms = sum(
        caught_after(rng, share=0.1, canary=0.005, rest=0.005, requests=20_000) is not None for _ in range(runs)
    )
    assert clopper_pearson(alarms, runs)[0] <= 0.01
    assert alarms / runs <= 0.01


@pytest.mark.parametrize(("rate", "low", "high"), [(0.05, 80, 115), (0.25, 11, 21)])
def test_harm_is_caught_about_as_fast_as_stated(rate: float, low: int, high: int) -> None:
    rng = np.random.default_rng(3)
    caught = [caught_after(rng, share=0.1, canary=rate, rest=0.005, requests=40_000) for _ in range(300)]
    assert None not in caught
    assert low <= statistics.median(at[0] for at in caught if at is not None) <= high


def test_a_heavy_entity_in_the_canary_cohort_is_not_taken_for_harm() -> None:
    # 60% of the traffic is one entity that fell into the canary's 10%: the realised share keeps the bet fair.
    rng, runs, alarms = np.random.default_rng(2), 300, 0
    for _ in range(runs):
        on_canary = rng.random(20_000) < 0.6
        failed = np.flatnonzero(rng.random(20_000) < 0.005)
        tally, previous = Tally.start(0.1), 0
        for index in failed:
            quiet = on_canary[previous:index]
            tally = tally.fold([Outcome("canary", True)] * int(quiet.sum()))
            tally = tally.fold([Outcome("champion", True)] * int((~quiet).sum()))
            tally = tally.fold([Outcome("canary" if on_canary[index] else "champion", False)])
            previous = int(index) + 1
            if tally.errors.value >= 100:
                alarms += 1
                break
    assert alarms / runs <= 0.02


def test_only_the_arms_of_one_path_make_a_block() -> None:
    arms: list[ArmName] = ["champion", "canary", "control", "champion"]
    tally = Tally.start(0.1).fold([Outcome(arm, True, 700, 0.5) for arm in arms])
    assert [answer.on_canary for answer in tally.scores.block] == [True, False]
    assert tally.scores.block == tally.latency.block
    failed = tally.fold([Outcome("canary", False)])
    assert (failed.scores, failed.latency) == (tally.scores, tally.latency)


@given(seen=some_outcomes, cut=st.integers(0, 60))
def test_a_tally_resumes_exactly_after_a_restart(seen: list[Outcome], cut: int) -> None:
    whole = Tally.start(0.1).fold(seen)
    half = Tally.start(0.1).fold(seen[:cut])
    restored = msgspec.json.decode(msgspec.json.encode(half), type=Tally)
    assert restored == half
    assert restored.fold(seen[cut:]) == whole


@given(seen=some_outcomes)
def test_the_evidence_of_errors_is_kept_when_the_share_changes(seen: list[Outcome]) -> None:
    tally = Tally.start(0.01).fold(seen)
    stepped = tally.stepped(0.25)
    assert stepped.errors == tally.errors
    assert stepped.step == Exposure(share=0.25)
    assert (stepped.latency.bets, stepped.scores.bets) == (tally.latency.bets, tally.scores.bets)
    assert (stepped.canary, stepped.rest) == (tally.canary, tally.rest)
    # Answers of two shares make no block.
    assert (stepped.latency.block, stepped.scores.block) == ((), ())


def predicted(arm: ArmName, assigned: ArmName, *, batch: str = "", load: bool = False, retry: bool = False) -> Record:
    return Predicted(
        id="0" * 32,
        service=ServiceName("late"),
        version=VersionId("v"),
        key="",
        at=Instant(0),
        received=Instant(0),
        row=(),
        vector=(),
        score=0.5,
        arm=arm,
        assigned=assigned,
        latency_us=700,
        batch=batch,
        load=load,
        retry=retry,
    )


def failure(cause: Cause) -> Failed:
    return Failed(
        id="0" * 32,
        service=ServiceName("late"),
        version=VersionId("v"),
        key="",
        at=Instant(0),
        received=Instant(0),
        arm="canary",
        cause=cause,
        detail="",
        latency_us=10,
    )


def test_each_request_counts_once() -> None:
    label = Labelled(
        service=ServiceName("late"), prediction="", key="k", value=1.0, known=Instant(0), received=Instant(0)
    )
    records: list[Record] = [
        failure("error"),
        predicted("champion", "canary"),
        predicted("champion", "champion", load=True),
        predicted("canary", "canary", retry=True),
        label,
        *[predicted("canary", "canary", batch="b1")] * 3,
        *[predicted("canary", "canary")] * 2,
    ]
    answered = Outcome("canary", True, 700, 0.5)
    assert list(outcomes(records)) == [Outcome("canary", False), answered, answered, answered]


def left(arm: ArmName, *moments: int, took: int = 1_000_000) -> list[Outcome]:
    """Requests that were received then and had no answer when their second was over."""
    return [Outcome(arm, False, took, None, moment, unanswered=True) for moment in moments]


def test_what_a_process_had_in_hand_when_it_stood_still_is_one_event_of_the_bet_and_all_of_the_bound() -> None:
    once = Tally.start(0.05).fold(left("canary", 0))
    held = Tally.start(0.05).fold(left("canary", *range(0, 900_000, 10_000)))
    assert held.errors == once.errors
    assert (held.canary_errors, once.canary_errors) == (90, 1)
    assert held.errors.value < 10


@pytest.mark.parametrize(("share", "errors"), [(0.01, 3), (0.05, 3), (0.1, 4), (0.2, 5)])
def test_a_version_that_never_answers_is_caught_after_as_many_deadlines_as_one_that_only_fails_after_errors(
    share: float, errors: int
) -> None:
    tally = Tally.start(share).fold([Outcome("champion", True)] * 900)
    for moment in range(0, (errors - 1) * 1_000_000, 50_000):
        tally = tally.fold(left("canary", moment))
        assert tally.errors.value < 200
    assert tally.fold(left("canary", (errors - 1) * 1_000_000)).errors.value >= 100


def test_each_arm_stands_still_by_itself_and_each_failure_of_the_code_counts() -> None:
    tally = Tally.start(0.5).fold([*left("canary", 0), *left("control", 1), *left("canary", 2), *left("control", 3)])
    assert tally.errors == Tally.start(0.5).fold([*left("canary", 0), *left("control", 1)]).errors
    raised = Outcome("canary", False)
    assert tally.fold([raised]).errors != tally.errors
    assert tally.fold([raised] * 2).errors != tally.fold([raised]).errors


def test_a_process_that_ends_or_does_not_answer_in_time_is_told_from_one_that_raises() -> None:
    causes: tuple[Cause, ...] = ("error", "nan", "crash", "deadline")
    records: list[Record] = [failure(cause) for cause in causes]
    assert [outcome.unanswered for outcome in outcomes(records)] == [False, False, True, True]
    assert [outcome.latency_us for outcome in outcomes(records)] == [None, None, 10, 10]


def test_the_rows_of_a_batch_count_once_wherever_they_stand() -> None:
    """Records come in the order of their prediction times, which are the rows' own."""
    rows = [predicted("canary", "canary", batch="b1"), predicted("champion", "champion", batch="b2")]
    assert len(list(outcomes(rows * 5))) == 2
