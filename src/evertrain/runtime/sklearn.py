"""scikit-learn estimators in skops files. A pickle is never read: loading one runs whatever code is in it."""

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evertrain.core.model import Output
from evertrain.core.schema import Input, Value
from evertrain.errors import ModelError, TrustError
from evertrain.runtime.protocol import Codec

__all__ = ["SklearnModel"]

_ROWS_STAND_ALONE = ("sklearn.ensemble.", "sklearn.tree.", "sklearn.dummy.")
"""Estimators that answer a row of a matrix exactly as they answer it alone; the others are called row by row, since a
matrix product may round the same row differently in a batch."""

_OWN = ("sklearn.", "numpy.dtype")


class SklearnModel:
    """An estimator: the probability of its second class, or its value."""

    def __init__(self, path: Path, vector: Sequence[Input], output: Output, environment: Mapping[str, str]) -> None:
        _check_version(path, environment)
        self._codec = Codec(vector)
        self._estimator = _read(path)
        width = getattr(self._estimator, "n_features_in_", len(vector))
        if width != len(vector):
            raise ModelError(
                f"{path.name} takes {width} inputs, but its manifest names {len(vector)}.",
                "Declare exactly the columns that it was trained on, in their order.",
            )
        self._probability = output.kind == "probability"
        if self._probability and len(getattr(self._estimator, "classes_", ())) != 2:
            raise ModelError(f"{path.name} is no classifier of two classes.", 'Declare the output\'s kind as "value".')
        self._whole = (type(self._estimator).__module__ + ".").startswith(_ROWS_STAND_ALONE)

    def score(self, vectors: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
        return self.predict(self._codec.rows(vectors))

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if rows.ndim != 2 or rows.shape[1] != len(self._codec.vector):
            raise ModelError(f"Rows of shape {rows.shape} came for a model of {len(self._codec.vector)} inputs.")
        if not len(rows):
            return np.empty(0, dtype=np.float64)
        if self._whole:
            return self._answer(rows)
        return np.concatenate([self._answer(rows[number : number + 1]) for number in range(len(rows))])

    def _answer(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        try:
            if self._probability:
                return np.asarray(self._estimator.predict_proba(rows)[:, 1], dtype=np.float64)
            return np.asarray(self._estimator.predict(rows), dtype=np.float64).reshape(len(rows))
        except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
            raise ModelError(f"scikit-learn: {error}.") from error


def _check_version(path: Path, environment: Mapping[str, str]) -> None:
    """An estimator of another scikit-learn may load and score differently, so it is refused."""
    wanted = environment.get("scikit-learn")
    try:
        installed = importlib.metadata.version("scikit-learn")
    except importlib.metadata.PackageNotFoundError as error:
        raise ModelError(
            "A scikit-learn model needs the packages scikit-learn and skops.",
            "Install them: pip install 'evertrain[sklearn]'.",
        ) from error
    if wanted is not None and wanted != installed:
        raise ModelError(
            f"{path.name} was trained with scikit-learn {wanted}; {installed} is installed here.",
            f"Install scikit-learn=={wanted}, or train it again.",
        )


def _read(path: Path) -> Any:
    import skops.io

    unknown = skops.io.get_untrusted_types(file=path)
    strangers = [name for name in unknown if not name.startswith(_OWN)]
    if strangers:
        raise TrustError(
            f"{path.name} needs code that is not scikit-learn's: {', '.join(strangers)}.",
            "Use estimators of scikit-learn itself, or a predict function.",
        )
    # What is left are inner classes that skops does not list, like the trees of a histogram ensemble.
    estimator = skops.io.load(path, trusted=unknown)
    for part in (estimator, *(step for _, step in getattr(estimator, "steps", ()))):
        # Rows come as plain arrays: names that were remembered would only make it warn at each call.
        if hasattr(part, "feature_names_in_") and type(part).__name__ != "ColumnTransformer":
            del part.feature_names_in_
        if getattr(part, "n_jobs", None) is not None:
            part.n_jobs = 1
    return estimator
