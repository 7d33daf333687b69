"""The avoidable part of a loss: nothing where probabilities hold, be the outcome rare or not; else what is mended."""

import itertools

import numpy as np
import pytest

from evertrain.core.metric import losses
from evertrain.core.policy import MetricName
from evertrain.monitor.calibration import Calibrator, skill

ROWS = 20_000
EVERY = np.ones(ROWS, dtype=np.bool_)


def drawn(offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels that are as likely as those say."""
    source = np.random.default_rng(5)
    logit = offset + source.normal(0, 1, ROWS)
    return logit, (source.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(np.float64)


@pytest.mark.parametrize("name", ["log_loss", "brier"])
@pytest.mark.parametrize("offset", [-4.0, -1.0, 0.0, 2.0])
def test_probabilities_that_hold_have_nothing_avoidable(name: MetricName, offset: float) -> None:
    logit, label = drawn(offset)
    found = Calibrator(name, label, 1 / (1 + np.exp(-logit))).avoidable(EVERY).mean()
    assert 0.0 <= found < 0.001


def test_what_is_avoidable_is_what_calibration_takes_off() -> None:
    """Scores that are too sure, and too high, are put right: the rest of the loss is that of the right ones."""
    logit, label = drawn(-1.0)
    right, wrong = (1 / (1 + np.exp(-each)) for each in (logit, 1.0 + 2.0 * logit))
    found = Calibrator("log_loss", label, wrong).avoidable(EVERY).mean()
    gap = losses("log_loss", label, wrong).mean() - losses("log_loss", label, right).mean()
    assert gap > 0.05
    assert found == pytest.approx(gap, abs=0.001)


def test_labels_of_one_class_and_scores_of_0_and_1_are_survived() -> None:
    score = np.tile([0.0, 0.2, 1.0], ROWS)[:ROWS]
    names: tuple[MetricName, ...] = ("log_loss", "brier")
    for label, name in itertools.product((np.zeros(ROWS), np.ones(ROWS)), names):
        found = Calibrator(name, label, score).avoidable(EVERY)
        assert np.isfinite(found).all()
        assert found.mean() <= losses(name, label, score).mean()
    assert skill("log_loss", np.ones(3), np.full(3, 0.5)) is None


def test_skill_is_what_is_known_beyond_the_mean() -> None:
    logit, label = drawn(-1.0)
    score = 1 / (1 + np.exp(-logit))
    constant = np.full(ROWS, label.mean())
    names: tuple[MetricName, ...] = ("log_loss", "brier", "rmse")
    assert all((skill(name, label, score) or 0.0) > 0.1 for name in names)
    assert skill("log_loss", label, constant) == pytest.approx(0.0, abs=1e-9)
    assert skill("auc", label, score) is None
