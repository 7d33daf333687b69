"""The value of one window, from its total or from its rows."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final, cast

from evertrain.config.declaration import WindowSpec
from evertrain.core.schema import Value

__all__ = ["finish", "fold_values"]


def finish(feature: WindowSpec, count: int, total: int) -> Value:
    """The value of one window from its count and integer total; the same single division as for many at once.

    >>> from evertrain.core.identity import SourceName
    >>> mean = WindowSpec(output="m", source=SourceName("s"), entity=(), fold="mean", column="c", scale=100)
    >>> finish(mean, 3, 250), finish(mean, 0, 0)
    (0.8333333333333334, None)
    """
    if feature.fold == "count":
        return count
    if feature.fold == "sum":
        return total if feature.scale == 1 else float(total) / float(feature.scale)
    return float(total) / float(count * feature.scale) if count else None


def fold_values(feature: WindowSpec, values: Sequence[Value], *, fractional: bool) -> Value:
    """The value of one window from its non-null values, whatever their order. fractional: the column holds floats.

    Sums of floats are exact sums, rounded once (math.fsum). A NaN among the values makes the result missing.

    >>> from evertrain.core.identity import SourceName
    >>> total = WindowSpec(output="m", source=SourceName("s"), entity=(), fold="sum", column="c")
    >>> fold_values(total, [1e16, 1.0, -1e16], fractional=True)
    1.0
    """
    if feature.fold == "count":
        return len(values)
    numbers = _numbers(values)
    # Looked at one by one only where it may matter: infinities of both signs have no sum either.
    if math.isnan(sum(numbers)) and any(map(math.isnan, numbers)):
        return None
    if feature.fold in _EXTREMES:
        if not numbers:
            return None
        extreme = _EXTREMES[feature.fold](numbers)
        return extreme if feature.scale == 1 else float(extreme) / float(feature.scale)
    total = _total(numbers) if fractional else sum(numbers)
    if feature.fold == "sum":
        return total if feature.scale == 1 or total is None else float(total) / float(feature.scale)
    return float(total) / float(len(numbers) * feature.scale) if numbers and total is not None else None


def _numbers(values: Sequence[Value]) -> Sequence[float]:
    if set(map(type, values)) <= {int, float}:
        return cast("Sequence[float]", values)
    return [int(value) if isinstance(value, bool) else value for value in values if isinstance(value, int | float)]


_EXTREMES: Final[dict[str, Callable[[Sequence[float]], float]]] = {"min": min, "max": max}


def _total(numbers: Sequence[float]) -> float | None:
    """The exact sum, rounded once; None where there is no number to tell."""
    try:
        return math.fsum(numbers)
    except ValueError:  # infinities of both signs
        return None
    except OverflowError:  # on the way to a sum, so it depends on the order
        infinities = {number for number in numbers if math.isinf(number)}
        if infinities:
            return infinities.pop() if len(infinities) == 1 else None
    try:
        return float(sum(map(Fraction, numbers)))
    except OverflowError:
        return None
