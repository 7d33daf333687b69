"""How good the answers were, over business time: the champion's scores beside the never-retrained model's.

Points are days at first and weeks later. Those that are long over are computed once and kept.
"""

import math

import numpy as np
from numpy.typing import NDArray

from evertrain.config.declaration import ServiceSpec
from evertrain.core.metric import HIGHER_IS_BETTER, metric
from evertrain.core.policy import MetricName
from evertrain.core.time import DAY, Instant, Span
from evertrain.monitor.performance import Cohort, Performance
from evertrain.web.overview import Metric, QualityPoint

__all__ = ["QualityHistory", "metrics_of"]

_WEEK = Span(7 * DAY)
_DAILY_AT_MOST = 28 * DAY
_PATIENCE = 14 * DAY
"""So long after its end a point may still change by late labels and by scores of the reference version."""

_NAMES: dict[MetricName, str] = {"auc": "AUC", "log_loss": "log loss", "mae": "MAE", "rmse": "RMSE"}

_Figures = tuple[float | None, float | None]
"""Of the scores that were served, and of the reference version's on the same rows."""


def metrics_of(spec: ServiceSpec) -> tuple[MetricName, ...]:
    """What is shown of a service: two metrics, by what its score is."""
    return ("auc", "log_loss") if spec.output.kind == "probability" else ("mae", "rmse")


class QualityHistory:
    """One service's quality since its first champion."""

    def __init__(self, names: tuple[MetricName, ...]) -> None:
        self._names = names
        self._kept: dict[tuple[Instant, Instant], tuple[int, tuple[_Figures, ...]]] = {}
        self._total: tuple[int, tuple[_Figures, ...]] = (0, ((None, None),) * len(names))
        self._totalled: tuple[Instant, int] | None = None

    def show(self, performance: Performance, since: Instant, now: Instant) -> tuple[Metric, ...]:
        """All metrics with their points; () while no label is mature. since: when the first champion came."""
        start = Instant(since - since % DAY)
        width = DAY if now - start <= _DAILY_AT_MOST else _WEEK
        spans = [(Instant(at), Instant(at + width)) for at in range(start, now + 1, width)]
        found = [self._point(performance, span, width, now) for span in spans]
        while found and not found[-1][0]:
            spans.pop()
            found.pop()
        if not found:
            return ()
        self._add_up(performance, spans, found, now)
        return tuple(self._metric(place, spans, found, width) for place in range(len(self._names)))

    def _point(
        self, performance: Performance, span: tuple[Instant, Instant], width: Span, now: Instant
    ) -> tuple[int, tuple[_Figures, ...]]:
        kept = self._kept.get(span)
        if kept is None:
            cohort = performance.cohort(*span)
            kept = self._measure(cohort)
            is_whole = not cohort.missing and bool(np.isfinite(cohort.reference).all())
            if span[1] + (width if is_whole else _PATIENCE) <= now:
                self._kept[span] = kept
        return kept

    def _add_up(
        self,
        performance: Performance,
        spans: list[tuple[Instant, Instant]],
        found: list[tuple[int, tuple[_Figures, ...]]],
        now: Instant,
    ) -> None:
        """All rows together, when a point was closed since: this sorts everything that ever was."""
        key = (spans[0][0], sum(span in self._kept for span in spans))
        if key == self._totalled and len(found) > 2:
            return
        self._totalled = key
        self._total = self._measure(performance.cohort(spans[0][0], Instant(now + 1)))

    def _metric(
        self,
        place: int,
        spans: list[tuple[Instant, Instant]],
        found: list[tuple[int, tuple[_Figures, ...]]],
        width: Span,
    ) -> Metric:
        name = self._names[place]
        labels, total = self._total
        return Metric(
            name=_NAMES.get(name, name),
            better="higher" if name in HIGHER_IS_BETTER else "lower",
            points=tuple(
                QualityPoint(
                    at=start, width=width, labels=rows, champion=figures[place][0], reference=figures[place][1]
                )
                for (start, _), (rows, figures) in zip(spans, found, strict=True)
            ),
            champion=total[place][0],
            reference=total[place][1],
            labels=labels,
        )

    def _measure(self, cohort: Cohort) -> tuple[int, tuple[_Figures, ...]]:
        """Both on the same rows: those that the reference version has scored, when it has scored any."""
        scored = np.isfinite(cohort.reference)
        if not scored.any():
            none = [(_figure(name, cohort.label, cohort.score), None) for name in self._names]
            return cohort.labelled, tuple(none)
        label, score, reference = cohort.label[scored], cohort.score[scored], cohort.reference[scored]
        both = [(_figure(name, label, score), _figure(name, label, reference)) for name in self._names]
        return int(scored.sum()), tuple(both)


def _figure(name: MetricName, label: NDArray[np.float64], score: NDArray[np.float64]) -> float | None:
    """None where it is not defined."""
    value = metric(name, label, score)
    return value if math.isfinite(value) else None
