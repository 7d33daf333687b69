"""What every model that answers requests can do, however it was made, and how values become its numbers."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evertrain.core.schema import Input, Value
from evertrain.errors import ModelError

__all__ = ["Codec", "Model", "encode"]


_NAN = float("nan")


class Model(Protocol):
    """A loaded model. Calls are pure and may come from several threads; a batch is answered like its rows one by one,
    bit for bit.

    score: vectors of values as they are logged (numbers, category texts, None) to one float64 each; of a model of
    classes to the probability of each, float64 of shape (n, classes), in the order of the output.
    predict: the same from encoded rows, (n, k) float64.
    Both raise ModelError when the model cannot answer; a score that is not finite is returned as it is.
    """

    def score(self, vectors: Sequence[Sequence[Value]]) -> NDArray[np.float64]: ...

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]: ...


class Codec:
    """Turns vectors of values into float64 rows, by the pinned categories of a version."""

    def __init__(self, vector: Sequence[Input]) -> None:
        self.vector = tuple(vector)
        self._indices = [None if item.categories is None else _index(item.categories) for item in vector]

    def rows(self, vectors: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
        """(n, k) float64, C order. None, and a category that training never saw, become NaN."""
        encoded = np.empty((len(vectors), len(self.vector)), dtype=np.float64)
        for row, values in zip(encoded, vectors, strict=True):
            row[:] = self.row(values)
        return encoded

    def row(self, values: Sequence[Value]) -> list[float]:
        """One vector, as floats."""
        if len(values) != len(self.vector):
            raise ModelError(f"A vector of {len(values)} values came for a model of {len(self.vector)} inputs.")
        encoded = []
        try:
            for value, index in zip(values, self._indices, strict=True):
                if value is None:
                    encoded.append(_NAN)
                elif index is not None:
                    encoded.append(index.get(value, _NAN))
                else:
                    # Adding a float, not float(): that would read the text "12" as a number.
                    encoded.append(value + 0.0)  # type: ignore[operator]
        except (TypeError, OverflowError) as error:
            raise ModelError(
                f"A vector holds a value that is no number where no categories are pinned: {error}.",
                "Declare the column as a category, or leave it out of the vector.",
            ) from error
        return encoded


def _index(categories: Sequence[str]) -> dict[Value, float]:
    return {text: float(number) for number, text in enumerate(categories)}


def encode(vector: Sequence[Input], values: Sequence[Value]) -> NDArray[np.float64]:
    """One vector of values as a (k,) float64 row.

    >>> encode([Input(name="shop", categories=("a", "b")), Input(name="n")], ["b", 2]).tolist()
    [1.0, 2.0]
    >>> encode([Input(name="shop", categories=("a", "b")), Input(name="n")], ["z", None]).tolist()
    [nan, nan]
    """
    return np.array(Codec(vector).row(values), dtype=np.float64)
