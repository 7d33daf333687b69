"""The part of a loss that calibration would take away: what a model does worse than it says, whatever the base rate.

A segment where the outcome is rare has a low log loss and one where it is common a high one, with the same model; so
segments are not held against each other by their loss. Of each group of rows its *avoidable* loss is taken: the loss
of the scores minus that of the same scores calibrated for the group (the score part "miscalibration" of Dimitriadis,
Gneiting and Jordan 2021, PNAS 118:e2016191118). It is 0 for probabilities that hold, however rare the outcome and
however little is known of it. Calibrated by two numbers, so that few rows do: for the log loss the intercept and
slope of the logit (Cox 1958, Biometrika 45:562), with a prior of one row's weight at "as it is"; for the Brier score
those of least squares.

*Skill* is told beside it: 1 minus the loss divided by that of always saying the group's own share (Murphy 1973, J.
Appl. Meteor. 12:595, for the Brier score; McFadden 1974 for the log loss). At 0 the model knows nothing more.
"""

import math

import numpy as np
from numpy.typing import NDArray

from evertrain.core.metric import losses
from evertrain.core.policy import MetricName

__all__ = ["AVOIDABLE", "Calibrator", "skill"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

AVOIDABLE: frozenset[MetricName] = frozenset({"log_loss", "brier"})
"""The metrics of which a part is avoidable: the proper scores."""

_FURTHEST = 12.0
"""Logits are cut off here: a score nearer to 0 or 1 says no more to the fit."""
_BINS = 512
_STEPS = 30
_CLOSE = 1e-9


class Calibrator:
    """The avoidable loss of groups of the same rows, of which there is one at least."""

    def __init__(self, name: MetricName, label: Floats, score: Floats) -> None:
        self._name, self._label, self._score = name, label, score
        self._lost = losses(name, label, score)
        inside = np.clip(score, 1e-15, 1.0 - 1e-15)
        self._logit = np.clip(np.log(inside) - np.log1p(-inside), -_FURTHEST, _FURTHEST)
        edges = np.unique(np.quantile(self._logit, np.linspace(0.0, 1.0, _BINS + 1)[1:-1]))
        self._bin = np.searchsorted(edges, self._logit, side="right")
        self._bins = len(edges) + 1
        rows = np.bincount(self._bin, minlength=self._bins)
        self._center = np.bincount(self._bin, weights=self._logit, minlength=self._bins) / np.maximum(rows, 1)

    def avoidable(self, rows: Flags) -> Floats:
        """What calibration for exactly these rows takes off the loss of each; its mean is their avoidable loss."""
        label, lost = self._label[rows], self._lost[rows]
        found: Floats
        if self._name == "brier":
            score = self._score[rows]
            spread = float(score.var())
            slope = float(((score - score.mean()) * label).mean()) / spread if spread > 0.0 else 0.0
            found = lost - (label.mean() + slope * (score - score.mean()) - label) ** 2
            return found
        shift, slope = self._fit(rows)
        logit = shift + slope * self._logit[rows]
        found = lost - (np.logaddexp(0.0, logit) - label * logit)
        return found

    def _fit(self, rows: Flags) -> tuple[float, float]:
        """Intercept and slope, by Newton's method on bins of equal mass, halving a step that goes too far."""
        place = self._bin[rows]
        count = np.bincount(place, minlength=self._bins).astype(np.float64)
        ones = np.bincount(place, weights=self._label[rows], minlength=self._bins)
        axes = np.stack([np.ones(self._bins), self._center])
        at = np.array([0.0, 1.0])

        def cost(where: Floats) -> float:
            logit = where @ axes
            away = where - np.array([0.0, 1.0])
            return float(count @ np.logaddexp(0.0, logit) - ones @ logit + away @ away / 2.0)

        for _ in range(_STEPS):
            chance = 1.0 / (1.0 + np.exp(-np.clip(at @ axes, -700.0, 700.0)))
            pull = axes @ (count * chance - ones) + (at - np.array([0.0, 1.0]))
            bend = (axes * (count * chance * (1.0 - chance))) @ axes.T + np.eye(2)
            step, now = np.linalg.solve(bend, pull), cost(at)
            while cost(at - step) > now and float(np.abs(step).max()) > _CLOSE:
                step = step / 2.0
            at = at - step
            if float(np.abs(step).max()) <= _CLOSE:
                break
        return float(at[0]), float(at[1])


def skill(name: MetricName, label: Floats, score: Floats) -> float | None:
    """1 minus the loss over that of always saying the rows' own share (their mean, for numbers).

    None where it is not defined: for ranks and hits, and where all labels are the same.

    >>> label, score = np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.1, 0.1, 0.2, 0.7])
    >>> round(skill("brier", label, score), 3), round(skill("log_loss", label, score), 3)
    (0.8, 0.649)
    """
    if name in ("auc", "accuracy") or not len(label):
        return None
    share = float(label.mean())
    if name == "log_loss":
        best = -sum(part * math.log(part) for part in (share, 1.0 - share) if part > 0.0)
    elif name == "mae":
        best = float(np.abs(label - np.median(label)).mean())
    else:
        best = float(label.var())
    return None if best <= 0.0 else 1.0 - float(losses(name, label, score).mean()) / best
