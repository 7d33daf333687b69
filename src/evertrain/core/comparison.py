"""Two versions on the same rows: how much worse is one, with bounds that hold the stated error rate.

Every difference here is oriented as a loss: positive means that the first version is worse, whatever the metric.

- AUC: DeLong, DeLong and Clarke-Pearson 1988, from the placements of `core.metric` (also for weighted rows).
- every other metric: a paired bootstrap over blocks of time, because neighbouring rows err together (a storm). Blocks
  do not overlap (Carlstein 1986, Ann. Stat. 14:1171); the statistic is studentised, since percentiles of few blocks
  are too narrow (Hall 1988, Ann. Stat. 16:927). Rows enter as sums of their block: 2,000 resamples take milliseconds.
- right or wrong: McNemar 1947, exact. Several tests at once: Holm 1979.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.metric import HIGHER_IS_BETTER, check_rows, losses, metric, placements, weights_of
from evertrain.core.policy import MetricName

__all__ = ["MIN_BLOCKS", "Difference", "compare", "holm", "mcnemar", "normal_quantile"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_BLOCKS = 20
"""Fewer blocks than this say nothing about the spread between blocks."""

RESAMPLES = 2000


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How much worse the first version is. low, high: one-sided bounds, each with error rate alpha.

    worse, better: one-sided p-values of "it is not worse", "it is not better" (small: it is). blocks: 0 for DeLong.
    sufficient: False when there are too few blocks, or one class only; the other figures are then NaN.
    """

    estimate: float
    low: float
    high: float
    error: float
    worse: float
    better: float
    rows: int
    blocks: int
    sufficient: bool
    method: str


def compare(
    name: MetricName,
    label: Floats,
    first: Floats,
    second: Floats,
    *,
    at: Ints,
    block: int,
    alpha: float,
    weight: Floats | None = None,
    threshold: float = 0.5,
    seed: int = 0,
) -> Difference:
    """Compare the scores of two versions on the same rows; arrays of length n, `at` and `block` in microseconds.

    The result is a pure function of its arguments: `seed` is that of the resampling.
    """
    check_rows(label, first, second)
    weights = weights_of(weight, len(label))
    if name == "auc":
        return _delong(label, first, second, weights, alpha)
    rows = [losses(name, label, score, threshold=threshold) for score in (first, second)]
    sums = _block_sums(rows[0], rows[1], weights, at, block)
    estimate = metric(name, label, first, weight, threshold=threshold)
    estimate -= metric(name, label, second, weight, threshold=threshold)
    estimate = -estimate if name in HIGHER_IS_BETTER else estimate
    if sums.shape[1] < MIN_BLOCKS:
        return _insufficient(estimate, len(label), sums.shape[1], "paired block bootstrap")
    return _bootstrap(sums, name == "rmse", len(label), alpha, seed)


# Block bootstrap -----------------------------------------------------------------------------------------------------


def _block_sums(first: Floats, second: Floats, weights: Floats, at: Ints, block: int) -> Floats:
    """Per block of time that holds weight: sums of the first's losses, the second's, and the weights; shape (3, b)."""
    if len(at) == 0:
        return np.zeros((3, 0))
    _, index = np.unique((at - at.min()) // block, return_inverse=True)
    columns = (weights * first, weights * second, weights)
    sums: Floats = np.stack([np.bincount(index, weights=column) for column in columns]).astype(np.float64)
    return sums[:, sums[2] > 0]


def _bootstrap(sums: Floats, root: bool, rows: int, alpha: float, seed: int) -> Difference:
    blocks = sums.shape[1]
    estimate, error = _studentised(sums, np.ones((1, blocks)), root)
    counts = np.random.default_rng(seed).multinomial(blocks, np.full(blocks, 1.0 / blocks), size=RESAMPLES)
    again, errors = _studentised(sums, counts.astype(np.float64), root)
    pivots = np.divide(again - estimate, errors, out=np.zeros(RESAMPLES), where=errors > 0)
    value, spread = float(estimate[0]), float(error[0])
    pivot = value / spread if spread > 0 else math.copysign(math.inf, value) if value else 0.0
    return Difference(
        estimate=value,
        low=value - float(np.quantile(pivots, 1.0 - alpha)) * spread,
        high=value - float(np.quantile(pivots, alpha)) * spread,
        error=spread,
        worse=(1 + int(np.count_nonzero(pivots >= pivot))) / (RESAMPLES + 1),
        better=(1 + int(np.count_nonzero(pivots <= pivot))) / (RESAMPLES + 1),
        rows=rows,
        blocks=blocks,
        sufficient=True,
        method="paired block bootstrap",
    )


def _studentised(sums: Floats, counts: Floats, root: bool) -> tuple[Floats, Floats]:
    """Differences and their standard errors, one for each row of counts (r, b): how often a block was drawn."""
    first, second, weight = sums
    total = counts @ weight
    means = np.stack([counts @ first, counts @ second]) / total
    slopes = 0.5 / np.sqrt(np.maximum(means, 1e-300)) if root else np.ones_like(means)
    values = np.sqrt(means) if root else means
    pull = slopes[0][:, None] * (first - means[0][:, None] * weight)
    pull -= slopes[1][:, None] * (second - means[1][:, None] * weight)
    blocks = sums.shape[1]
    variance = blocks / (blocks - 1) * (counts * pull**2).sum(axis=1) / total**2
    return values[0] - values[1], np.sqrt(variance)


# DeLong --------------------------------------------------------------------------------------------------------------


def _delong(label: Floats, first: Floats, second: Floats, weights: Floats, alpha: float) -> Difference:
    positive = label >= 0.5
    sides = (positive, ~positive)
    if any(np.count_nonzero(weights[side]) < 2 for side in sides):
        return _insufficient(float("nan"), len(label), 0, "DeLong")
    gap = placements(label, second, weights) - placements(label, first, weights)
    estimate = float(np.dot(weights[positive], gap[positive]) / weights[positive].sum())
    variance = 0.0
    for side in sides:
        mass, rows = weights[side], np.count_nonzero(weights[side])
        pull = mass / mass.sum() * (gap[side] - estimate)
        variance += rows / (rows - 1) * float(np.dot(pull, pull))
    error = math.sqrt(variance)
    reach = normal_quantile(1.0 - alpha) * error
    pivot = estimate / error if error > 0 else math.copysign(math.inf, estimate) if estimate else 0.0
    return Difference(
        estimate=estimate,
        low=estimate - reach,
        high=estimate + reach,
        error=error,
        worse=0.5 * math.erfc(pivot / math.sqrt(2.0)),
        better=0.5 * math.erfc(-pivot / math.sqrt(2.0)),
        rows=len(label),
        blocks=0,
        sufficient=True,
        method="DeLong",
    )


def _insufficient(estimate: float, rows: int, blocks: int, method: str) -> Difference:
    nothing = float("nan")
    return Difference(
        estimate=estimate,
        low=nothing,
        high=nothing,
        error=nothing,
        worse=nothing,
        better=nothing,
        rows=rows,
        blocks=blocks,
        sufficient=False,
        method=method,
    )


# Counting tests ------------------------------------------------------------------------------------------------------


def mcnemar(losses_: int, gains: int) -> float:
    """Exact two-sided p-value that rows which only one version gets right are as often the one's as the other's.

    losses_: rows that only the second version gets right; gains: rows that only the first one does.

    >>> round(mcnemar(2, 10), 4), mcnemar(0, 0)
    (0.0386, 1.0)
    """
    trials, fewer = losses_ + gains, min(losses_, gains)
    if trials == 0:
        return 1.0
    log_half = trials * math.log(0.5)
    tail = math.fsum(
        math.exp(math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + log_half)
        for k in range(fewer + 1)
    )
    return min(1.0, 2.0 * tail)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values, in the given order: all claims below alpha are right together with probability 1 - alpha.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return tuple(adjusted)


def normal_quantile(probability: float) -> float:
    """The quantile of the standard normal distribution, by bisection of its distribution function.

    >>> round(normal_quantile(0.95), 6)
    1.644854
    """
    low, high = -40.0, 40.0
    while high - low > 1e-12:
        middle = (low + high) / 2.0
        low, high = (middle, high) if 0.5 * math.erfc(-middle / math.sqrt(2.0)) < probability else (low, middle)
    return (low + high) / 2.0
