"""A model that is a Python file with a function `predict(rows)`. It is run only after its signature was checked."""

import math
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evertrain.core.identity import digest_of_bytes, short
from evertrain.core.model import Output
from evertrain.core.schema import Input, Value
from evertrain.errors import ModelError, PackageError, say_raised
from evertrain.runtime.naming import name_of

__all__ = ["CallableModel"]


class CallableModel:
    """`predict` gets a list of dicts, one a row, from input name to value; it returns one number a row.

    Where its service answers with classes, it returns a probability for each: a list in their order, or a dict by name.
    """

    def __init__(self, path: Path, vector: Sequence[Input], output: Output | None = None) -> None:
        self._names = tuple(item.name for item in vector)
        self._vector = tuple(vector)
        self._classes = () if output is None else output.names
        self._predict = _function_of(path)

    def score(self, vectors: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
        for values in vectors:
            if len(values) != len(self._names):
                raise ModelError(f"A vector of {len(values)} values came for a model of {len(self._names)} inputs.")
        rows = [dict(zip(self._names, self._known(values), strict=True)) for values in vectors]
        answered = _called(self._predict, rows)
        return self._probabilities(answered, len(rows)) if self._classes else self._numbers(answered, len(rows))

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if rows.ndim != 2 or rows.shape[1] != len(self._names):
            raise ModelError(f"Rows of shape {rows.shape} came for a model of {len(self._names)} inputs.")
        return self.score(
            [[_decoded(item, value) for item, value in zip(self._vector, row, strict=True)] for row in rows.tolist()]
        )

    def _known(self, values: Sequence[Value]) -> list[Value]:
        """A category that is not in a pinned list is missing, as it is for every other kind of model."""
        return [
            None if item.categories is not None and value not in item.categories else value
            for item, value in zip(self._vector, values, strict=True)
        ]

    def _probabilities(self, result: Any, rows: int) -> NDArray[np.float64]:
        remedy = f"Return the probabilities of {', '.join(self._classes[:8])} for each row."
        try:
            lists = [[one[name] for name in self._classes] if isinstance(one, dict) else one for one in result]
            scores = np.asarray(lists, dtype=np.float64)
        except (TypeError, ValueError, KeyError) as error:
            raise ModelError(
                f"predict returned no probabilities of the classes: {say_raised(error)}.", remedy
            ) from error
        if rows and scores.shape != (rows, len(self._classes)):
            raise ModelError(f"predict returned {scores.shape} probabilities for {rows} rows.", remedy)
        return scores.reshape(rows, len(self._classes))

    def _numbers(self, result: Any, rows: int) -> NDArray[np.float64]:
        try:
            scores = np.asarray([math.nan if score is None else score for score in result], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ModelError(f"predict returned no sequence of numbers: {error}.", "Return one float a row.") from error
        if scores.shape != (rows,):
            raise ModelError(f"predict returned {scores.shape} scores for {rows} rows.", "Return one float a row.")
        return scores


def _decoded(item: Input, value: float) -> Value:
    if math.isnan(value):
        return None
    return value if item.categories is None else item.categories[int(value)]


def _function_of(path: Path) -> Callable[[list[dict[str, Value]]], Any]:
    source = path.read_bytes()
    module = types.ModuleType(f"_evertrain_model_{short(digest_of_bytes(source))}")
    module.__file__ = str(path)
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - signed and admitted by the caller
    except ModuleNotFoundError as error:
        raise PackageError.of_module(name_of(path), error) from error
    except (Exception, SystemExit) as error:
        raise ModelError(f"{name_of(path)} cannot be run: {say_raised(error)}.") from error
    predict = getattr(module, "predict", None)
    if not callable(predict):
        raise ModelError(f"{name_of(path)} has no function predict.", "Define predict(rows) in it.")
    return predict  # type: ignore[no-any-return]


def _called(predict: Callable[[list[dict[str, Value]]], Any], rows: list[dict[str, Value]]) -> Any:
    try:
        return predict(rows)
    except ModuleNotFoundError as error:
        raise PackageError.of_module("predict", error) from error
    except (Exception, SystemExit) as error:  # user code may raise anything; it is charged to its version
        raise ModelError(f"predict raised {say_raised(error)}") from error
