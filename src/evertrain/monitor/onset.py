"""A change that began before the newest stretch: both sides of the comparison then hold it, and it hides or misleads.

A stretch that somebody chose, such as the newest week, is also asked at twice its length, at four times and so on, up
to half of the time. A change that a longer one shows, dated before the stretch that was chosen, is told first. The
error rate of these questions together is that of one more look (Bonferroni).
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.time import Instant, Span
from evertrain.monitor.change import Change
from evertrain.monitor.stretch import newest_from

__all__ = ["Onset", "find_onset", "with_edges"]

Ints = NDArray[np.int64]


class Onset(msgspec.Struct, frozen=True, kw_only=True):
    """The change that began before the newest stretch: of whom, when, and how long it is from then to the end."""

    name: str
    since: Instant
    span: Span


def find_onset(
    compared: Callable[[Instant, float], Sequence[Change]], at: Ints, size: Span, recent: Span, alpha: float
) -> Onset | None:
    """The largest change that began before the newest stretch; None where none is shown.

    compared: the changes of the stretch from an instant on, at an error rate. at: of the rows, not empty.
    """
    start = newest_from(at, size, recent)
    longer = list(dict.fromkeys(_longer(at, size, recent)))
    if start is None or not longer:
        return None
    found = [one for begins in longer for one in compared(begins, alpha / len(longer)) if one.outcome == "worse"]
    early = [one for one in found if one.since is not None and one.since < start]
    if not early:
        return None
    first = max(early, key=lambda one: (one.everywhere, bool(one.column), one.worse or 0.0))
    since = Instant(first.since or 0)
    return Onset(name=first.name, since=since, span=Span((int(at.max()) // size + 1) * size - since))


def _longer(at: Ints, size: Span, recent: Span) -> Iterator[Instant]:
    half, span = (int(at.max()) - int(at.min())) // 2, Span(2 * recent)
    while span <= half:
        begins = newest_from(at, size, span)
        if begins is not None:
            yield begins
        span = Span(2 * span)


def with_edges(changes: Sequence[Change], onset: Onset, start: Instant, size: Span) -> tuple[Change, ...]:
    """The changes, where those of others that are dated to the edge of the stretch say so."""
    return tuple(
        msgspec.structs.replace(one, at_edge=True)
        if one.since is not None and one.name != onset.name and one.since >= start - size
        else one
        for one in changes
    )
