"""Metrics of scores against labels, with or without weights.

All arrays have length n. Labels of a classification are 0 or 1 and scores are probabilities; labels and scores of a
regression are numbers. Of k classes the labels are their places from 0 to k - 1, and scores are probabilities of the
shape (n, k); the log loss is then that of the class which came, the accuracy that of the most probable one, and the
Brier score sums over the classes, as Brier 1950, Monthly Weather Review 78:1, has it. A weight counts a row that often;
it counts in every figure or in none.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evertrain.core.policy import MetricName
from evertrain.errors import UserError

__all__ = [
    "HIGHER_IS_BETTER",
    "auc",
    "check_rows",
    "log_loss",
    "losses",
    "metric",
    "placements",
    "weights_of",
]

Floats = NDArray[np.float64]

HIGHER_IS_BETTER: frozenset[MetricName] = frozenset({"auc", "accuracy"})

CLIP = 1e-15
"""Probabilities are moved this far away from 0 and 1 before their logarithm is taken: no row costs more than 34.54."""


def metric(
    name: MetricName, label: Floats, score: Floats, weight: Floats | None = None, *, threshold: float = 0.5
) -> float:
    """One figure. NaN where it is not defined: no rows, or one class only for the AUC.

    >>> label, score = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.6, 0.4, 0.9])
    >>> [round(metric(name, label, score), 4) for name in ("auc", "log_loss", "brier", "accuracy", "mae", "rmse")]
    [0.75, 0.5108, 0.185, 0.5, 0.35, 0.4301]
    """
    check_rows(label, score)
    if name == "auc" and score.ndim == 1:
        return auc(label, score, weight)
    weights = weights_of(weight, len(label))
    if len(label) == 0:
        return float("nan")
    mean = float(np.dot(weights, losses(name, label, score, threshold=threshold)) / weights.sum())
    if name == "rmse":
        return float(np.sqrt(mean))
    return 1.0 - mean if name == "accuracy" else mean


def losses(name: MetricName, label: Floats, score: Floats, *, threshold: float = 0.5) -> Floats:
    """The loss of each row, less is better: for "rmse" the squared error, for "accuracy" 1 where it is wrong.

    >>> scores = np.array([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
    >>> [losses(name, np.array([0.0, 2.0]), scores).round(3).tolist() for name in ("log_loss", "accuracy", "brier")]
    [[0.693, 1.386], [0.0, 1.0], [0.375, 0.875]]
    """
    if score.ndim == 2:
        return _losses_of_classes(name, label, score)
    return _LOSSES[name](label, score, threshold)


def _losses_of_classes(name: MetricName, label: Floats, score: Floats) -> Floats:
    came = label.astype(np.int64)
    if name == "accuracy":
        wrong: Floats = (score.argmax(axis=1) != came).astype(np.float64)
        return wrong
    if name == "log_loss":
        found: Floats = -np.log(np.clip(score[np.arange(len(came)), came], CLIP, 1.0))
        return found
    if name == "brier":
        squares: Floats = ((score - np.eye(score.shape[1])[came]) ** 2).sum(axis=1)
        return squares
    raise UserError(f"{name!r} says nothing of classes.", "Use log_loss, accuracy or brier.")


def log_loss(label: Floats, score: Floats) -> Floats:
    """-log of the probability that each label was given, natural, clipped at CLIP (length n)."""
    inside = np.clip(score, CLIP, 1.0 - CLIP)
    return -(label * np.log(inside) + (1.0 - label) * np.log1p(-inside))


_LOSSES: dict[MetricName, Callable[[Floats, Floats, float], Floats]] = {
    "log_loss": lambda label, score, _: log_loss(label, score),
    "brier": lambda label, score, _: (score - label) ** 2,
    "accuracy": lambda label, score, threshold: ((score >= threshold) != (label >= 0.5)).astype(np.float64),
    "mae": lambda label, score, _: np.abs(score - label),
    "rmse": lambda label, score, _: (score - label) ** 2,
}


def auc(label: Floats, score: Floats, weight: Floats | None = None) -> float:
    """The weighted chance that a positive row scores above a negative one, ties counted half; NaN for one class.

    >>> auc(np.array([0.0, 1.0, 1.0]), np.array([0.5, 0.5, 0.9]))
    0.75
    """
    weights = weights_of(weight, len(label))
    positive = label >= 0.5
    mass = weights[positive].sum()
    if mass == 0.0 or weights[~positive].sum() == 0.0:
        return float("nan")
    return float(np.dot(weights[positive], placements(label, score, weight)[positive]) / mass)


def placements(label: Floats, score: Floats, weight: Floats | None = None) -> Floats:
    """For each row, the weighted share of the other class that it is ordered rightly against, ties counted half.

    The mean over either class is the AUC; the spread over both is its variance (DeLong, DeLong and Clarke-Pearson
    1988, Biometrics 44:837). One sort: O(n log n), as Sun and Xu 2014, IEEE SPL 21:1389.

    >>> placements(np.array([0.0, 1.0, 1.0]), np.array([0.5, 0.5, 0.9])).tolist()
    [0.75, 0.5, 1.0]
    """
    weights = weights_of(weight, len(label))
    positive = label >= 0.5
    _, group = np.unique(score, return_inverse=True)
    above = np.bincount(group, weights=np.where(positive, weights, 0.0))
    below = np.bincount(group, weights=np.where(positive, 0.0, weights))
    share_below: Floats = (np.cumsum(below) - below / 2.0) / below.sum()
    share_above: Floats = 1.0 - (np.cumsum(above) - above / 2.0) / above.sum()
    found: Floats = np.where(positive, share_below[group], share_above[group])
    return found


def weights_of(weight: Floats | None, rows: int) -> Floats:
    """The weights to use: ones where none are declared. Missing, negative and all-zero weights are an error."""
    if weight is None:
        return np.ones(rows)
    if len(weight) != rows:
        raise UserError(f"There are {len(weight)} evaluation weights for {rows} rows.", "Give each row one.")
    missing = int(np.count_nonzero(~np.isfinite(weight)))
    if missing:
        raise UserError(f"{missing} of {rows} rows have no evaluation weight.", "Give each row one, 0 or more.")
    negative = int(np.count_nonzero(weight < 0))
    if negative:
        raise UserError(f"{negative} of {rows} evaluation weights are negative.", "A weight is 0 or more.")
    if rows and not weight.any():
        raise UserError(f"All {rows} evaluation weights are zero.", "At least one row has to count.")
    return weight


def check_rows(label: Floats, *scores: Floats) -> None:
    """Refuse arrays of different length, and labels or scores that are not finite."""
    for score in scores:
        if len(score) != len(label):
            raise UserError(f"There are {len(score)} scores for {len(label)} labels.", "Score each row once.")
        bad = int(np.count_nonzero(~np.isfinite(score)))
        if bad:
            raise UserError(f"{bad} of {len(score)} scores are not finite.", "A score that is NaN is a failure.")
        if score.ndim == 2 and len(label):
            _check_classes(label, score.shape[1])
    bad = int(np.count_nonzero(~np.isfinite(label)))
    if bad:
        raise UserError(f"{bad} of {len(label)} labels are missing.", "Leave out rows without a label.")


def _check_classes(label: Floats, classes: int) -> None:
    known = np.isfinite(label)
    strange = int(np.count_nonzero((label[known] < 0) | (label[known] >= classes) | (label[known] % 1 != 0)))
    if strange:
        raise UserError(f"{strange} of {len(label)} labels are none of {classes} classes.", "Declare every class.")
