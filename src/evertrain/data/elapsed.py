"""Times of a request as features: how long ago each was at the prediction time."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["days_since"]

_DAY: Final = 86_400_000_000.0


def days_since(columns: dict[str, NDArray[Any]], q: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Days from each time to q, by `days_since_<name>`; NaN where the time is missing, negative where it is to come.

    columns: instants in microseconds, length n. q: prediction times in microseconds, length n.

    >>> day = 86_400_000_000
    >>> days_since({"joined": np.array([0.0, np.nan])}, np.array([3 * day, day]))["days_since_joined"].tolist()
    [3.0, nan]
    """
    return {f"days_since_{name}": (q - values.astype(np.float64)) / _DAY for name, values in columns.items()}
