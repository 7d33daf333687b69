"""The course of the worst segments: the figure of each period, of the segment and of all other rows."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from evertrain.core.metric import metric
from evertrain.core.policy import MetricName
from evertrain.monitor.change import Change, Group
from evertrain.monitor.period import Periods
from evertrain.monitor.report import Course, CoursePoint, Observations, Segment

__all__ = ["courses_of"]

Flags = NDArray[np.bool_]

_MOST = 3
_FEWEST = 5
"""Fewer labels of a period make no point."""


def courses_of(
    name: MetricName,
    seen: Observations,
    groups: Sequence[Group],
    *,
    changes: Sequence[Change],
    segments: Sequence[Segment],
    periods: Periods,
    counted: Flags,
) -> Iterator[Course]:
    """Of the segments that got worse or may have, then of those worse than the rest; of the worst one where none is.

    counted: the rows with a label that counts.
    """
    since = {(one.column, one.value): one.since for one in changes}
    told = ("worse", "suspicious")
    worse = [(one.column, one.value) for one in changes if one.outcome in told and one.column]
    worse += [(one.column, one.value) for one in segments if one.outcome in told]
    first = [(one.column, one.value) for one in segments[:1] if one.p_value is not None]
    rows = {(group.column, group.value): group.rows for group in groups}
    for place in list(dict.fromkeys(worse or first))[:_MOST]:
        inside = rows[place]
        points = tuple(
            CoursePoint(
                start=start,
                figure=_figure(name, seen, counted & (periods.number == number) & inside),
                rest=_figure(name, seen, counted & (periods.number == number) & ~inside),
                labels=int(np.count_nonzero(counted & (periods.number == number) & inside)),
            )
            for number, start in enumerate(periods.starts)
        )
        yield Course(column=place[0], value=place[1], since=since.get(place), points=points)


def _figure(name: MetricName, seen: Observations, rows: Flags) -> float | None:
    if np.count_nonzero(rows) < _FEWEST:
        return None
    value = metric(name, seen.label[rows], seen.score[rows])
    return value if math.isfinite(value) else None
