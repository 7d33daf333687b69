"""Protected segments: whether a challenger harms the rows where a column has one value.

A segment is *harmed* when it is shown to be worse at all (one-sided, adjusted by Holm over all segments that could be
tested) and worse by more than the declared margin in the estimate. It is *not worse* when its bound is within the
margin. It is *open* when neither is shown, and *insufficient* when there are too few labels or blocks to ask: both are
said and neither is a pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.comparison import MIN_BLOCKS, Difference, compare, holm
from evertrain.core.policy import GateSpec
from evertrain.core.time import say_span
from evertrain.core.wording import say_many

__all__ = ["Segment", "harmed"]

Floats = NDArray[np.float64]
Outcome = Literal["harmed", "not worse", "open", "insufficient"]


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one segment. labels: its rows. p_value: adjusted; None where it was not tested."""

    column: str
    value: str
    labels: int
    outcome: Outcome
    words: str = ""
    estimate: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None


def harmed(
    spec: GateSpec,
    *,
    label: Floats,
    challenger: Floats,
    champion: Floats,
    at: NDArray[np.int64],
    segments: Mapping[str, Sequence[str]],
    weight: Floats | None = None,
    threshold: float = 0.5,
    seed: int = 0,
) -> list[Segment]:
    """Look at every value of every protected column, in order of column and value; arrays have length n."""
    found: list[tuple[str, str, int, Difference | None]] = []
    for column, value, rows in _rows_of(spec.protect, segments):
        labels = int(np.count_nonzero(rows))
        if labels < spec.segment_labels or (weight is not None and not weight[rows].any()):
            found.append((column, value, labels, None))
            continue
        against = compare(
            spec.primary,
            label[rows],
            challenger[rows],
            champion[rows],
            at=at[rows],
            block=spec.block,
            alpha=spec.alpha,
            weight=None if weight is None else weight[rows],
            threshold=threshold,
            seed=seed,
        )
        found.append((column, value, labels, against))
    tested = [against.worse for *_, against in found if against is not None and against.sufficient]
    adjusted = iter(holm(tested))
    return [
        _tested(Segment(column=column, value=value, labels=labels, outcome="open"), against, next(adjusted), spec)
        if against is not None and against.sufficient
        else _insufficient(column, value, labels, against, spec)
        for column, value, labels, against in found
    ]


def _rows_of(
    protect: Sequence[str], segments: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    for column in protect:
        values = np.asarray(segments.get(column, ()), dtype=np.str_)
        for value in np.unique(values):
            yield column, str(value), values == value


def _tested(segment: Segment, against: Difference, p_value: float, spec: GateSpec) -> Segment:
    margin, bound = spec.segment_margin, f"at most {against.high:.4f} worse (estimate {against.estimate:+.4f})"
    outcome: Outcome
    if p_value < spec.alpha and against.estimate > margin:
        outcome = "harmed"
        words = f"shown to be worse, by {against.estimate:.4f}, beyond the margin {margin:g} (Holm p {p_value:.3g})"
    elif against.high <= margin:
        outcome, words = "not worse", f"{bound}, within the margin {margin:g}"
    else:
        outcome, words = "open", f"{bound}: neither within the margin {margin:g} nor shown to be harmed"
    return msgspec.structs.replace(
        segment,
        outcome=outcome,
        words=f"{words}, {segment.labels} labels",
        estimate=against.estimate,
        interval=(against.low, against.high),
        p_value=p_value,
    )


def _insufficient(column: str, value: str, labels: int, against: Difference | None, spec: GateSpec) -> Segment:
    if against is None:
        words = f"insufficient: {labels} labels that count, {spec.segment_labels} are needed"
    elif against.method == "DeLong":
        words = f"insufficient: {labels} labels of one class"
    else:
        words = f"insufficient: {say_many(against.blocks, 'block')} of {say_span(spec.block)}, {MIN_BLOCKS} are needed"
    return Segment(column=column, value=value, labels=labels, outcome="insufficient", words=words)
