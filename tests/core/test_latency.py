"""Latency evidence: how soon harm is seen, and that none is seen where there is none."""

import statistics
from collections.abc import Callable

import numpy as np
import pytest

from evertrain.core.bet import BLOCK
from evertrain.core.bound import clopper_pearson
from evertrain.core.latency import CALIBRATIONS, Latency, Timed

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
            Timed(bool(arm), int(harm(rng, value) if arm else value))
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
        pairs = [(Timed(True, 10_000_000), Timed(False, value)) for value in range(start + 1, start + BLOCK + 1)]
        answers = [answer for pair in pairs for answer in pair]
        latency = latency.after(answers[:BLOCK]).after(answers[BLOCK:])
        if start == 0:
            assert latency.thresholds == (10, 18, 20, 40)
    assert latency.thresholds == (100, 180, 198, 400)
    assert latency.first == ()
    later = latency.after([Timed(False, 5)] * BLOCK)
    assert later.frozen
    assert later.thresholds == latency.thresholds


def test_nothing_is_bet_before_there_are_thresholds() -> None:
    assert Latency().after([Timed(True, 10_000_000)] * BLOCK) == Latency()
