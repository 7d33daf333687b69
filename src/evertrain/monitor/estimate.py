"""A figure of quality with its interval, where neighbouring rows err together.

Every metric is an estimate plus the pull of each row on it (its influence). Pulls are added up by block of time, and
the spread between blocks is the error: b / (b - 1) times the sum of squared block sums. Bounds take Student's t with
b - 1 degrees of freedom. Sources: Liang and Zeger 1986, Biometrika 73:13 (sums by cluster); Obuchowski 1997,
Biometrics 53:567 (the same for an AUC, from DeLong's placements); Cameron and Miller 2015, J. Human Resources 50:317
(t with clusters - 1). Two groups of rows are compared by the difference of their pulls, so a storm that hits both in
one block counts once. All arrays have length n.
"""

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.comparison import MIN_BLOCKS, normal_quantile
from evertrain.core.metric import HIGHER_IS_BETTER, losses, metric, placements
from evertrain.core.policy import MetricName

__all__ = ["Contest", "Estimate", "Gap", "estimate", "gap", "mean_estimate", "t_quantile", "t_tail"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NORMAL_FROM = 2000
"""With so many degrees of freedom t is the normal distribution to four digits."""
_LEAST = 1e-15


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. low, high: the two-sided interval, None where there are too few blocks to see a spread.

    value: None where it is not defined (no labels, or labels of one class for an AUC).
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    labels: int
    blocks: int


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """How much worse a group of rows is than all others; positive is worse, whatever the metric.

    error: its standard error; freedom: the degrees of freedom; p_value: one-sided, of "it is not worse".
    """

    value: float
    error: float
    freedom: int
    p_value: float

    def at_least(self, alpha: float) -> float:
        """The one-sided lower bound with error rate alpha."""
        return self.value - t_quantile(1.0 - alpha, self.freedom) * self.error


def estimate(name: MetricName, label: Floats, score: Floats, *, block: Ints, alpha: float) -> Estimate:
    """The metric with a two-sided interval of coverage 1 - alpha. block: the number of each row's block.

    >>> label = np.tile([0.0, 1.0, 1.0, 0.0], 25)
    >>> score = np.tile([0.2, 0.9, 0.6, 0.4], 25) + np.linspace(-0.1, 0.1, 100)
    >>> found = estimate("brier", label, score, block=np.arange(100) // 5, alpha=0.05)
    >>> round(found.value, 3), round(found.low, 3), round(found.high, 3), found.blocks
    (0.096, 0.088, 0.104, 20)
    """
    blocks = len(np.unique(block))
    value = metric(name, label, score)
    if not math.isfinite(value):
        return Estimate(value=None, labels=len(label), blocks=blocks)
    spread = _spread(_pull(name, label, score, value), block, blocks)
    if spread is None:
        return Estimate(value=value, labels=len(label), blocks=blocks)
    reach = t_quantile(1.0 - alpha / 2.0, blocks - 1) * spread
    low, high = max(0.0, value - reach), value + reach
    if name in ("auc", "accuracy", "brier"):
        high = min(1.0, high)
    return Estimate(value=value, low=low, high=high, labels=len(label), blocks=blocks)


class Contest:
    """One group of rows after the other, held against all others; what they have in common is computed once."""

    def __init__(self, name: MetricName, label: Floats, score: Floats, block: Ints) -> None:
        self._name, self._label, self._score = name, label, score
        self._block = np.unique(block, return_inverse=True)[1] if len(block) else block
        self._losses = None if name == "auc" or not len(label) else losses(name, label, score)
        self._all = None if self._losses is None else self._sums(self._losses, self._block)

    def gap(self, inside: NDArray[np.bool_]) -> Gap | None:
        """How much worse the rows `inside` are than all others; None where that cannot be asked."""
        if self._losses is None or self._all is None:
            return gap(self._name, self._label, self._score, inside, block=self._block)
        own = self._sums(self._losses[inside], self._block[inside])
        return self._gap_of_means(own, self._all - own)

    def gap_of(self, lost: Floats, inside: NDArray[np.bool_]) -> Gap | None:
        """The same of any loss of the rows, which both sides may have been given in their own way."""
        sides = (self._sums(lost[side], self._block[side]) for side in (inside, ~inside))
        return self._gap_of_means(*sides)

    def _sums(self, lost: Floats, block: Ints) -> Floats:
        """Per block: the loss and the rows; shape (2, blocks)."""
        size = int(self._block.max()) + 1
        return np.stack([np.bincount(block, weights=lost, minlength=size), np.bincount(block, minlength=size)])

    def _gap_of_means(self, own: Floats, others: Floats) -> Gap | None:
        """The same as by the pulls of single rows, which add up to these sums."""
        blocks = min(int(np.count_nonzero(side[1])) for side in (own, others))
        if blocks < MIN_BLOCKS:
            return None
        values, pulls = [], []
        for lost, rows in (own, others):
            mean = lost.sum() / rows.sum()
            value = math.sqrt(mean) if self._name == "rmse" else mean
            slope = 0.5 / value if self._name == "rmse" and value > 0 else 1.0
            values.append(value)
            pulls.append(slope * (lost - mean * rows) / rows.sum())
        pull = pulls[0] - pulls[1]
        error = math.sqrt(blocks / (blocks - 1) * float(np.dot(pull, pull)))
        value = float(values[0] - values[1])
        return None if error <= _LEAST else _gap_with(value, error, blocks - 1)


def gap(name: MetricName, label: Floats, score: Floats, inside: NDArray[np.bool_], *, block: Ints) -> Gap | None:
    """How much worse the rows `inside` are than all others, by the pull of each row; None where it cannot be asked."""
    sides = (inside, ~inside)
    values = [metric(name, label[side], score[side]) for side in sides]
    if not all(map(math.isfinite, values)):
        return None
    pull = np.empty(len(label))
    for side, value, sign in zip(sides, values, (1.0, -1.0), strict=True):
        pull[side] = sign * _pull(name, label[side], score[side], value)
    worse = -1.0 if name in HIGHER_IS_BETTER else 1.0
    return _gap(worse * (values[0] - values[1]), worse * pull, inside, block)


def mean_estimate(values: Floats, *, block: Ints, alpha: float) -> Estimate:
    """The mean of values with its two-sided interval."""
    blocks = len(np.unique(block))
    if not len(values):
        return Estimate(value=None, labels=0, blocks=0)
    mean = float(values.mean())
    spread = _spread((values - mean) / len(values), block, blocks)
    reach = None if spread is None else t_quantile(1.0 - alpha / 2.0, blocks - 1) * spread
    low, high = (None, None) if reach is None else (mean - reach, mean + reach)
    return Estimate(value=mean, low=low, high=high, labels=len(values), blocks=blocks)


def _gap(value: float, pull: Floats, inside: NDArray[np.bool_], block: Ints) -> Gap | None:
    """The group's own blocks count: a value that occurs in three blocks has two degrees of freedom, however many
    blocks the rest fills."""
    blocks = min(len(np.unique(block[side])) for side in (inside, ~inside))
    error = _spread(pull, block, blocks)
    if error is None:
        return None
    return _gap_with(value, error, blocks - 1)


def _gap_with(value: float, error: float, freedom: int) -> Gap:
    return Gap(value=value, error=error, freedom=freedom, p_value=t_tail(value / error, freedom))


def _pull(name: MetricName, label: Floats, score: Floats, value: float) -> Floats:
    """How much each row pulls the metric up; the pulls add up to 0."""
    if name == "auc":
        positive = label >= 0.5
        count = np.where(positive, np.count_nonzero(positive), np.count_nonzero(~positive))
        pull: Floats = (placements(label, score) - value) / count
        return pull
    lost = losses(name, label, score)
    pull = (lost - lost.mean()) / len(lost)
    if name == "rmse":
        return pull / (2.0 * value) if value > 0 else pull
    return -pull if name == "accuracy" else pull


def _spread(pull: Floats, block: Ints, blocks: int) -> float | None:
    """The standard error; None with too few blocks, or where no block differs from another."""
    if blocks < MIN_BLOCKS:
        return None
    _, place = np.unique(block, return_inverse=True)
    sums = np.bincount(place, weights=pull)
    error = math.sqrt(blocks / (blocks - 1) * float(np.dot(sums, sums)))
    return error if error > _LEAST else None


# Student's t ----------------------------------------------------------------------------------------------------------


def t_tail(value: float, freedom: int) -> float:
    """P(T >= value), by the finite series of Abramowitz and Stegun 26.7.3 and 26.7.4; never below 1e-15.

    >>> round(t_tail(2.0930, 19), 4), round(t_tail(-1.0, 4), 3), round(t_tail(1.96, 10**6), 4)
    (0.025, 0.813, 0.025)
    """
    if freedom > _NORMAL_FROM:
        return max(_LEAST, 0.5 * math.erfc(value / math.sqrt(2.0)))
    angle = math.atan2(abs(value), math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = term if freedom > 1 else 0.0
    for order in range(2 + odd, freedom - 1, 2):
        term *= cosine * cosine * (order - 1) / order
        total += term
    within = math.sin(angle) * total
    if odd:
        within = 2.0 / math.pi * (angle + within)
    tail = max(_LEAST, (1.0 - within) / 2.0)
    return tail if value >= 0 else 1.0 - tail


def t_quantile(probability: float, freedom: int) -> float:
    """The quantile, by bisection of `t_tail`.

    >>> round(t_quantile(0.975, 19), 3), round(t_quantile(0.05, 7), 3)
    (2.093, -1.895)
    """
    if freedom > _NORMAL_FROM:
        return normal_quantile(probability)
    low, high = -1e4, 1e4
    while high - low > 1e-9:
        middle = (low + high) / 2.0
        low, high = (middle, high) if 1.0 - t_tail(middle, freedom) < probability else (low, middle)
    return (low + high) / 2.0
