"""What is asked of a watched table, and what is told of it."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.config.wording import suggestion
from evertrain.core.policy import MetricName
from evertrain.core.time import Instant, Span, say_instant, say_span
from evertrain.errors import UserError
from evertrain.monitor.change import Change
from evertrain.monitor.estimate import Estimate
from evertrain.monitor.shift import Shift

__all__ = [
    "METRICS",
    "METRIC_NAMES",
    "Course",
    "CoursePoint",
    "Inputs",
    "Kind",
    "Mature",
    "Observations",
    "Period",
    "Question",
    "Report",
    "Segment",
    "check_metric",
    "to_json",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Kind = Literal["probability", "value", "classes"]
"""What a score is: of classes whether the one that was predicted came, as labels of 1 and 0 and scores of 1."""

METRICS: Mapping[Kind, tuple[MetricName, ...]] = {
    "probability": ("log_loss", "auc", "brier", "accuracy"),
    "value": ("mae", "rmse"),
    "classes": ("accuracy",),
}
"""What is told of a score, the one that segments and periods are compared by first."""


def check_metric(metric: str | None, kind: Kind) -> None:
    """UserError for a metric that says nothing of scores of this kind."""
    if metric is not None and metric not in METRICS[kind]:
        said: dict[Kind, str] = {
            "probability": "a probability", "value": "a number, not a probability", "classes": "a class"
        }  # fmt: skip
        score = said[kind]
        raise UserError(f"The metric {metric!r} does not fit: the score is {score}.", suggestion(metric, METRICS[kind]))


METRIC_NAMES: Mapping[MetricName, str] = {
    "auc": "AUC", "log_loss": "log loss", "brier": "Brier score", "accuracy": "accuracy", "mae": "MAE", "rmse": "RMSE",
}  # fmt: skip
"""Metrics as people call them."""


class Observations(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of length n. label: NaN where there is none yet. rows: every column that is compared or makes segments.

    A reference may come without times, scores and labels: these arrays are then empty.
    """

    at: Ints
    score: Floats
    label: Floats
    rows: pl.DataFrame


class Mature(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows count: whose label is due, and of them those that have one; and the number of each row's block."""

    due: Flags
    judged: Flags
    block: Ints


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. kind None: told by the labels and scores; metric None: the first one of the kind.

    horizon: how long after its time a row's label is due. now: the instant of the look. alpha: the error rate of each
    family of claims (segments, changes, inputs) and of each interval. labels: fewer of them say nothing of a segment.
    recent: how long the newest stretch is; None: a quarter. labelled: whether there is a label at all. continual: it is
    asked again and again of rows that grow; window: of a long stream, which part of it (`anytime.spent`).
    """

    segments: tuple[str, ...] = ()
    metric: MetricName | None = None
    horizon: Span | None = None
    now: Instant | None = None
    alpha: float = 0.05
    labels: int = 50
    recent: Span | None = None
    labelled: bool = True
    continual: bool = False
    window: int = 1
    seed: int = 0


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The mature rows where a column has one value, against all other mature rows.

    bias: mean score minus mean label; base: the mean label. avoidable: the part of the figure that calibration would
    take away, None for metrics without one. worse: by how much more than the rest that is (without such a part, the
    figure); p_value adjusted by Holm over all segments that could be tested. outcome "open": not shown to be worse,
    which is no proof that it is not; "suspicious", of a stream: a single look, whose p-value is look_p, would call it
    worse, and all looks together do not yet.
    """

    column: str
    value: str
    rows: int
    missing: int
    figure: Estimate
    bias: Estimate
    base: float | None
    skill: float | None = None
    avoidable: float | None = None
    outcome: Literal["worse", "suspicious", "open", "insufficient"]
    worse: float | None = None
    at_least: float | None = None
    p_value: float | None = None
    look_p: float | None = None
    words: str = ""

    @property
    def name(self) -> str:
        return f"{self.column} = {self.value}"


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of [start, start + width): all, those whose label is not due yet, those due without one.

    base: the mean label. words: why its figure is not like the others.
    """

    start: Instant
    width: Span
    rows: int
    waiting: int
    missing: int
    figure: Estimate
    base: float | None = None
    words: str = ""


class CoursePoint(msgspec.Struct, frozen=True, kw_only=True):
    """A period of a segment's course: its figure, that of all other rows, and the segment's labels in it."""

    start: Instant
    figure: float | None
    rest: float | None
    labels: int


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """A segment over time. since: where it seems to have got worse, None where it did not."""

    column: str
    value: str
    since: Instant | None
    points: tuple[CoursePoint, ...]


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison of the newest stretch, from `start` on, with the reference.

    rows: of reference and present. method: how, with the error rate.
    """

    reference: str
    start: Instant
    rows: tuple[int, int]
    method: str
    columns: tuple[Shift, ...]

    @property
    def moved(self) -> tuple[Shift, ...]:
        return tuple(one for one in self.columns if one.outcome == "moved")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found. notices: how the table was read and what was left out, a sentence each. warnings: what makes
    the figures say something else than they seem to.

    headline: what is worse, in a few words; worst and changed say more of it. changes: the newest stretch of time, from
    `since` to `until`, against the time before it. guarantee: what the error rate of the claims is about.
    compared: what is compared over time, for ranks the log loss. labelled is 0, and has_labels false, where no label
    was named.
    """

    name: str
    kind: Kind
    metric: MetricName
    first: Instant
    last: Instant
    now: Instant
    horizon: Span | None
    alpha: float
    rows: int
    labelled: int
    waiting: int
    missing: int
    base: float | None
    figures: dict[MetricName, Estimate]
    bias: Estimate
    dependence: str
    segments: tuple[Segment, ...]
    tested: int
    headline: str = ""
    worst: str
    changes: tuple[Change, ...] = ()
    changed: str = ""
    compared: MetricName = "log_loss"
    since: Instant | None = None
    until: Instant | None = None
    has_labels: bool = True
    continual: bool = False
    guarantee: str = ""
    periods: tuple[Period, ...]
    courses: tuple[Course, ...] = ()
    inputs: Inputs | None
    warnings: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


_INSTANTS, _SPANS = frozenset({"first", "last", "now", "since", "until", "start"}), frozenset({"horizon", "width"})


def to_json(report: Report) -> bytes:
    """The report for machines: times in ISO 8601, durations as they are written ("7d")."""
    return msgspec.json.encode(_in_words(msgspec.to_builtins(report)))


def _in_words(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _in_words(one, key) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_words(one) for one in value]
    if value is None or name not in _INSTANTS | _SPANS:
        return value
    return say_instant(value) if name in _INSTANTS else say_span(value)
