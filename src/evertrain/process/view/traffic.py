"""Traffic and latency over time, as the page shows them: from the watch's hours and the workers' counters."""

import time
from collections import deque
from collections.abc import Mapping, Sequence

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.time import DAY, HOUR, Instant, Span
from evertrain.monitor.health import add_up, latencies, quantile_ms, totals
from evertrain.process.steering.watch import ServiceWatch
from evertrain.store.statistics import Series
from evertrain.web.overview import Latency, LatencyPoint, Requests, TrafficPoint

__all__ = ["Speed", "TrafficHistory"]

_HOURLY_AT_MOST = 3 * DAY
_OPEN = 2 * DAY
_POINT_S = 2.0
_POINTS = 90

Ordinals = Mapping[VersionId, int]


class TrafficHistory:
    """One service's requests by the version that answered: by the hour at first, later by the day.

    Hours that are older than two days do not change any more, so their days are added up once.
    """

    def __init__(self) -> None:
        self._days: dict[Instant, dict[VersionId, int]] = {}

    def show(self, watch: ServiceWatch, ordinals: Ordinals, now: Instant) -> tuple[TrafficPoint, ...]:
        """The points in order of time."""
        first = next(iter(watch.answered), None)
        if first is None:
            return ()
        if now - first <= _HOURLY_AT_MOST:
            return tuple(_point(at, HOUR, counts, ordinals) for at, counts in sorted(watch.answered.items()))
        self._add(watch.answered, Instant(now - now % DAY - _OPEN))
        return tuple(_point(at, DAY, counts, ordinals) for at, counts in sorted(self._days.items()))

    def _add(self, hours: dict[Instant, dict[VersionId, int]], since: Instant) -> None:
        """Add up the days from `since` on anew; all of them when there are none yet."""
        fresh: dict[Instant, dict[VersionId, int]] = {}
        for hour in reversed(hours):
            if self._days and hour < since - DAY:  # hours come nearly in order: one day is more than they differ
                break
            if self._days and hour < since:
                continue
            day = fresh.setdefault(Instant(hour - hour % DAY), {})
            for version, count in hours[hour].items():
                day[version] = day.get(version, 0) + count
        self._days |= fresh


def _point(at: Instant, width: Span, counts: Mapping[VersionId, int], ordinals: Ordinals) -> TrafficPoint:
    answered = {ordinals[version]: count for version, count in counts.items() if version in ordinals}
    return TrafficPoint(at=at, width=width, answered=answered)


class Speed:
    """One service's counts and latency, by the workers' counters. Times are wall clock and monotonic."""

    def __init__(self, service: ServiceName) -> None:
        self._service = service
        self._points: deque[LatencyPoint] = deque(maxlen=_POINTS)
        self._latency: tuple[int, ...] = ()
        self._answered = 0
        self._looked = 0.0
        self._rate: float | None = None

    def look(self, series: Sequence[Series]) -> None:
        """Take in the counters, at most once in two seconds."""
        now = time.monotonic()
        if now - self._looked < _POINT_S:
            return
        latency = add_up(series, self._service)
        answered = totals(series, self._service).answered
        if self._latency:
            self._rate = (answered - self._answered) / (now - self._looked)
            self._point([after - before for after, before in zip(latency, self._latency, strict=True)])
        self._latency, self._answered, self._looked = latency, answered, now

    def _point(self, counts: Sequence[int]) -> None:
        if any(counts):
            at = Instant(time.time_ns() // 1000)
            p50, p95, p99 = (quantile_ms(counts, quantile) for quantile in (0.5, 0.95, 0.99))
            self._points.append(LatencyPoint(at=at, p50_ms=p50, p95_ms=p95, p99_ms=p99))

    def requests(self, series: Sequence[Series]) -> Requests:
        """Counts since the service was first started."""
        found = totals(series, self._service)
        return Requests(
            answered=found.answered,
            failed=found.failed,
            invalid=found.invalid,
            refused=found.refused,
            per_second=self._rate,
        )

    def latency(self, series: Sequence[Series], ordinals: Ordinals) -> tuple[Latency, ...]:
        """Of each version and arm, the newest version first."""
        found = [
            Latency(
                version=ordinals[one.version],
                arm=one.arm,
                requests=one.requests,
                p50_ms=one.p50_ms,
                p95_ms=one.p95_ms,
                p99_ms=one.p99_ms,
            )
            for one in latencies(series, self._service)
            if one.version in ordinals
        ]
        return tuple(sorted(found, key=lambda one: (-one.version, one.arm)))

    @property
    def over_time(self) -> tuple[LatencyPoint, ...]:
        return tuple(self._points)
