"""Latency evidence: how soon harm is seen, and that none is seen where there is none."""

import statistics
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from evertrain.core.bet import BLOCK
from evertrain.core.bound import clopper_pearson
from evertrain.core.latency import CALIBRATIONS, Latency
from evertrain.core.spacing import EVERY, Timed
from evertrain.core.time import SECOND

Harm = Callable[[np.random.Generator, float], float]
HARMS: dict[str, Harm] = {
    "a quarter slower": lambda _, value: value * 1.25,
    "100 ms more, always": lambda _, value: value + 100_000,
    "100 ms more, twice in a hundred": lambda rng, value: value + 100_000 * (rng.random() < 0.02),
}


def same(_: np.random.Generator, value: float) -> float:
    return value


def caught_after(rng: np.random.Generator, harm: Harm, *, blocks: int, share: float = 0.5, swing: float = 0.0) -> int:
    """Canary requests until the evidence reaches 100; 0 when it never does. swing: of the load, in logarithms."""
    latency, canaries = Latency(), 0
    for number in range(blocks):
        level = 8 + swing * np.sin(number / 7)
        on_canary, values = rng.random(BLOCK) < share, rng.lognormal(level, 0.5, BLOCK)
        block = [
            Timed(bool(arm), int(harm(rng, value) if arm else value), 0)
            for arm, value in zip(on_canary, values, strict=True)
        ]
        latency, canaries = latency.after(block), canaries + int(on_canary.sum())
        if latency.value >= 100:
            return canaries
    return 0


@pytest.mark.parametrize(
    ("harm", "low", "high"),
    [("a quarter slower", 120, 330), ("100 ms more, always", 18, 50), ("100 ms more, twice in a hundred", 450, 720)],
)
def test_slow_answers_are_caught_about_as_fast_as_stated(harm: str, low: int, high: int) -> None:
    rng = np.random.default_rng(7)
    caught = [caught_after(rng, HARMS[harm], blocks=400) for _ in range(40)]
    assert 0 not in caught
    assert low <= statistics.median(caught) <= high


@pytest.mark.parametrize(("share", "swing"), [(0.5, 0.0), (0.5, 1.5), (0.8, 0.0), (0.1, 1.5)])
def test_an_equal_canary_is_not_taken_back_whatever_its_share_and_the_load(share: float, swing: float) -> None:
    rng, runs = np.random.default_rng(8), 60
    alarms = sum(caught_after(rng, same, blocks=120, share=share, swing=swing) > 0 for _ in range(runs))
    assert clopper_pearson(alarms, runs)[0] <= 0.01


def test_a_faster_canary_is_not_taken_back() -> None:
    rng = np.random.default_rng(9)
    assert not any(caught_after(rng, lambda _, value: value / 2, blocks=300) for _ in range(40))


def test_thresholds_are_set_by_the_control_arm_alone_and_freeze() -> None:
    latency = Latency()
    for start in range(0, CALIBRATIONS[-1], BLOCK):
        pairs = [(Timed(True, 10_000_000, 0), Timed(False, value, 0)) for value in range(start + 1, start + BLOCK + 1)]
        answers = [answer for pair in pairs for answer in pair]
        latency = latency.after(answers[:BLOCK]).after(answers[BLOCK:])
        if start == 0:
            assert latency.thresholds == (10, 18, 20, 40)
    assert latency.thresholds == (100, 180, 198, 400)
    assert latency.first == ()
    later = latency.after([Timed(False, 5, 0)] * BLOCK)
    assert later.frozen
    assert later.thresholds == latency.thresholds


def test_nothing_is_bet_before_there_are_thresholds() -> None:
    assert Latency().after([Timed(True, 10_000_000, 0)] * BLOCK) == Latency()


def one_after_another(canary: int, control: int, pairs: int) -> list[Timed]:
    """Answers of both arms in turn, each far from the last one of its arm. canary, control: microseconds."""
    times = [number * EVERY for number in range(pairs)]
    return [answer for at in times for answer in (Timed(True, canary, at), Timed(False, control, at))]


def test_a_canary_may_be_slower_by_what_is_declared_and_its_control_arm_may_not() -> None:
    slower = one_after_another(canary=1_900, control=1_000, pairs=60)
    assert Latency().fold(slower).value >= 100
    assert Latency().fold(slower, slower_by=1_000).value <= 1
    faster = one_after_another(canary=1_000, control=1_900, pairs=60)
    assert Latency().fold(faster, slower_by=1_000).value == Latency().fold(faster).value


def test_what_tells_most_is_said_with_its_counts() -> None:
    assert Latency().says == ""
    slower = Latency().fold(one_after_another(canary=2_500, control=1_000, pairs=60), slower_by=1_000)
    assert (
        slower.says
        == "40 of 40 canary answers took longer than 2 ms, and 0 of 40 of the control arm's longer than 1 ms"
    )
    twice = Latency().fold(one_after_another(canary=90_000, control=1_000, pairs=60))
    assert twice.says == "40 of 40 canary answers took longer than 2 ms, and 0 of 40 of the control arm's"


def test_answers_count_by_themselves_however_they_are_handed_over() -> None:
    answers = one_after_another(canary=1_300, control=1_000, pairs=95)
    whole, piecemeal = Latency().fold(answers), Latency()
    for start in range(0, len(answers), 7):
        piecemeal = piecemeal.fold(answers[start : start + 7])
    assert piecemeal == whole
    assert (whole.judged, len(whole.block)) == (7, 190 % BLOCK)


def test_a_pause_is_one_event_however_many_requests_it_holds_up() -> None:
    """Each second has 300 requests of each arm; now and then the canary's process stands still for half a second."""
    steady = [Timed(bool(arm), 700, int(at)) for at in range(0, 60_000_000, 3_333) for arm in (0, 1)]
    stands = {second * 1_000_000 for second in (20, 35, 50)}
    held = [
        msgspec.structs.replace(one, latency_us=late)
        if one.on_canary and any(0 < (late := start + 500_000 - one.received) <= 500_000 for start in stands)
        else one
        for one in steady
    ]
    every = Latency()
    for start in range(0, len(held), BLOCK):
        every = every.after(held[start : start + BLOCK])
    assert every.value > 1e6
    assert Latency().fold(held).value < 10


def test_what_came_all_at_once_has_outrun_its_evidence_and_what_came_slowly_has_not() -> None:
    assert not Latency().outrun
    at_once = [Timed(bool(arm), 700, number) for number in range(60) for arm in (0, 1)]
    outrun = Latency().fold(at_once)
    assert outrun.outrun
    assert not Latency().fold(at_once[1::2]).outrun  # nobody answers beside it: waiting would not help
    assert not Latency().fold(one_after_another(700, 700, pairs=60)).outrun
    later = [msgspec.structs.replace(one, received=one.received + SECOND) for one in one_after_another(700, 700, 40)]
    assert not outrun.fold(later).outrun


def test_answers_of_two_shares_make_no_block() -> None:
    folded = Latency().fold(one_after_another(700, 700, pairs=33))
    assert folded.block
    assert folded.stepped().block == ()
    assert (folded.stepped().bets, folded.stepped().thresholds) == (folded.bets, folded.thresholds)
