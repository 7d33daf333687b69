"""Bounds on rates: known values, and coverage under optional stopping."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.bound import clopper_pearson, lower_rate, requests_needed, upper_difference, upper_rate


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.30850),
        (10, 10, 0.69150, 1.0),
        (3, 50, 0.01255, 0.16548),
        (7, 1000, 0.00282, 0.01437),
        (500, 1000, 0.46855, 0.53145),
    ],
)
def test_clopper_pearson_against_published_values(successes: int, trials: int, low: float, high: float) -> None:
    assert clopper_pearson(successes, trials) == pytest.approx((low, high), abs=1e-5)


def test_clopper_pearson_refuses_more_successes_than_trials() -> None:
    with pytest.raises(ValueError, match="11 successes of 10"):
        clopper_pearson(11, 10)


def test_about_450_answers_without_an_error_bound_the_rate_below_a_hundredth() -> None:
    got = upper_difference(errors=0, requests=450, baseline_errors=0, baseline_requests=4000, alpha=0.05)
    assert got < 0.01


@given(requests=st.integers(0, 5000), errors=st.integers(0, 5000))
def test_the_bounds_hold_the_observed_rate_between_them(requests: int, errors: int) -> None:
    errors = min(errors, requests)
    low, high = lower_rate(errors, requests, 0.05), upper_rate(errors, requests, 0.05)
    assert 0.0 <= low <= high <= 1.0
    if requests:
        assert low <= errors / requests <= high


@given(errors=st.integers(0, 20), requests=st.integers(20, 3000), bound=st.floats(0.001, 0.5))
def test_requests_needed_is_the_first_number_that_suffices(errors: int, requests: int, bound: float) -> None:
    def at(more: int) -> float:
        return upper_difference(
            errors=errors, requests=requests + more, baseline_errors=2, baseline_requests=9000, alpha=0.05
        )

    more = requests_needed(
        bound, errors=errors, requests=requests, baseline_errors=2, baseline_requests=9000, alpha=0.05
    )
    assert more is not None
    assert at(more) <= bound
    assert more == 0 or at(more - 1) > bound


def test_the_difference_is_covered_at_every_look() -> None:
    # Looks after each power of 1.1 of requests; a miss at any look of a run is a miss of the run.
    rng, runs, misses = np.random.default_rng(9), 600, 0
    looks = sorted({int(1.1**power) for power in range(1, 97)})
    for _ in range(runs):
        canary = np.cumsum(rng.random(10_000) < 0.02)
        rest = np.cumsum(rng.random(90_000) < 0.01)
        misses += any(
            upper_difference(
                errors=int(canary[look - 1]),
                requests=look,
                baseline_errors=int(rest[9 * look - 1]),
                baseline_requests=9 * look,
                alpha=0.05,
            )
            < 0.01
            for look in looks
            if look <= 10_000
        )
    assert clopper_pearson(misses, runs)[0] <= 0.05
