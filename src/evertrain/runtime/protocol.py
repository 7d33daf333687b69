"""What every model that answers requests can do, however it was made, and how values become its numbers."""

from array import array
from collections.abc import Sequence
from typing import Any, Protocol

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
        categories = [(place, item.categories) for place, item in enumerate(vector) if item.categories is not None]
        self._categories = [(place, _index(texts)) for place, texts in categories]

    def rows(self, vectors: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
        """(n, k) float64, C order. None, and a category that training never saw, become NaN."""
        flat = array("d")
        for values in vectors:
            flat += self.row(values)
        return np.array(flat, dtype=np.float64).reshape(len(vectors), len(self.vector))

    def row(self, values: Sequence[Value]) -> "array[float]":
        """One vector, as doubles."""
        if len(values) != len(self.vector):
            raise ModelError(f"A vector of {len(values)} values came for a model of {len(self.vector)} inputs.")
        found: list[Any] = list(values)
        for place, index in self._categories:
            found[place] = index.get(found[place], _NAN)
        if None in found:
            found = [_NAN if value is None else value for value in found]
        try:
            return array("d", found)
        except (TypeError, OverflowError) as error:
            raise ModelError(
                f"A vector holds a value that is no number where no categories are pinned: {error}.",
                "Declare the column as a category, or leave it out of the vector.",
            ) from error


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
