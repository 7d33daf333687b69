"""Estimators in pickles and joblib files. Loading one runs whatever code is in it, so only signed bytes come here:
`store.signature.admit` lets a pickle through that a person of this installation has trusted, and no other."""

import importlib.metadata
import io
import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evertrain.core.model import Output
from evertrain.core.schema import Input, Value
from evertrain.errors import ModelError
from evertrain.runtime.pickle_file import look_into
from evertrain.runtime.protocol import Codec

__all__ = ["PickledModel"]

_MAY_DIFFER = ("numpy",)


class PickledModel:
    """Anything with `predict_proba`, where the output is a probability, or with `predict`; it takes (n, k) arrays.

    Rows are answered one by one, since nobody knows what such a model does with a batch.
    """

    def __init__(self, path: Path, vector: Sequence[Input], output: Output, environment: Mapping[str, str]) -> None:
        _check_versions(path, environment)
        self._codec = Codec(vector)
        self._estimator = _read(path)
        width = getattr(self._estimator, "n_features_in_", len(vector))
        if width != len(vector):
            raise ModelError(
                f"{path.name} takes {width} inputs, but its manifest names {len(vector)}.",
                "Declare exactly the columns that it was trained on, in their order.",
            )
        wanted = "predict_proba" if output.kind == "probability" else "predict"
        self._ask = getattr(self._estimator, wanted, None)
        if not callable(self._ask):
            raise ModelError(
                f"{path.name} holds a {type(self._estimator).__name__}, which has no {wanted}.",
                "Serve it with `--output value`." if wanted == "predict_proba" else "Save an estimator.",
            )

    def score(self, vectors: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
        return self.predict(self._codec.rows(vectors))

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if rows.ndim != 2 or rows.shape[1] != len(self._codec.vector):
            raise ModelError(f"Rows of shape {rows.shape} came for a model of {len(self._codec.vector)} inputs.")
        return np.array([self._answer(rows[number : number + 1]) for number in range(len(rows))], dtype=np.float64)

    def _answer(self, row: NDArray[np.float64]) -> float:
        try:
            numbers = np.asarray(self._ask(row), dtype=np.float64).reshape(-1)  # type: ignore[misc]
        except Exception as error:  # whatever is in the pickle may raise anything; it is charged to its version
            raise ModelError(f"{type(self._estimator).__name__}: {type(error).__name__}: {error}.") from error
        if len(numbers) > 2:
            raise ModelError(
                f"It has {len(numbers)} outputs a row, and a service answers with one score.",
                "Train with one score per row: one model for each class.",
            )
        return float(numbers[-1])


def _check_versions(path: Path, environment: Mapping[str, str]) -> None:
    """A pickle is bound to the code that wrote it: another version may load it and score differently."""
    for name, wanted in environment.items():
        if name in _MAY_DIFFER:
            continue
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise ModelError(f"{path.name} needs the package {name}.", f"Install {name}=={wanted}.") from error
        if installed != wanted:
            raise ModelError(
                f"{path.name} was taken in with {name} {wanted}; {installed} is installed here.",
                f"Install {name}=={wanted}, or push the file again.",
            )


def _read(path: Path) -> Any:
    content = path.read_bytes()
    plain = look_into(content).whole and content[:1] not in (b"\x1f", b"B", b"\xfd", b"x")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Trying to unpickle estimator")
            if plain:
                estimator = pickle.loads(content)  # noqa: S301 - signed by a person, and admitted by the caller
            else:
                import joblib

                estimator = joblib.load(io.BytesIO(content))
    except Exception as error:
        raise ModelError(
            f"{path.name} cannot be loaded: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            "Save it with the versions that are installed here; better, save it with skops.io.dump.",
        ) from error
    for part in (estimator, *(step for _, step in getattr(estimator, "steps", ()))):
        # Rows come as plain arrays: names that were remembered would only make it warn at each call.
        if "feature_names_in_" in getattr(part, "__dict__", {}):
            del part.feature_names_in_
    return estimator
