"""Intervals hold what they state where rows err together, and the figures are those of the literature."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evertrain.core.comparison import compare
from evertrain.monitor.estimate import Contest, Estimate, estimate, gap, mean_estimate, t_quantile, t_tail

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Upper tails of Student's t: (value, degrees of freedom, probability), as in the tables of the distribution.
TABLED = [(6.314, 1, 0.05), (2.920, 2, 0.05), (2.353, 3, 0.05), (2.571, 5, 0.025), (2.093, 19, 0.025)]
TABLED += [(2.845, 20, 0.005), (3.390, 100, 0.0005), (1.984, 100, 0.025)]


@pytest.mark.parametrize(("value", "freedom", "probability"), TABLED)
def test_t_is_that_of_the_tables(value: float, freedom: int, probability: float) -> None:
    assert t_tail(value, freedom) == pytest.approx(probability, rel=0.005)
    assert t_tail(-value, freedom) == pytest.approx(1.0 - probability, rel=0.005)
    assert t_quantile(1.0 - probability, freedom) == pytest.approx(value, rel=0.001)


def rows(source: np.random.Generator, days: int, storm: float) -> tuple[Floats, Floats, Ints]:
    """Label, score and day of 20 rows a day; on each day the labels share an error of that size."""
    day = np.repeat(np.arange(days), 20)
    score = source.uniform(0.2, 0.8, len(day))
    chance = np.clip(score + np.repeat(source.normal(0.0, storm, days), 20), 0.0, 1.0)
    return (source.random(len(day)) < chance).astype(np.float64), score, day


def test_an_auc_of_independent_rows_has_delongs_error() -> None:
    label, score, _ = rows(np.random.default_rng(1), 40, 0.0)
    delong = compare("auc", label, score, label, at=np.arange(len(label)), block=1, alpha=0.025)
    found = estimate("auc", label, score, block=np.arange(len(label)), alpha=0.05)
    assert found.value == pytest.approx(1.0 - delong.estimate)
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(1.963 * delong.error, rel=0.02)


def test_intervals_cover_as_often_as_they_say_where_days_err_together() -> None:
    """300 tables of 40 days: 95 % of the intervals hold the truth, and those that take rows one by one do not."""
    source = np.random.default_rng(7)
    by_day, by_row = [], []
    for _ in range(300):
        label, score, day = rows(source, 40, 0.15)
        error = label - score  # its mean is 0 by construction, up to what clipping moves
        by_day.append(holds(mean_estimate(error, block=day, alpha=0.05)))
        by_row.append(holds(mean_estimate(error, block=np.arange(len(day)), alpha=0.05)))
    assert 0.92 <= np.mean(by_day) <= 0.98
    assert np.mean(by_row) < 0.85


def holds(found: Estimate) -> bool:
    return found.low is not None and found.high is not None and found.low <= 0.0 <= found.high


def test_a_gap_is_called_by_chance_as_rarely_as_it_says() -> None:
    """A group of rows that is like all others: one-sided p below 5 % in about 5 % of 300 tables."""
    source = np.random.default_rng(11)
    called = 0
    for _ in range(300):
        label, score, day = rows(source, 40, 0.15)
        found = gap("log_loss", label, score, source.random(len(day)) < 0.2, block=day)
        assert found is not None
        called += found.p_value < 0.05
    assert called / 300 <= 0.09


def test_a_worse_group_is_found_whatever_the_metric() -> None:
    source = np.random.default_rng(3)
    label, score, day = rows(source, 40, 0.0)
    inside = np.arange(len(day)) % 4 == 0
    score = np.where(inside, source.uniform(0.0, 1.0, len(day)), np.where(label > 0, score + 0.2, score - 0.2))
    for name in ("auc", "log_loss", "brier", "accuracy", "mae", "rmse"):
        found = gap(name, label, score, inside, block=day)
        assert found is not None, name
        assert found.value > 0, name
        assert found.p_value < 1e-4, name
        assert 0 < found.at_least(0.01) < found.value, name


def test_too_few_blocks_give_no_interval_and_no_claim() -> None:
    label, score, day = rows(np.random.default_rng(1), 19, 0.0)
    found = estimate("log_loss", label, score, block=day, alpha=0.05)
    assert found.value is not None
    assert (found.low, found.high, found.blocks) == (None, None, 19)
    assert gap("log_loss", label, score, np.arange(len(day)) % 2 == 0, block=day) is None
    label, score, day = rows(np.random.default_rng(1), 60, 0.0)
    assert gap("log_loss", label, score, day < 5, block=day) is None  # the group itself fills five blocks


def test_what_is_not_defined_is_said_so() -> None:
    ones = np.ones(100)
    assert estimate("auc", ones, ones / 2, block=np.arange(100), alpha=0.05).value is None
    assert gap("auc", ones, ones / 2, np.arange(100) < 50, block=np.arange(100)) is None
    nothing = np.empty(0)
    assert estimate("log_loss", nothing, nothing, block=np.empty(0, dtype=np.int64), alpha=0.05).value is None
    assert estimate("mae", ones, ones, block=np.arange(100), alpha=0.05).low is None  # no spread to see


def test_a_contest_of_groups_says_the_same_as_each_gap_by_itself() -> None:
    source = np.random.default_rng(4)
    label, score, day = rows(source, 40, 0.15)
    inside = source.random(len(day)) < 0.3
    for name in ("auc", "log_loss", "brier", "accuracy", "mae", "rmse"):
        alone, among = (
            gap(name, label, score, inside, block=day),
            Contest(name, label, score, day).gap(inside),
        )
        assert alone is not None
        assert among is not None
        assert (among.value, among.error) == pytest.approx((alone.value, alone.error), rel=1e-9)
        assert among.freedom == alone.freedom
    assert Contest("mae", label, score, day).gap(day < 5) is None
    assert Contest("mae", label, score, day).gap(np.ones(len(day), dtype=np.bool_)) is None
