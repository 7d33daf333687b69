"""What is asked of a watched table, and what is told of it."""

from collections.abc import Mapping
from typing import Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.core.policy import MetricName
from evertrain.core.time import Instant, Span
from evertrain.monitor.estimate import Estimate
from evertrain.monitor.shift import Shift

__all__ = ["METRICS", "Inputs", "Kind", "Observations", "Period", "Question", "Report", "Segment"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Kind = Literal["probability", "value"]

METRICS: Mapping[Kind, tuple[MetricName, ...]] = {
    "probability": ("log_loss", "auc", "brier", "accuracy"),
    "value": ("mae", "rmse"),
}
"""What is told of a score, the one that segments and periods are compared by first."""


class Observations(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of length n. label: NaN where there is none yet. rows: every column that is compared or makes segments.

    A reference may come without times, scores and labels: these arrays are then empty.
    """

    at: Ints
    score: Floats
    label: Floats
    rows: pl.DataFrame


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. kind None: told by the labels and scores; metric None: the first one of the kind.

    horizon: how long after its time a row's label is due. now: the instant of the look. alpha: the error rate of each
    family of claims (segments, inputs) and of each interval. labels: fewer of them say nothing of a segment.
    """

    segments: tuple[str, ...] = ()
    metric: MetricName | None = None
    horizon: Span | None = None
    now: Instant | None = None
    alpha: float = 0.05
    labels: int = 50
    seed: int = 0


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The mature rows where a column has one value, against all other mature rows.

    bias: mean score minus mean label. worse: how much worse than the rest it is, p_value adjusted by Holm over all
    segments that could be tested. outcome "open": not shown to be worse, which is no proof that it is not.
    """

    column: str
    value: str
    rows: int
    missing: int
    figure: Estimate
    bias: Estimate
    base: float | None
    outcome: Literal["worse", "open", "insufficient"]
    worse: float | None = None
    at_least: float | None = None
    p_value: float | None = None
    words: str = ""


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of [start, start + width): all, those whose label is not due yet, those due without one."""

    start: Instant
    width: Span
    rows: int
    waiting: int
    missing: int
    figure: Estimate


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison with the reference. rows: of reference and present. method: how, with the error rate."""

    reference: str
    rows: tuple[int, int]
    method: str
    columns: tuple[Shift, ...]

    @property
    def moved(self) -> tuple[Shift, ...]:
        return tuple(one for one in self.columns if one.outcome == "moved")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found. notices: how the table was read and what was left out, a sentence each."""

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
    worst: str
    periods: tuple[Period, ...]
    inputs: Inputs | None
    notices: tuple[str, ...] = ()
