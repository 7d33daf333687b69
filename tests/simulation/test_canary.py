"""The benchmark of the canary in small: rates and speeds that a slip in router, evidence or decision would show."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from evertrain.core.bound import clopper_pearson

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "canary.py"


@pytest.fixture(scope="module")
def canary() -> ModuleType:
    spec = importlib.util.spec_from_file_location("canary_benchmark", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_healthy_challengers_are_promoted_and_harmful_ones_taken_back(canary: ModuleType) -> None:
    healthy = [canary.rollout(seed) for seed in range(8)]
    rolled_back = sum(end.how == "roll back" for end in healthy)
    assert clopper_pearson(rolled_back, len(healthy))[0] <= canary.ALPHA
    assert sum(end.how == "promote" for end in healthy) >= 7
    harmful = [canary.rollout(seed, harm=0.05) for seed in range(4)]
    assert [end.how for end in harmful] == ["roll back"] * 4
    assert max(end.canary for end in harmful) < 600


@pytest.mark.parametrize("index", [1, 4, 5, 6])
def test_harm_is_caught_within_its_target_and_the_rivals_rules_are_at_work(canary: ModuleType, index: int) -> None:
    requests, spoilt = canary.detection(canary.HARMS[index], 7)
    assert requests.value <= 2.5 * canary.HARMS[index].target
    assert 0 < spoilt.value <= requests.value
    # Kayenta waits for 50 minutes of points; if a rival never rolled anything back, its rule would not be at work.
    assert "Flagger never" not in requests.rival
    assert "z-test peeked 20 times never" not in requests.rival


def test_an_equal_canary_is_left_alone(canary: ModuleType) -> None:
    rates = canary.false_rollbacks(5)
    assert rates.holds
    assert rates.value <= 20
    assert "Kayenta" in rates.rival
