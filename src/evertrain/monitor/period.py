"""The time of a watched table cut into periods, and what is told of each."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evertrain.core.policy import MetricName
from evertrain.core.time import DAY, HOUR, Instant, Span
from evertrain.monitor.estimate import estimate
from evertrain.monitor.report import Mature, Observations, Period, Question
from evertrain.monitor.stretch import Tail, cut_blocks

__all__ = ["Periods"]

Ints = NDArray[np.int64]

_WEEK = Span(7 * DAY)
_NEARLY_ALL = (0.02, 0.98)
_FEWEST_PARTS = 200
"""A period holds one row in so many, or is put together with the next."""


class Periods:
    """Hours, days or weeks, as many together as it takes to hold a few rows: the number of each row's period.

    The width is that of the time in which nearly all rows lie, so that a few old ones do not make one period of the
    rest. The newest period stays by itself, however few its rows are.
    """

    def __init__(self, seen: Observations) -> None:
        first, last = (int(each) for each in np.quantile(seen.at, _NEARLY_ALL))
        self.width = _width(last - first)
        offset = 0 if self.width < _WEEK else int(seen.at.min() // DAY * DAY)
        names, place, rows = np.unique((seen.at - offset) // self.width, return_inverse=True, return_counts=True)
        group = _together(rows, len(seen.at) // _FEWEST_PARTS)
        self.number: Ints = group[place]
        edges = np.flatnonzero(np.diff(group, prepend=-1))
        self.starts = [Instant(int(names[edge]) * self.width + offset) for edge in edges]
        ends = [*self.starts[1:], Instant((int(names[-1]) + 1) * self.width + offset)]
        alone = np.bincount(group) == 1
        self.widths = [
            self.width if is_alone else Span(end - start)
            for start, end, is_alone in zip(self.starts, ends, alone, strict=True)
        ]

    def told(
        self, seen: Observations, question: Question, metric: MetricName, mature: Mature, tail: Tail | None
    ) -> Iterator[Period]:
        """Each period that holds a row, in order."""
        for number, (start, width) in enumerate(zip(self.starts, self.widths, strict=True)):
            rows = self.number == number
            judged = rows & mature.judged
            label, score = seen.label[judged], seen.score[judged]
            block = cut_blocks(seen.at[judged], np.ones(len(label), dtype=np.bool_)).number
            in_part = tail is not None and start + width > tail.start
            yield Period(
                start=start,
                width=width,
                rows=int(np.count_nonzero(rows)),
                waiting=int(np.count_nonzero(rows & ~mature.due)) if question.labelled else 0,
                missing=int(np.count_nonzero(rows & mature.due & ~mature.judged)) if question.labelled else 0,
                figure=estimate(metric, label, score, block=block, alpha=question.alpha),
                base=float(label.mean()) if len(label) else None,
                words="labels in part" if in_part and len(label) else "",
            )


def _together(rows: Ints, fewest: int) -> Ints:
    """Neighbours put together until they hold so many rows; the newest stays alone.

    >>> _together(np.array([1, 1, 1, 9, 9, 1]), 3).tolist()
    [0, 0, 0, 1, 2, 3]
    """
    group, held, found = 0, 0, []
    for number, count in enumerate(rows):
        if held and (held >= fewest or number == len(rows) - 1):
            group, held = group + 1, 0
        found.append(group)
        held += int(count)
    return np.array(found, dtype=np.int64)


def _width(covered: int) -> Span:
    """Hours, days, weeks or four weeks, so that there are some ten to sixty periods.

    >>> _width(20 * DAY) // DAY, _width(200 * DAY) // DAY
    (1, 7)
    """
    for width, most in ((HOUR, 2 * DAY), (DAY, 28 * DAY), (_WEEK, 420 * DAY)):
        if covered <= most:
            return Span(width)
    return Span(4 * _WEEK)
