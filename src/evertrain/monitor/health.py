"""What the workers' counters say: requests, failures and latency of each version, and their text for Prometheus."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from evertrain.core.identity import ServiceName, VersionId, short
from evertrain.core.prediction import SeenArm
from evertrain.store.room import LEVELS, Room
from evertrain.store.statistics import CAUSES, LATENCY_BOUNDS_US, OFF, SHED, Label, Series

__all__ = [
    "ArmLatency",
    "Totals",
    "add_up",
    "expose",
    "expose_lag",
    "expose_room",
    "expose_standstill",
    "latencies",
    "quantile_ms",
    "totals",
]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of a service. answered: with a prediction; failed: with a 5xx; invalid: with a 4xx, the caller's.

    refused: with a 503 while it was turned off. That is an order and no failure.
    """

    answered: int = 0
    failed: int = 0
    invalid: int = 0
    refused: int = 0


class ArmLatency(msgspec.Struct, frozen=True, kw_only=True):
    """Latency of one version on one arm, from request read to answer ready."""

    version: VersionId
    arm: SeenArm
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


def totals(series: Iterable[Series], service: ServiceName) -> Totals:
    """What became of the requests of a service since it was first started."""
    answered, failed, invalid, refused = 0, 0, 0, 0
    for one in series:
        if one.label.service != service or one.label.arm == "shadow":
            continue
        answered += one.answers if not one.label.status else 0
        failed += one.answers if one.label.status >= 500 else 0
        invalid += one.answers if 400 <= one.label.status < 500 else 0
        refused += one.answers if one.label.status == OFF else 0
    return Totals(answered=answered, failed=failed, invalid=invalid, refused=refused)


def latencies(series: Iterable[Series], service: ServiceName) -> list[ArmLatency]:
    """Each version and arm of a service that answered anything."""
    return [
        ArmLatency(
            version=VersionId(one.label.version),
            arm=one.label.arm,
            requests=one.answers,
            p50_ms=quantile_ms(one.latency, 0.5),
            p95_ms=quantile_ms(one.latency, 0.95),
            p99_ms=quantile_ms(one.latency, 0.99),
        )
        for one in series
        if one.label.service == service and not one.label.status and one.answers
    ]


def add_up(series: Iterable[Series], service: ServiceName) -> tuple[int, ...]:
    """Answers of all versions and arms of a service by bucket of latency; what a shadow said is no answer."""
    sums = [0] * (len(LATENCY_BOUNDS_US) + 1)
    for one in series:
        if one.label.service == service and not one.label.status and one.label.arm != "shadow":
            sums = [total + count for total, count in zip(sums, one.latency, strict=True)]
    return tuple(sums)


def quantile_ms(latency: Sequence[int], quantile: float) -> float:
    """A quantile of counts by bucket, in milliseconds, by a straight line inside its bucket; 0 when there are none.

    A bucket is 1.5 times as wide as the one before, so the figure is within that factor; beyond the last bound it is
    the last bound.

    >>> counts = [0] * 31
    >>> counts[3] = 100  # 113 to 169 microseconds
    >>> round(quantile_ms(counts, 0.5), 3)
    0.141
    """
    total = sum(latency)
    wanted, below, low = quantile * total, 0, 0
    for count, bound in zip(latency, LATENCY_BOUNDS_US, strict=False):
        if count and below + count >= wanted:
            return (low + (bound - low) * (wanted - below) / count) / 1000.0
        below, low = below + count, bound
    return LATENCY_BOUNDS_US[-1] / 1000.0 if total else 0.0


def expose(series: Sequence[Series]) -> str:
    """The counters in the text format 0.0.4 of Prometheus.

    >>> print(expose([]), end="")
    # HELP evertrain_responses_total Responses of the predict door, by HTTP status.
    # TYPE evertrain_responses_total counter
    # HELP evertrain_predictions_total Predictions, by the version and the arm that made them.
    # TYPE evertrain_predictions_total counter
    # HELP evertrain_failures_total Requests that an arm could not answer, by cause.
    # TYPE evertrain_failures_total counter
    # HELP evertrain_shed_total Requests for which an arm had no place, no time or no room.
    # TYPE evertrain_shed_total counter
    # HELP evertrain_latency_seconds From request read to answer ready.
    # TYPE evertrain_latency_seconds histogram
    """
    arms = [one for one in series if not one.label.status]
    lines = _head("responses_total", "counter", "Responses of the predict door, by HTTP status.")
    lines += [
        f"evertrain_responses_total{_labels(one.label, status=str(one.label.status))} {one.answers}"
        for one in series
        if one.label.status > 0
    ]
    lines += [
        f"evertrain_responses_total{_labels(one.label, status='503', why='off')} {one.answers}"
        for one in series
        if one.label.status == OFF
    ]
    lines += _head("predictions_total", "counter", "Predictions, by the version and the arm that made them.")
    lines += [f"evertrain_predictions_total{_of_arm(one.label)} {one.rows}" for one in arms]
    lines += _head("failures_total", "counter", "Requests that an arm could not answer, by cause.")
    lines += [
        f"evertrain_failures_total{_of_arm(one.label, cause=cause)} {count}"
        for one in arms
        for cause, count in zip(CAUSES, one.failures, strict=False)
    ]
    lines += _head("shed_total", "counter", "Requests for which an arm had no place, no time or no room.")
    lines += [f"evertrain_shed_total{_of_arm(one.label)} {one.answers}" for one in series if one.label.status == SHED]
    lines += _head("latency_seconds", "histogram", "From request read to answer ready.")
    lines += [line for one in arms for line in _histogram(one)]
    return "\n".join(lines) + "\n"


def expose_room(rooms: Mapping[str, Room]) -> str:
    """What the disk leaves to the log of each process, in the same format.

    >>> print(expose_room({"w0": Room("short")}).splitlines()[-1])
    evertrain_log_scarcity{process="w0"} 2
    """
    steps = ", ".join(f"{number} {level}" for number, level in enumerate(LEVELS))
    lines = _head("log_scarcity", "gauge", f"Room for the prediction log: {steps}.")
    lines += [
        f'evertrain_log_scarcity{{process="{_escaped(name)}"}} {LEVELS.index(room.level)}'
        for name, room in rooms.items()
    ]
    return "\n".join(lines) + "\n"


def expose_lag(lags: Mapping[str, float]) -> str:
    """How many seconds of the log a process has still to read after it was away, in the same format.

    >>> print(expose_lag({"controller": 61.5}).splitlines()[-1])
    evertrain_log_lag_seconds{process="controller"} 61.5
    """
    lines = _head("log_lag_seconds", "gauge", "How far behind the log a process is that was away; 0 where it is not.")
    lines += [f'evertrain_log_lag_seconds{{process="{_escaped(name)}"}} {lag:.9g}' for name, lag in lags.items()]
    return "\n".join(lines) + "\n"


def expose_standstill(why: str) -> str:
    """Whether nothing can be put on record, in the same format.

    >>> print(expose_standstill("").splitlines()[-1])
    evertrain_standstill 0
    """
    lines = _head("standstill", "gauge", "Whether the disk takes nothing for the ledger, so that nothing is decided.")
    return "\n".join([*lines, f"evertrain_standstill {int(bool(why))}"]) + "\n"


def _head(name: str, kind: str, says: str) -> list[str]:
    return [f"# HELP evertrain_{name} {says}", f"# TYPE evertrain_{name} {kind}"]


def _of_arm(label: Label, **more: str) -> str:
    return _labels(label, version=short(label.version), arm=label.arm, **more)


def _labels(label: Label, **more: str) -> str:
    pairs = {"service": label.service, **more}
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _histogram(one: Series) -> list[str]:
    """Cumulative counts, as the format wants them."""
    lines, below = [], 0
    for count, bound in zip(one.latency, LATENCY_BOUNDS_US, strict=False):
        below += count
        lines.append(f"evertrain_latency_seconds_bucket{_of_arm(one.label, le=f'{bound / 1e6:g}')} {below}")
    total = sum(one.latency)
    return [
        *lines,
        f"evertrain_latency_seconds_bucket{_of_arm(one.label, le='+Inf')} {total}",
        f"evertrain_latency_seconds_sum{_of_arm(one.label)} {one.sum_us / 1e6:.6f}",
        f"evertrain_latency_seconds_count{_of_arm(one.label)} {total}",
    ]
