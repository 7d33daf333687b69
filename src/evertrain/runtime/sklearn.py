"""scikit-learn estimators in skops files. A pickle is never read: loading one runs whatever code is in it."""

import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evertrain.core.identity import Digest
from evertrain.core.model import Output
from evertrain.core.schema import Input, Value
from evertrain.errors import ModelError, PackageError, TrustError, say_raised
from evertrain.runtime.bundled import bind
from evertrain.runtime.classes import Arrangement
from evertrain.runtime.estimator import Steps, address_by_place, parts_of, reads_text
from evertrain.runtime.library import import_without
from evertrain.runtime.naming import name_of
from evertrain.runtime.protocol import Codec

__all__ = ["EstimatorModel", "SklearnModel"]

_OWN = ("sklearn.", "numpy.dtype", "numpy.number")
_CHECKING = frozenset({"functools.partial", "sklearn.utils.validation.check_array"})
"""What a histogram ensemble that knows its categories by name holds; no other function is taken with arguments."""


class EstimatorModel:
    """An estimator: the probability of its second class, or of each of its classes, or its value.

    It is given numbers, categories as their places in the pinned lists; or, when it was fitted on their texts, rows of
    objects with the texts, where what is missing and what is not in a pinned list is NaN. name: of its file. numbered:
    classes that it knows by numbers are places among those of the output, and not names.
    """

    def __init__(
        self, name: str, estimator: Any, vector: Sequence[Input], output: Output, *, numbered: bool = False
    ) -> None:
        self._codec = Codec(vector)
        self._known = tuple(None if item.categories is None else frozenset(item.categories) for item in vector)
        width = getattr(estimator, "n_features_in_", len(vector))
        if width != len(vector):
            raise ModelError(
                f"{name} takes {width} inputs, but its manifest names {len(vector)}.",
                "Declare exactly the columns that it was trained on, in their order.",
            )
        self._output = output
        own = getattr(estimator, "classes_", ())
        if output.kind == "probability" and len(own) != 2:
            raise ModelError(
                f"{name} is no classifier of two classes.",
                "Say what it gives: `serve --classes A,B,C` for more classes, `serve --output value` for a number.",
            )
        self._arranged = Arrangement(name, list(own), output, numbered=numbered) if output.names else None
        address_by_place(estimator)
        for part in parts_of(estimator):
            if getattr(part, "n_jobs", None) is not None:
                part.n_jobs = 1
        self._text = reads_text(estimator)
        self._steps = Steps(estimator)

    def score(self, vectors: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
        if not self._text:
            return self.predict(self._codec.rows(vectors))
        if any(len(values) != len(self._known) for values in vectors):
            raise ModelError(f"A vector of another length came for a model of {len(self._known)} inputs.")
        told = np.empty((len(vectors), len(self._known)), dtype=object)
        for place, known in enumerate(self._known):
            told[:, place] = [_cell(values[place], known) for values in vectors]
        return self._answer(told)

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if rows.ndim != 2 or rows.shape[1] != len(self._codec.vector):
            raise ModelError(f"Rows of shape {rows.shape} came for a model of {len(self._codec.vector)} inputs.")
        return self._answer(self._texts(rows) if self._text else rows)

    def _answer(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        if not len(rows):
            return np.empty((0, len(self._output.names)) if self._arranged else 0, dtype=np.float64)
        try:
            if self._arranged is not None:
                return self._arranged.spread(self._steps.probabilities(rows))
            return self._steps.values(rows) if self._output.kind == "value" else self._steps.probabilities(rows)[:, 1]
        except Exception as error:  # an estimator may hold anybody's code; what it raises is charged to its version
            raise ModelError(f"scikit-learn: {say_raised(error)}.") from error

    def _texts(self, rows: NDArray[np.float64]) -> NDArray[np.object_]:
        """The rows as objects, (n, k), with the texts of categories in place of their numbers."""
        told = rows.astype(object)
        for place, item in enumerate(self._codec.vector):
            if item.categories is not None:
                numbers = rows[:, place]
                told[:, place] = [
                    item.categories[int(number)] if number == number else number  # noqa: PLR0124 - NaN is missing
                    for number in numbers
                ]
        return told


def _cell(value: Value, known: frozenset[str] | None) -> object:
    """A value as an estimator that reads text takes it."""
    if value is None or (known is not None and value not in known):
        return math.nan
    return value if isinstance(value, str) else value + 0.0


class SklearnModel(EstimatorModel):
    """An estimator in a skops file, of the scikit-learn that it was trained with.

    bundle, folder: the code of its version, as a digest and unpacked; its classes and functions may be in the file.
    """

    def __init__(
        self,
        path: Path,
        vector: Sequence[Input],
        output: Output,
        environment: Mapping[str, str],
        *,
        bundle: Digest | None = None,
        folder: Path | None = None,
    ) -> None:
        _check_version(path, environment)
        super().__init__(name_of(path), _read(path, bundle, folder), vector, output, numbered=bundle is not None)


def _check_version(path: Path, environment: Mapping[str, str]) -> None:
    """An estimator of another scikit-learn may load and score differently, so it is refused."""
    wanted = environment.get("scikit-learn")
    try:
        installed = importlib.metadata.version("scikit-learn")
    except importlib.metadata.PackageNotFoundError as error:
        raise PackageError(
            "A scikit-learn model needs the packages scikit-learn and skops.",
            "Install them: pip install 'evertrain[sklearn]'.",
        ) from error
    if wanted is not None and wanted != installed:
        raise PackageError(
            f"{name_of(path)} was trained with scikit-learn {wanted}; {installed} is installed here.",
            f"Install scikit-learn=={wanted}, or train it again.",
        )


def _is_function(name: str) -> bool:
    """Whether a dotted name is one of a function, by the custom of writing classes in capitals.

    >>> _is_function("functools.partial"), _is_function("sklearn.tree._tree.Tree")
    (True, False)
    """
    return name.rpartition(".")[2].islower() and not name.startswith("numpy.")


def _read(path: Path, bundle: Digest | None, folder: Path | None) -> Any:
    # Importing pandas takes as long as all the rest, and an array needs none of it.
    skops = import_without("skops.io", ("pandas",))
    content, package = bind(path.read_bytes(), path.name, bundle, folder)
    listed = skops.get_untrusted_types(data=content)
    unknown = [name for name in listed if not package or not name.startswith(package)]
    own = _CHECKING if _CHECKING.issuperset(name for name in unknown if _is_function(name)) else frozenset()
    strangers = [name for name in unknown if not name.startswith(_OWN) and name not in own]
    if strangers:
        raise TrustError(
            f"{name_of(path)} needs code that is not scikit-learn's: {', '.join(strangers)}.",
            "Use estimators of scikit-learn itself, classes and functions of the declaration, or a predict function.",
        )
    # What is left are the version's own, and inner classes that skops does not list, like trees of an ensemble.
    return skops.loads(content, trusted=listed)
