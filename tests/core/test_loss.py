"""Evidence of labels: harm is seen, none where there is none, and each label counts as it comes."""

import statistics

import numpy as np
import pytest

from evertrain.core.bet import BLOCK
from evertrain.core.bound import clopper_pearson
from evertrain.core.loss import CALIBRATION, Graded, Losses, loss_of


def caught_after(rng: np.random.Generator, *, wrong: float, rest: float, labels: int, share: float = 0.1) -> int:
    """Labels of the canary until the evidence reaches 100; 0 when it never does. wrong, rest: shares that are wrong."""
    losses, canaries = Losses(), 0
    on_canary = rng.random(labels) < share
    is_wrong = rng.random(labels) < np.where(on_canary, wrong, rest)
    loss = np.where(is_wrong, 0.5, 0.0) + rng.random(labels) / 2
    for arm, one in zip(on_canary.tolist(), loss.tolist(), strict=True):
        losses, canaries = losses.after(Graded(arm, one)), canaries + int(arm)
        if not losses.block and losses.value >= 100:
            return canaries
    return 0


def test_worse_answers_are_caught_about_as_fast_as_stated() -> None:
    rng = np.random.default_rng(3)
    caught = [caught_after(rng, wrong=0.35, rest=0.2, labels=8000) for _ in range(20)]
    assert 0 not in caught
    assert 60 <= statistics.median(caught) <= 260


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_equal_answers_are_not_taken_for_worse(share: float) -> None:
    rng, runs = np.random.default_rng(4), 50
    alarms = sum(caught_after(rng, wrong=0.2, rest=0.2, labels=3000, share=share) > 0 for _ in range(runs))
    assert clopper_pearson(alarms, runs)[0] <= 0.01


def test_better_answers_are_not_taken_back() -> None:
    rng = np.random.default_rng(5)
    assert not any(caught_after(rng, wrong=0.1, rest=0.2, labels=3000) for _ in range(10))


def test_what_is_bad_is_said_by_the_rest_alone_and_blocks_are_counted() -> None:
    losses = Losses()
    for value in range(CALIBRATION):
        losses = losses.after(Graded(True, 9.9)).after(Graded(False, float(value)))
    assert losses.thresholds == (49.0, 74.0, 89.0)
    for value in range(BLOCK + 5):
        losses = losses.after(Graded(value % 4 == 0, 1.0))
    assert (losses.canary, losses.rest, len(losses.block)) == (5, 15, 5)


def test_a_label_of_no_class_is_as_far_off_as_can_be() -> None:
    assert loss_of((0.2, 0.8), 2.0) == loss_of((0.2, 0.8), -1.0) == 1.0
