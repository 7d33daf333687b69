"""Comparisons of two versions: against plain definitions, and by simulation with fixed seeds."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evertrain.core.bound import clopper_pearson
from evertrain.core.comparison import compare, holm, mcnemar, normal_quantile
from evertrain.core.metric import metric
from evertrain.core.policy import MetricName
from evertrain.core.time import DAY, HOUR

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def stormy(
    rng: np.random.Generator, *, days: int = 7, rows: int = 3000, worse: float = 0.0
) -> tuple[Ints, Floats, Floats, Floats]:
    """(at, label, first, second): two equally good versions whose errors come in storms; `worse` flattens the first."""
    at = np.sort(rng.integers(0, days * DAY, rows))
    hour = (at // (3 * HOUR)).astype(np.int64)
    storm = rng.normal(0, 1, hour.max() + 1)[hour]
    logit = rng.normal(-1, 1, rows)
    label = (rng.random(rows) < 1 / (1 + np.exp(-(logit + storm)))).astype(np.float64)
    first, second = (
        1 / (1 + np.exp(-(logit + rng.normal(0, 0.3, hour.max() + 1)[hour] + rng.normal(0, 0.3, rows))))
        for _ in range(2)
    )
    return at, label, first * (1 - worse) + 0.5 * worse, second


def delong_slowly(label: Floats, first: Floats, second: Floats) -> tuple[float, float]:
    """AUC difference and its variance, from the definition, over all pairs."""
    ups, downs = np.flatnonzero(label == 1), np.flatnonzero(label == 0)

    def kernel(score: Floats) -> Floats:
        up, down = score[ups][:, None], score[downs][None, :]
        wins: Floats = (up > down) + 0.5 * (up == down)
        return wins

    gap = kernel(second) - kernel(first)
    variance = gap.mean(axis=1).var(ddof=1) / len(ups) + gap.mean(axis=0).var(ddof=1) / len(downs)
    return float(gap.mean()), float(variance)


def test_delong_equals_its_definition_over_all_pairs() -> None:
    rng = np.random.default_rng(4)
    label = (rng.random(150) < 0.3).astype(np.float64)
    first, second = np.round(rng.random(150), 1), np.round(rng.random(150) + label, 1)
    estimate, variance = delong_slowly(label, first, second)
    got = compare("auc", label, first, second, at=np.arange(150), block=1, alpha=0.05)
    assert got.estimate == pytest.approx(estimate)
    assert got.error == pytest.approx(math.sqrt(variance))
    assert got.high - got.estimate == pytest.approx(1.6448536 * got.error)


def test_delong_of_many_rows_is_fast() -> None:
    rng = np.random.default_rng(4)
    label = (rng.random(200_000) < 0.3).astype(np.float64)
    first, second = rng.random(200_000), rng.random(200_000)
    began = time.process_time()
    compare("auc", label, first, second, at=np.arange(200_000), block=1, alpha=0.05)
    assert time.process_time() - began < 3.0


@pytest.mark.parametrize("name", ["log_loss", "brier", "accuracy", "mae", "rmse", "auc"])
def test_the_estimate_is_the_difference_of_the_metrics_oriented_as_a_loss(name: MetricName) -> None:
    at, label, first, second = stormy(np.random.default_rng(1), worse=0.4)
    weight = np.random.default_rng(2).integers(0, 5, len(at)).astype(np.float64)
    got = compare(name, label, first, second, at=at, block=6 * HOUR, alpha=0.05, weight=weight)
    gap = metric(name, label, first, weight) - metric(name, label, second, weight)
    assert got.estimate == pytest.approx(-gap if name in ("auc", "accuracy") else gap)
    assert got.low <= got.estimate <= got.high
    assert 0 < got.worse <= 1
    mirrored = compare(name, label, second, first, at=at, block=6 * HOUR, alpha=0.05, weight=weight)
    assert mirrored.estimate == pytest.approx(-got.estimate)


def test_the_same_seed_gives_the_same_bounds_and_another_one_nearly_the_same() -> None:
    at, label, first, second = stormy(np.random.default_rng(1))
    one, two, other = (
        compare("log_loss", label, first, second, at=at, block=6 * HOUR, alpha=0.05, seed=seed) for seed in (7, 7, 8)
    )
    assert one == two
    assert other.high == pytest.approx(one.high, abs=0.2 * one.error)


def test_equal_versions_are_called_worse_no_more_often_than_stated_though_errors_come_in_storms() -> None:
    rng, runs, called = np.random.default_rng(21), 400, 0
    for _ in range(runs):
        at, label, first, second = stormy(rng)
        called += compare("log_loss", label, first, second, at=at, block=6 * HOUR, alpha=0.05).low > 0
    assert clopper_pearson(called, runs)[0] <= 0.05


def test_identical_versions_differ_by_exactly_nothing() -> None:
    at, label, first, _ = stormy(np.random.default_rng(1))
    for name in ("log_loss", "auc", "rmse"):
        got = compare(name, label, first, first, at=at, block=6 * HOUR, alpha=0.05)
        assert (got.estimate, got.low, got.high, got.error) == (0.0, 0.0, 0.0, 0.0)


def test_few_blocks_or_one_class_are_insufficient() -> None:
    at, label, first, second = stormy(np.random.default_rng(1))
    few = compare("log_loss", label, first, second, at=at, block=DAY, alpha=0.05)
    assert (few.sufficient, few.blocks) == (False, 7)
    one_class = compare("auc", np.ones(len(at)), first, second, at=at, block=DAY, alpha=0.05)
    assert not one_class.sufficient
    nothing = np.array([], dtype=np.float64)
    empty = compare("log_loss", nothing, nothing, nothing, at=np.array([], dtype=np.int64), block=DAY, alpha=0.05)
    assert (empty.sufficient, empty.rows) == (False, 0)


def test_mcnemar_against_the_binomial_by_hand() -> None:
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(5, 0) == pytest.approx(2 / 32)
    assert mcnemar(10, 10) == 1.0
    exact = 2 * sum(math.comb(1100, k) for k in range(501)) / 2**1100
    assert mcnemar(500, 600) == pytest.approx(exact)


@given(p_values=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_monotone_never_smaller_and_never_above_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for p, raised in zip(p_values, adjusted, strict=True):
        assert p <= raised <= 1.0
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(adjusted)[order]) >= 0)
    assert min(adjusted) == min(1.0, len(p_values) * min(p_values))


def test_normal_quantiles() -> None:
    assert normal_quantile(0.975) == pytest.approx(1.959963984540054)
    assert normal_quantile(0.5) == pytest.approx(0.0, abs=1e-9)
    assert normal_quantile(0.001) == pytest.approx(-3.090232306167813)
