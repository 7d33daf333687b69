"""The bet on paired differences: false alarms within alpha at every look, and harm told."""

import math

import numpy as np
import pytest

from evertrain.core.paired import FIRST_ROWS, Paired, PairedFigures, judged_metric
from evertrain.core.policy import MetricName

RUNS, ROWS, LIMIT = 400, 400, 20.0


def value_at_most(pairs: list[tuple[float, float]], margin: float = 0.01) -> float:
    """The highest e-value at any look, a look at every tenth row."""
    evidence, highest = Paired(), 1.0
    for start in range(0, len(pairs), 10):
        evidence = evidence.after(pairs[start : start + 10], margin=margin)
        highest = max(highest, evidence.value)
    return highest


def drawn(chance: np.random.Generator, kind: str, shift: float) -> list[tuple[float, float]]:
    """Losses of two versions on the same rows; the first one is worse by `shift` on average."""
    if kind == "right or wrong":
        other = chance.random(ROWS) < 0.2
        differs = chance.random(ROWS) < 0.15
        worse = chance.random(ROWS) < 0.5 + shift / 0.15 / 2
        one = np.where(differs, worse, other)
        other = np.where(differs, ~worse, other)
        return list(zip(one.astype(float).tolist(), other.astype(float).tolist(), strict=True))
    spread = chance.standard_t(3, ROWS) * 0.1 if kind == "heavy tails" else chance.normal(0, 0.1, ROWS)
    other = np.abs(chance.normal(0.5, 0.2, ROWS))
    return list(zip((other + spread + shift).tolist(), other.tolist(), strict=True))


@pytest.mark.parametrize("kind", ["right or wrong", "numbers", "heavy tails"])
def test_versions_that_are_equally_good_raise_an_alarm_as_rarely_as_stated(kind: str) -> None:
    chance = np.random.default_rng(3)
    alarms = sum(value_at_most(drawn(chance, kind, 0.0), margin=1e-6) >= LIMIT for _ in range(RUNS))
    assert alarms / RUNS <= 1.0 / LIMIT


@pytest.mark.parametrize(("kind", "shift"), [("right or wrong", 0.1), ("numbers", 0.07), ("heavy tails", 0.07)])
def test_one_that_is_worse_is_told(kind: str, shift: float) -> None:
    chance = np.random.default_rng(4)
    told = sum(value_at_most(drawn(chance, kind, shift)) >= LIMIT for _ in range(100))
    assert told >= 90


def test_worse_within_the_margin_is_no_harm() -> None:
    chance = np.random.default_rng(5)
    alarms = sum(value_at_most(drawn(chance, "numbers", 0.05), margin=0.05) >= LIMIT for _ in range(RUNS))
    assert alarms / RUNS <= 1.0 / LIMIT


def test_one_row_never_costs_everything_and_never_proves_anything() -> None:
    calm = Paired().after([(0.5, 0.49)] * 50, margin=0.01)
    for wild in ((1e9, 0.0), (0.0, 1e9)):
        after = calm.after([wild], margin=0.01)
        assert 0 < after.value < 2 * calm.value
    assert Paired().after([(1.0, 0.0)] * FIRST_ROWS, margin=0.01).value == pytest.approx(1.0)


def test_rows_may_come_in_any_portions() -> None:
    pairs = drawn(np.random.default_rng(6), "numbers", 0.05)
    by_one = Paired()
    for pair in pairs:
        by_one = by_one.after([pair], margin=0.01)
    assert by_one == Paired().after(pairs, margin=0.01)


@pytest.mark.parametrize(
    ("primary", "judged"), [("log_loss", "log_loss"), ("accuracy", "accuracy"), ("auc", "log_loss"), ("rmse", "mae")]
)
def test_every_primary_metric_has_a_loss_of_single_rows(primary: MetricName, judged: MetricName) -> None:
    assert judged_metric(primary) == judged


def test_accuracy_is_told_as_people_say_it() -> None:
    found = PairedFigures(metric="accuracy", labels=1000, loss=0.2, other=0.15, e_value=3.0)
    assert found.words == "paired on 1,000 labelled requests: accuracy 0.8 against 0.85, e-value of harm 3"


def test_losses_beyond_what_can_be_added_leave_figures_that_are_numbers() -> None:
    rows = [(1.7e308, 0.0), (0.0, 1.7e308), (1.0, 0.5)] * 40
    found = Paired().after(rows, margin=0.01).figures("mae")
    assert all(math.isfinite(figure) for figure in (found.loss, found.other, found.e_value))
