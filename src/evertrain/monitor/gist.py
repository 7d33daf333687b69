"""The gist of a report: what `evertrain status` says of a watched service, and what Prometheus may raise alarms by."""

from collections.abc import Iterator, Sequence

import msgspec

from evertrain.core.identity import ServiceName
from evertrain.core.policy import MetricName
from evertrain.core.time import Instant
from evertrain.monitor.headline import say_suspicion, suspected
from evertrain.monitor.report import Report

__all__ = ["Gist", "expose_gists", "gist_of"]


class Gist(msgspec.Struct, frozen=True, kw_only=True):
    """One service as of `at`. figure: of the metric, None without labels; base: the mean label.

    worse: names of what got worse over time, changed says it in words; segments: names of those that are worse than
    the rest, worst says it; suspicious: names of either kind that a single look would call so, suspicion says it.
    moved: inputs. warnings: what makes the figures say something else than they seem to.
    """

    service: ServiceName
    at: Instant
    rows: int
    labelled: int
    missing: int
    waiting: int
    newest: Instant
    metric: MetricName
    figure: float | None
    base: float | None
    worse: tuple[str, ...] = ()
    changed: str = ""
    segments: tuple[str, ...] = ()
    worst: str = ""
    suspicious: tuple[str, ...] = ()
    suspicion: str = ""
    moved: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def gist_of(service: ServiceName, report: Report) -> Gist:
    """The gist of a service's report."""
    return Gist(
        service=service,
        at=report.now,
        rows=report.rows,
        labelled=report.labelled,
        missing=report.missing,
        waiting=report.waiting,
        newest=report.last,
        metric=report.metric,
        figure=report.figures[report.metric].value,
        base=report.base,
        worse=tuple(one.name for one in report.changes if one.outcome == "worse"),
        changed=report.changed,
        segments=tuple(f"{one.column} = {one.value}" for one in report.segments if one.outcome == "worse"),
        worst=report.worst,
        suspicious=suspected(report.changes, report.segments),
        suspicion=say_suspicion(report.changes, report.segments, report.compared, report.alpha),
        moved=() if report.inputs is None else tuple(one.column for one in report.inputs.moved),
        warnings=report.warnings,
    )


def expose_gists(gists: Sequence[Gist]) -> str:
    """The gists in the text format 0.0.4 of Prometheus; nothing where no service is watched.

    >>> expose_gists([])
    ''
    """
    return "".join(f"{line}\n" for line in _lines(gists)) if gists else ""


def _lines(gists: Sequence[Gist]) -> Iterator[str]:
    gauges = (
        ("observed_rows", "Predictions of somebody else's server that the report is of.", "rows"),
        ("observed_labels", "Labels of them that count.", "labelled"),
        ("observed_labels_missing", "Labels of them that are due and have not come.", "missing"),
        ("observed_mean_label", "The mean of their labels.", "base"),
    )
    for name, says, field in gauges:
        yield from _head(name, says)
        for gist in gists:
            value = getattr(gist, field)
            if value is not None:
                yield f"evertrain_{name}{_labels(gist)} {value:.9g}"
    yield from _head("observed_quality", "The metric that is watched, over all rows.")
    for gist in gists:
        if gist.figure is not None:
            yield f"evertrain_observed_quality{_labels(gist, metric=gist.metric)} {gist.figure:.9g}"
    yield from _head("observed_alarms", "Claims: what got worse, worse segments, what is suspicious, moved inputs.")
    for gist in gists:
        claims = {
            "worse_now": gist.worse, "segment_worse": gist.segments, "suspicious": gist.suspicious,
            "input_moved": gist.moved,
        }  # fmt: skip
        for claim, names in claims.items():
            yield f"evertrain_observed_alarms{_labels(gist, claim=claim)} {len(names)}"
    yield from _head("observed_report_timestamp_seconds", "The time of the look.")
    for gist in gists:
        yield f"evertrain_observed_report_timestamp_seconds{_labels(gist)} {gist.at / 1e6:.3f}"


def _head(name: str, says: str) -> tuple[str, str]:
    return f"# HELP evertrain_{name} {says}", f"# TYPE evertrain_{name} gauge"


def _labels(gist: Gist, **more: str) -> str:
    """Names that were declared: none of them needs an escape."""
    return "{" + ",".join(f'{name}="{value}"' for name, value in {"service": gist.service, **more}.items()) + "}"
