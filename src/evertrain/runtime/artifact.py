"""From a model file to a model: which kind it is, and how it is loaded."""

import ast
import json
import zipfile
from pathlib import Path

from evertrain.core.model import Format, Manifest
from evertrain.errors import UserError
from evertrain.runtime.protocol import Model

__all__ = ["load", "recognise"]

_KNOWN = "Give a LightGBM text model (save_model), a skops file, or a Python file with predict(rows)."


def load(manifest: Manifest, model_path: Path, bundle_folder: Path | None = None) -> Model:  # noqa: ARG001
    """Load a model that was admitted: its bytes and signatures were checked by `store.signature.admit`.

    ModelError when it cannot be loaded, with the reason.
    """
    if manifest.format == "lightgbm":
        from evertrain.runtime.lightgbm import LightGBMModel

        return LightGBMModel(model_path, manifest.vector)
    if manifest.format == "sklearn":
        from evertrain.runtime.sklearn import SklearnModel

        return SklearnModel(model_path, manifest.vector, manifest.output, manifest.environment)
    from evertrain.runtime.callable import CallableModel

    return CallableModel(model_path, manifest.vector)


def recognise(path: Path) -> Format:
    """The kind of a model file, from its bytes; nothing in it is run. UserError when it is none that can be served."""
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Name a model file.") from error
    if not head:
        raise UserError(f"{path} is empty.", _KNOWN)
    if head.startswith((b"tree\n", b"tree\r\n")):
        return "lightgbm"
    if head.startswith(b"PK\x03\x04") and _is_skops(path):
        return "sklearn"
    if path.suffix == ".py":
        return _recognise_python(path)
    if head[:1] == b"\x80" or b"joblib" in head or b"sklearn" in head:
        raise UserError(
            f"{path} is a pickle, and loading a pickle runs whatever code is in it.",
            "Save the estimator with skops.io.dump, or the booster with save_model.",
        )
    raise UserError(f"{path} is no model file that evertrain knows.", _KNOWN)


def _is_skops(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "__module__" in json.loads(archive.read("schema.json"))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return False


def _recognise_python(path: Path) -> Format:
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not Python: {error}.", _KNOWN) from error
    if not any(isinstance(node, ast.FunctionDef) and node.name == "predict" for node in tree.body):
        raise UserError(f"{path} has no function predict.", "Define predict(rows: list[dict]) -> list[float] in it.")
    return "callable"
