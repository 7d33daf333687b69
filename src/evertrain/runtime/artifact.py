"""From a model file to a model: which kind it is, what it says of itself, and how it is loaded."""

import ast
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from evertrain.core.model import Format, Manifest
from evertrain.errors import UserError
from evertrain.runtime.description import Description
from evertrain.runtime.estimator import ENCODERS
from evertrain.runtime.gentle import without_collection
from evertrain.runtime.onnx_file import is_onnx
from evertrain.runtime.pickle_file import is_pickle, look_into
from evertrain.runtime.protocol import Model
from evertrain.runtime.xgboost_file import is_xgboost

__all__ = ["describe", "load", "recognise"]

_KNOWN = (
    "Give a LightGBM text model, an XGBoost model (UBJSON or JSON), an ONNX file, a skops file, an MLflow model "
    "folder, a pickle that you trust, or a Python file with predict(rows)."
)
_OF_OBJECTS: Final = ("sklearn", "pickle")
"""Kinds that may consist of very many Python objects, few of which refer to themselves."""
_TABLES = (".csv", ".tsv", ".parquet", ".pq", ".jsonl", ".ndjson", ".arrow", ".arrows", ".feather", ".xlsx")
_TABLE_HEADS = (b"PAR1", b"ARROW1")


def load(manifest: Manifest, model_path: Path, bundle_folder: Path | None = None, *, gently: bool = False) -> Model:
    """Load a model that was admitted: its bytes and signatures were checked by `store.signature.admit`.

    bundle_folder: the unpacked bundle of its version; a scikit-learn estimator that was trained from it may hold its
    classes and functions. A file that was brought in may not: it would choose what they are called with.
    gently: other threads of this process answer requests meanwhile, and are not to be held up; it may take longer.
    ModelError when it cannot be loaded, with the reason.
    """
    if gently and manifest.format in _OF_OBJECTS:
        with without_collection():
            return _load(manifest, model_path, bundle_folder, gently=True)
    return _load(manifest, model_path, bundle_folder, gently=gently)


def _load(manifest: Manifest, model_path: Path, bundle_folder: Path | None, *, gently: bool) -> Model:
    match manifest.format:
        case "lightgbm":
            from evertrain.runtime.lightgbm import LightGBMModel

            return LightGBMModel(model_path, manifest.vector, manifest.output)
        case "xgboost":
            from evertrain.runtime.xgboost import XGBoostModel

            return XGBoostModel(model_path, manifest.vector, manifest.output)
        case "onnx":
            from evertrain.runtime.onnx import OnnxModel

            return OnnxModel(model_path, manifest.vector, manifest.output)
        case "sklearn":
            from evertrain.runtime.sklearn import SklearnModel

            return SklearnModel(
                model_path,
                manifest.vector,
                manifest.output,
                manifest.environment,
                bundle=None if manifest.origin == "import" else manifest.bundle,
                folder=bundle_folder,
            )
        case "pickle":
            from evertrain.runtime.pickled import PickledModel

            return PickledModel(model_path, manifest.vector, manifest.output, manifest.environment, gently=gently)
        case "callable":
            from evertrain.runtime.callable import CallableModel

            return CallableModel(model_path, manifest.vector, manifest.output)


def describe(path: Path, kind: Format) -> Description:
    """What the file says of itself; nothing in it is run. ModelError when it is damaged or has several outputs."""
    match kind:
        case "lightgbm":
            from evertrain.runtime.lightgbm_file import describe_lightgbm

            return describe_lightgbm(path.name, path.read_bytes())
        case "xgboost":
            from evertrain.runtime.xgboost_file import describe_xgboost

            return describe_xgboost(path.name, path.read_bytes())
        case "onnx":
            from evertrain.runtime.onnx_file import describe_onnx

            return describe_onnx(path.name, path.read_bytes())
        case "sklearn":
            from evertrain.runtime.skops_file import describe_skops

            return describe_skops(path)
        case "pickle":
            contents = look_into(path.read_bytes())
            return Description(text=not contents.whole or any(_is_encoder(name) for name in contents.names))
        case "callable":
            return Description(text=True)


def _is_encoder(name: str) -> bool:
    return name.rpartition(".")[2] in ENCODERS


def recognise(path: Path) -> Format:
    """The kind of a model file, from its bytes; nothing in it is run. UserError when it is none that can be served."""
    if path.is_dir():
        raise UserError(f"{path} is a folder without a file MLmodel.", _KNOWN)
    try:
        with path.open("rb") as file:
            head = file.read(256)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Name a model file.") from error
    if not head:
        raise UserError(f"{path} is empty.", _KNOWN)
    kind = _recognise_native(path, head)
    if kind is None and (head.startswith(_TABLE_HEADS) or path.suffix.lower() in _TABLES):
        raise UserError(
            f"{path} is a table of rows, and no model.",
            f"`evertrain init NAME --data {path}` makes a service that trains on it; for a model that takes such rows, "
            "it is what --sample wants.",
        )
    if kind is None:
        raise UserError(f"{path} is no model file that evertrain knows.", _KNOWN)
    return kind


def _recognise_native(path: Path, head: bytes) -> Format | None:
    if head.startswith((b"binf", b"bs64")):
        raise UserError(
            f"{path} is an XGBoost model in the binary format of before 2020.",
            'Load it with that XGBoost and save it with save_model("model.ubj").',
        )
    if path.suffix == ".py":
        return _recognise_python(path)
    looks: tuple[tuple[Format, Callable[[], bool]], ...] = (
        ("lightgbm", lambda: head.startswith((b"tree\n", b"tree\r\n"))),
        ("xgboost", lambda: is_xgboost(head)),
        ("sklearn", lambda: head.startswith(b"PK\x03\x04") and _is_skops(path)),
        ("pickle", lambda: is_pickle(head)),
        ("onnx", lambda: head.startswith(b"\x08") and is_onnx(path.read_bytes())),
    )
    return next((kind for kind, looks_like in looks if looks_like()), None)


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
