"""Estimators in pickles and joblib files. Loading one runs whatever code is in it, so only signed bytes come here:
`store.signature.admit` lets a pickle through that a person of this installation has trusted, and no other."""

import importlib.metadata
import io
import pickle
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evertrain.core.model import Output
from evertrain.core.schema import Input
from evertrain.errors import ModelError, PackageError
from evertrain.runtime.gentle import unpickle_gently
from evertrain.runtime.naming import name_of
from evertrain.runtime.pickle_file import look_into
from evertrain.runtime.sklearn import EstimatorModel

__all__ = ["PickledModel"]

_MAY_DIFFER = ("numpy",)


class PickledModel(EstimatorModel):
    """Anything with `predict_proba`, or with `predict` where the output is a value; it takes (n, k) arrays.

    gently: whether others answer requests meanwhile, in this process.
    """

    def __init__(
        self,
        path: Path,
        vector: Sequence[Input],
        output: Output,
        environment: Mapping[str, str],
        *,
        gently: bool = False,
    ) -> None:
        _check_versions(path, environment)
        estimator = _read(path, unpickle_gently if gently else pickle.loads)
        wanted = "predict" if output.kind == "value" else "predict_proba"
        if not callable(getattr(estimator, wanted, None)):
            raise ModelError(
                f"{name_of(path)} holds a {type(estimator).__name__}, which has no {wanted}.",
                "Serve it with `--output value`." if wanted == "predict_proba" else "Save an estimator.",
            )
        super().__init__(name_of(path), estimator, vector, output)


def _check_versions(path: Path, environment: Mapping[str, str]) -> None:
    """A pickle is bound to the code that wrote it: another version may load it and score differently."""
    for name, wanted in environment.items():
        if name in _MAY_DIFFER:
            continue
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise PackageError(f"{name_of(path)} needs the package {name}.", f"Install {name}=={wanted}.") from error
        if installed != wanted:
            raise PackageError(
                f"{name_of(path)} was taken in with {name} {wanted}; {installed} is installed here.",
                f"Install {name}=={wanted}, or push the file again.",
            )


def _read(path: Path, unpickle: Callable[[bytes], Any]) -> Any:
    content = path.read_bytes()
    contents = look_into(content)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Trying to unpickle estimator")
            if contents.by_joblib or not contents.whole or not content.startswith(b"\x80"):
                import joblib

                estimator = joblib.load(io.BytesIO(content))
            else:
                estimator = unpickle(content)  # signed by a person, and admitted by the caller
    except ModuleNotFoundError as error:
        raise PackageError.of_module(name_of(path), error) from error
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else ""
        raise ModelError(
            f"{name_of(path)} cannot be loaded: {type(error).__name__}: {first}",
            "Save it with the versions that are installed here; better, save it with skops.io.dump.",
        ) from error
    return estimator
