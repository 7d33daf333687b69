"""How much one column alone tells of the label: too much is a leak, not a find.

A column is cut into bins (its categories, or quantiles of its numbers; missing is a bin of its own), and each bin is
given the mean label that it has in the *other* half of the entities. So a column of ids, whose bins never come again,
tells nothing, and neither does luck. How well these means order the labels is the column's figure: the AUC of a label
of 0 and 1, the correlation of any other.
"""

from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.metric import auc

__all__ = ["LEAK", "SUSPECT", "Tell", "bins_of", "is_binary", "tell"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAK: Final = 0.98
"""From this figure on a column all but gives the label away."""
SUSPECT: Final = 0.9
"""From this figure on somebody should look at a column."""

MISSING: Final = -1
_MOST_BINS: Final = 64
_DISTINCT: Final = 256
_PRIOR_ROWS: Final = 1.0


class Tell(msgspec.Struct, frozen=True, kw_only=True):
    """What a column says of the label. by: its values, or merely whether there is one.

    missing: for a label of 0 and 1, the share of rows without a value where the label is 0, and where it is 1.
    """

    figure: float
    metric: Literal["AUC", "correlation"]
    by: Literal["value", "missing"]
    missing: tuple[float, float] | None = None


def tell(bins: Ints, label: Floats, side: NDArray[np.bool_]) -> Tell:
    """How much a column tells. Arrays of length n: the bin of each row (MISSING without a value), its label, and in
    which half of the entities it is. NaN where nothing can be said: one class only, or no spread.

    >>> label = np.array([0.0, 1.0] * 50)
    >>> side = np.arange(100) % 4 < 2
    >>> tell(label.astype(np.int64), label, side).figure, tell(np.arange(100), label, side).figure
    (1.0, 0.5)
    """
    absent = (bins == MISSING).astype(np.int64)
    by_value, by_absence = (_figure(one, label, side) for one in (bins, absent))
    binary = is_binary(label)
    shares = None
    if binary and 0 < absent.sum() < len(absent):
        shares = (float(absent[label < 0.5].mean()), float(absent[label >= 0.5].mean()))
    only_absence = by_absence >= min(by_value, LEAK)
    return Tell(
        figure=max(by_value, by_absence) if only_absence else by_value,
        metric="AUC" if binary else "correlation",
        by="missing" if only_absence and shares is not None else "value",
        missing=shares,
    )


def bins_of(values: Floats) -> Ints:
    """The bin of each number: the number itself where there are few, else its quantile; NaN is MISSING.

    >>> bins_of(np.array([3.0, np.nan, 1.0, 3.0])).tolist()
    [1, -1, 0, 1]
    """
    there = np.isfinite(values)
    found = np.full(len(values), MISSING, dtype=np.int64)
    distinct, index = np.unique(values[there], return_inverse=True)
    if len(distinct) <= _DISTINCT:
        found[there] = index
        return found
    edges = np.unique(np.quantile(values[there], np.linspace(0.0, 1.0, _MOST_BINS + 1)[1:-1]))
    found[there] = np.searchsorted(edges, values[there], side="left")
    return found


def is_binary(label: Floats) -> bool:
    """Whether every label is 0 or 1."""
    return bool(np.isin(label, (0.0, 1.0)).all())


def _figure(bins: Ints, label: Floats, side: NDArray[np.bool_]) -> float:
    expected = _out_of_fold(bins, label, side)
    if is_binary(label):
        return auc(label, expected)
    if np.ptp(expected) == 0.0 or np.ptp(label) == 0.0:
        return 0.0
    return float(np.corrcoef(expected, label)[0, 1])


def _out_of_fold(bins: Ints, label: Floats, side: NDArray[np.bool_]) -> Floats:
    """The mean label of each row's bin among the other half, drawn a little towards the mean of all."""
    base = float(label.mean()) if len(label) else 0.0
    _, index = np.unique(bins, return_inverse=True)
    count = int(index.max()) + 1 if len(index) else 0
    expected = np.full(len(label), base)
    for half in (side, ~side):
        rows = np.bincount(index[half], minlength=count)
        sums = np.bincount(index[half], weights=label[half], minlength=count)
        means = (sums + _PRIOR_ROWS * base) / (rows + _PRIOR_ROWS)
        expected[~half] = means[index[~half]]
    return expected
