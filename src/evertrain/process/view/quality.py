"""How good the answers were, over business time: the champion's scores beside the never-retrained model's.

Points are days at first and weeks later (hours on the first two days, where labels come without a declared delay).
Those that are long over are measured once and kept. Figures over all points are added up from small sums, because
sorting a year of scores each second would hold the loop up.
"""

import math
from functools import reduce

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.config.declaration import ServiceSpec
from evertrain.core.metric import HIGHER_IS_BETTER, losses, metric
from evertrain.core.model import OutputKind
from evertrain.core.policy import MetricName
from evertrain.core.time import DAY, HOUR, Instant, Span
from evertrain.monitor.performance import Cohort, Performance
from evertrain.web.overview import Metric, QualityPoint

__all__ = ["QualityHistory", "Sums", "metrics_of"]

Floats = NDArray[np.float64]

_WEEK = Span(7 * DAY)
_DAILY_AT_MOST = 28 * DAY
_HOURLY_AT_MOST = 2 * DAY
_PATIENCE = 14 * DAY
"""So long after its end a point may still change by late labels and by scores of the reference version."""
_LONG_PATIENCE = 90 * DAY

_BINS = 1024
_SHOWN: dict[OutputKind, tuple[MetricName, ...]] = {
    "probability": ("auc", "log_loss"),
    "value": ("mae", "rmse"),
    "classes": ("accuracy", "log_loss"),
}
_NAMES: dict[MetricName, str] = {"auc": "AUC", "log_loss": "log loss", "mae": "MAE", "rmse": "RMSE"}


def metrics_of(spec: ServiceSpec) -> tuple[MetricName, ...]:
    """What is shown of a service: two metrics, by what its score is."""
    return _SHOWN[spec.output.kind]


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What metrics of many rows follow from, so that spans can be put together.

    losses: their sums by metric. counts: rows by label (0, 1) and bin of the score, shape (2, bins); zeros of classes.
    """

    rows: int
    losses: dict[MetricName, float]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, names: tuple[MetricName, ...], label: Floats, score: Floats) -> "Sums":
        """The sums of rows; label and score have length n, or the scores of classes (n, k)."""
        if score.ndim == 2:
            place = np.zeros(0, dtype=np.int64)
        else:
            place = (label >= 0.5) * _BINS + np.clip(score * _BINS, 0, _BINS - 1).astype(np.int64)
        return cls(
            rows=len(label),
            losses={name: float(losses(name, label, score).sum()) for name in names if name != "auc"},
            counts=np.bincount(place, minlength=2 * _BINS).reshape(2, _BINS),
        )

    def plus(self, other: "Sums") -> "Sums":
        """The sums of both."""
        return Sums(
            rows=self.rows + other.rows,
            losses={name: loss + other.losses[name] for name, loss in self.losses.items()},
            counts=self.counts + other.counts,
        )

    def figure(self, name: MetricName) -> float | None:
        """The metric of all rows; None where it is not defined. In an AUC, scores of one bin count as equal.

        >>> label, score = np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.1, 0.9, 0.4, 0.6])
        >>> Sums.of(("auc", "log_loss"), label, score).figure("auc")
        0.75
        """
        if name == "auc":
            negative, positive = self.counts
            pairs = float(negative.sum()) * float(positive.sum())
            below = np.cumsum(negative) - negative / 2.0
            return float(np.dot(positive, below)) / pairs if pairs else None
        if not self.rows:
            return None
        mean = self.losses[name] / self.rows
        if name == "accuracy":
            return 1.0 - mean
        return math.sqrt(mean) if name == "rmse" else mean


class _Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One span. labels: of the rows that were measured; reference: None while that version has scored none of them."""

    labels: int
    champion: dict[MetricName, float]
    reference: dict[MetricName, float]
    served: Sums
    anchored: Sums | None


class QualityHistory:
    """One service's quality since its first champion."""

    def __init__(self, names: tuple[MetricName, ...], *, declared: bool = True) -> None:
        """declared: labels have a declared delay; otherwise they may be posted at any time, and points stay open."""
        self._names = names
        self._hourly_at_most = 0 if declared else _HOURLY_AT_MOST
        self._patience = _PATIENCE if declared else _LONG_PATIENCE
        self._kept: dict[tuple[Instant, Instant], _Measured] = {}

    def show(self, performance: Performance, since: Instant, now: Instant) -> tuple[Metric, ...]:
        """All metrics with their points; () while no label is mature. since: when the first champion came."""
        width = self._width(Span(now - since))
        start = since - since % min(width, DAY)
        spans = [(Instant(at), Instant(at + width)) for at in range(start, now + 1, width)]
        found = [self._look(performance, span, width, now) for span in spans]
        told = [place for place, one in enumerate(found) if one.labels]
        if not told:
            return ()
        shown = slice(told[0], told[-1] + 1)
        spans, found = spans[shown], found[shown]
        served, anchored = _together(found)
        return tuple(
            Metric(
                name=_NAMES.get(name, name),
                better="higher" if name in HIGHER_IS_BETTER else "lower",
                points=tuple(_point(name, start, width, one) for (start, _), one in zip(spans, found, strict=True)),
                champion=served.figure(name),
                reference=anchored.figure(name) if anchored is not None else None,
                labels=served.rows,
            )
            for name in self._names
        )

    def _width(self, age: Span) -> Span:
        if age <= self._hourly_at_most:
            return Span(HOUR)
        return Span(DAY) if age <= _DAILY_AT_MOST else _WEEK

    def _look(self, performance: Performance, span: tuple[Instant, Instant], width: Span, now: Instant) -> _Measured:
        kept = self._kept.get(span)
        if kept is None:
            cohort = performance.cohort(*span)
            kept = self._measure(cohort)
            is_whole = not cohort.missing and bool(np.isfinite(cohort.reference).all())
            if span[1] + (width if is_whole else self._patience) <= now:
                self._kept[span] = kept
        return kept

    def _measure(self, cohort: Cohort) -> _Measured:
        """Both on the same rows: those that the reference version has scored, when it has scored any."""
        scored = cohort.compared
        rows = scored if scored.any() else np.ones(cohort.labelled, dtype=np.bool_)
        label, score, reference = cohort.label[rows], cohort.score[rows], cohort.reference[rows]
        return _Measured(
            labels=len(label),
            champion=self._figures(label, score),
            reference=self._figures(label, reference) if scored.any() else {},
            served=Sums.of(self._names, label, score),
            anchored=Sums.of(self._names, label, reference) if scored.any() else None,
        )

    def _figures(self, label: Floats, score: Floats) -> dict[MetricName, float]:
        """Those that are defined."""
        figures = {name: metric(name, label, score) for name in self._names}
        return {name: figure for name, figure in figures.items() if math.isfinite(figure)}


def _point(name: MetricName, start: Instant, width: Span, one: _Measured) -> QualityPoint:
    champion, reference = one.champion.get(name), one.reference.get(name)
    return QualityPoint(at=start, width=width, labels=one.labels, champion=champion, reference=reference)


def _together(found: list[_Measured]) -> tuple[Sums, Sums | None]:
    """All spans, on the rows that both have scored."""
    both = [(one.served, one.anchored) for one in found if one.anchored is not None]
    if not both:
        return reduce(Sums.plus, [one.served for one in found]), None
    return reduce(Sums.plus, [one for one, _ in both]), reduce(Sums.plus, [one for _, one in both])
