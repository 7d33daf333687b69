"""Score evidence: what is far off is seen, and another model of the same thing is not taken for it."""

import statistics
from collections.abc import Callable

import numpy as np
import pytest

from evertrain.core.bet import BLOCK
from evertrain.core.spacing import Timed
from evertrain.core.spread import Spread

Model = Callable[[np.random.Generator, float], float]
SOUND: dict[str, Model] = {
    "the same": lambda _, z: z,
    "one of another centre": lambda _, z: z + 1.0,
    "one that is surer": lambda _, z: 3.0 * z,
    "one that is less sure": lambda _, z: 0.1 * z,
    "one that knows nothing": lambda rng, _: float(rng.normal()),
    "one that always says the usual": lambda _, z: 0.0 * z,
}
OFF: dict[str, Model] = {
    "far above": lambda _, z: z + 3.0,
    "far below": lambda _, z: z - 3.0,
    "always the same, far off": lambda _, z: 0.0 * z + 3.0,
}


def caught_after(rng: np.random.Generator, model: Model, *, blocks: int) -> int:
    """Canary requests until the evidence reaches 100; 0 when it never does."""
    spread, canaries = Spread(), 0
    for _ in range(blocks):
        on_canary, values = rng.random(BLOCK) < 0.5, rng.normal(size=BLOCK)
        block = [
            Timed(bool(arm), 700, 0, float(model(rng, value) if arm else value))
            for arm, value in zip(on_canary, values, strict=True)
        ]
        spread, canaries = spread.after(block), canaries + int(on_canary.sum())
        if spread.value >= 100:
            return canaries
    return 0


@pytest.mark.parametrize("model", SOUND)
def test_another_model_of_the_same_thing_is_let_be(model: str) -> None:
    rng = np.random.default_rng(1)
    assert [run for run in range(40) if caught_after(rng, SOUND[model], blocks=200)] == []


@pytest.mark.parametrize("model", OFF)
def test_scores_far_from_the_control_arms_are_caught_within_some_dozens(model: str) -> None:
    rng = np.random.default_rng(2)
    caught = [caught_after(rng, OFF[model], blocks=200) for _ in range(40)]
    assert 0 not in caught
    assert 35 <= statistics.median(caught) <= 110


@pytest.mark.parametrize(("canary", "off"), [(0.2611, False), (0.28, False), (0.9, True), (0.02, True)])
def test_where_nothing_scatters_a_tenth_is_no_difference(canary: float, off: bool) -> None:
    spread = Spread()
    for _ in range(20):
        spread = spread.after([Timed(True, 700, 0, canary), Timed(False, 700, 0, 0.26)] * (BLOCK // 2))
    assert (spread.value >= 100) == off


def test_answers_without_a_score_are_left_out() -> None:
    assert Spread().after([Timed(True, 700, 0), Timed(False, 700, 0)] * (BLOCK // 2)) == Spread()
