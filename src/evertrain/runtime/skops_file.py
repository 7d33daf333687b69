"""What a skops file says of its estimator: names and number of columns, and whether it is a classifier.

A skops file is a zip of arrays and a JSON tree of the objects. The tree is read; no object is made.
"""

import importlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from evertrain.core.model import Output
from evertrain.core.schema import Column, Input
from evertrain.errors import ModelError
from evertrain.runtime.classes import output_of
from evertrain.runtime.description import Description
from evertrain.runtime.estimator import ENCODERS
from evertrain.runtime.naming import name_of

__all__ = ["describe_skops"]

_FILLS: Final = frozenset(
    {
        "HistGradientBoostingClassifier",
        "HistGradientBoostingRegressor",
        "IterativeImputer",
        "KNNImputer",
        "SimpleImputer",
    }
)
"""Classes that know what to do with a number that is missing; all others refuse it."""


def describe_skops(path: Path) -> Description:
    """Its columns are numbers, unless an encoder of texts is in it: which of them are text, the file does not say."""
    try:
        with zipfile.ZipFile(path) as archive:
            root = json.loads(archive.read("schema.json"))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ModelError(f"{name_of(path)} is not a whole skops file: {error}.", "Save it again.") from error
    names = next((_texts(node) for key, node in _walk(root) if key == "feature_names_in_"), None)
    width = next((node.get("content") for key, node in _walk(root) if key == "n_features_in_"), None)
    output = _output(path, root)
    classes = {str(node.get("__class__")) for _, node in _walk(root)}
    text, fills = bool(classes & ENCODERS), bool(classes & _FILLS)
    if not names:
        return Description(width=int(width) if width and width.isdecimal() else None, output=output, text=text)
    return Description(
        width=len(names),
        # Which columns an encoder takes stands in the estimator, in forms of its own: a sample tells it better.
        columns=None if text else tuple(Column(name=name, type="float64", nullable=fills) for name in names),
        vector=tuple(Input(name=name) for name in names),
        output=output,
        text=text,
    )


def _walk(node: Any, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node with the name under which it stands, outermost first."""
    if isinstance(node, list):
        for one in node:
            yield from _walk(one)
    elif isinstance(node, dict):
        yield key, node
        for name, one in node.items():
            yield from _walk(one, name)


def _texts(node: dict[str, Any]) -> list[str] | None:
    """The texts of an array that is kept as JSON."""
    content = node.get("content")
    if node.get("type") != "json" or not isinstance(content, list):
        return None
    try:
        found = [json.loads(one["content"]) for one in content]
    except (KeyError, TypeError, ValueError):
        return None
    return found if all(isinstance(one, str) for one in found) else None


def _output(path: Path, root: dict[str, Any]) -> Output | None:
    """By the class of the estimator, the last one of a pipeline; None for a class that is not scikit-learn's."""
    last = root
    while last.get("__class__") == "Pipeline":
        try:
            last = last["content"]["content"]["steps"]["content"][-1]["content"][1]
        except (KeyError, IndexError, TypeError):
            return None
    module = str(last.get("__module__", ""))
    if not module.startswith("sklearn."):
        return None
    try:
        estimator = getattr(importlib.import_module(module), str(last.get("__class__")), None)
    except ImportError:
        return None
    if not hasattr(estimator, "predict_proba"):
        return Output.of_values()
    return output_of(name_of(path), _classes(path, last))


def _classes(path: Path, estimator: dict[str, Any]) -> list[Any]:
    """The classes that a classifier knows, by name or number, in its order; [] where they cannot be told."""
    node = next((node for key, node in _walk(estimator) if key == "classes_"), {})
    if node.get("type") != "numpy":
        return list(_texts(node) or ())
    try:
        with zipfile.ZipFile(path) as archive:
            found = np.load(io.BytesIO(archive.read(str(node.get("file")))), allow_pickle=False)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{name_of(path)} is not a whole skops file: {error}.", "Save it again.") from error
    return list(found.ravel())
