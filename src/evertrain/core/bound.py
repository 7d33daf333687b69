"""Bounds on rates: anytime-valid ones for decisions taken at every look, exact ones for tables and tests.

*Anytime-valid* (`upper_rate`, `lower_rate`): invert Robbins' beta-binomial mixture martingale. With s errors in n
requests and a prior Beta(a, b) over the rate, M(p) = B(a + s, b + n - s) / B(a, b) / (p^s (1 - p)^(n - s)) is a test
martingale when p is the true rate; the rates with M(p) < 1/alpha are a confidence sequence: all of its intervals hold
together with probability 1 - alpha. The prior is steep near zero because error rates are small: 0 errors in 450
requests bound the rate below 1% at alpha 5%.
Sources: Robbins 1970, "Statistical methods related to the law of the iterated logarithm"; Howard, Ramdas, McAuliffe
and Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic confidence sequences".

*Exact for one look* (`clopper_pearson`): Clopper and Pearson 1934, from binomial tail sums.
"""

import math
from collections.abc import Callable

__all__ = ["clopper_pearson", "lower_rate", "requests_needed", "upper_difference", "upper_rate"]

_A, _B = 0.2, 1.0
_LOG_BETA = math.lgamma(_A) + math.lgamma(_B) - math.lgamma(_A + _B)
_BASELINE_SHARE = 0.1
"""Part of alpha that a difference spends on the lower bound of the baseline, which has most of the traffic."""


def upper_rate(errors: int, requests: int, alpha: float) -> float:
    """The anytime-valid upper bound of a rate; 1 where nothing was seen.

    >>> round(upper_rate(0, 450, 0.05), 4), upper_rate(0, 0, 0.05)
    (0.0095, 1.0)
    """
    if errors >= requests:
        return 1.0
    return _crossing(lambda p: _log_martingale(errors, requests, p) >= -math.log(alpha), errors / requests, 1.0)


def lower_rate(errors: int, requests: int, alpha: float) -> float:
    """The anytime-valid lower bound of a rate; 0 where no error was seen.

    >>> lower_rate(0, 450, 0.05), round(lower_rate(45, 450, 0.05), 3)
    (0.0, 0.058)
    """
    if errors == 0:
        return 0.0
    return _crossing(lambda p: _log_martingale(errors, requests, p) >= -math.log(alpha), errors / requests, 0.0)


def upper_difference(
    *, errors: int, requests: int, baseline_errors: int, baseline_requests: int, alpha: float
) -> float:
    """The one-sided anytime-valid upper bound of (rate - baseline rate), between -1 and 1.

    A union bound: 90% of alpha on the rate, 10% on the baseline's.

    >>> round(upper_difference(errors=0, requests=450, baseline_errors=0, baseline_requests=4050, alpha=0.05), 4)
    0.0097
    """
    highest = upper_rate(errors, requests, alpha * (1.0 - _BASELINE_SHARE))
    return highest - lower_rate(baseline_errors, baseline_requests, alpha * _BASELINE_SHARE)


def requests_needed(
    bound: float, *, errors: int, requests: int, baseline_errors: int, baseline_requests: int, alpha: float
) -> int | None:
    """How many more requests without an error bring `upper_difference` to `bound` or below; None: nothing would.

    >>> requests_needed(0.01, errors=0, requests=0, baseline_errors=0, baseline_requests=0, alpha=0.05)
    439
    """

    def enough(more: int) -> bool:
        got = upper_difference(
            errors=errors,
            requests=requests + more,
            baseline_errors=baseline_errors,
            baseline_requests=baseline_requests,
            alpha=alpha,
        )
        return got <= bound

    if enough(0):
        return 0
    high = 1
    while not enough(high):
        high *= 2
        if high > 1 << 40:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def clopper_pearson(successes: int, trials: int, alpha: float = 0.05) -> tuple[float, float]:
    """The exact two-sided interval of a binomial rate with coverage 1 - alpha.

    >>> low, high = clopper_pearson(3, 50)
    >>> round(low, 4), round(high, 4)
    (0.0125, 0.1655)
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    low = 0.0
    if successes > 0:
        low = _crossing(lambda p: _at_least(successes, trials, p) <= alpha / 2, successes / trials, 0.0)
    high = 1.0
    if successes < trials:
        high = _crossing(lambda p: 1.0 - _at_least(successes + 1, trials, p) <= alpha / 2, successes / trials, 1.0)
    return low, high


def _log_martingale(errors: int, requests: int, rate: float) -> float:
    if rate <= 0.0 or rate >= 1.0:
        return math.inf
    right = requests - errors
    mixture = math.lgamma(_A + errors) + math.lgamma(_B + right) - math.lgamma(_A + _B + requests) - _LOG_BETA
    return mixture - errors * math.log(rate) - right * math.log1p(-rate)


def _crossing(outside: Callable[[float], bool], inside: float, edge: float) -> float:
    """Between a point that is inside and an edge that is not: the nearest point known to be outside."""
    while abs(edge - inside) > 1e-9:
        middle = (inside + edge) / 2
        if outside(middle):
            edge = middle
        else:
            inside = middle
    return edge


def _at_least(successes: int, trials: int, rate: float) -> float:
    """P(X >= successes) of a binomial, summed over the shorter tail from its largest term."""
    if rate <= 0.0:
        return float(successes <= 0)
    if rate >= 1.0:
        return 1.0
    below = successes <= rate * trials
    terms = range(successes) if below else range(successes, trials + 1)
    odds, whole = math.log(rate), math.log1p(-rate)
    total = math.fsum(math.exp(_log_choose(trials, k) + k * odds + (trials - k) * whole) for k in terms)
    return 1.0 - total if below else total


def _log_choose(trials: int, k: int) -> float:
    return math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
