"""MLflow model folders: the native file in one, and the columns that its signature states. MLflow is not needed.

The layout is https://mlflow.org/docs/latest/model/#storage-format: MLmodel, a file in YAML, names flavors, and each
flavor its file. Only flavors whose file a runtime serves are taken; `python_function` alone is code of a stranger's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from evertrain.core.schema import Column, Kind, Schema
from evertrain.errors import UserError

__all__ = ["MLMODEL", "unfold"]

MLMODEL: Final = "MLmodel"

_FLAVORS: Final = (("lightgbm", "data"), ("xgboost", "data"), ("onnx", "data"), ("sklearn", "pickled_model"))
"""A flavor and the key that names its file, relative to the folder."""

_KINDS: Final[dict[str, Kind]] = {
    "boolean": "bool",
    "integer": "int64",
    "long": "int64",
    "float": "float64",
    "double": "float64",
    "string": "string",
}


class _Column(msgspec.Struct):
    """One line of a signature. MLflow writes `required` since 2.8; what it says nothing of must be there."""

    type: str
    name: str = ""
    required: bool = True


def unfold(folder: Path) -> tuple[Path, Schema | None]:
    """The model file of a folder, and its signature's columns, None where it states none."""
    told = _read(folder / MLMODEL)
    flavors = told.get("flavors")
    if not isinstance(flavors, Mapping):
        raise UserError(f"{folder / MLMODEL} names no flavors.", "Log the model again with MLflow.")
    for flavor, key in _FLAVORS:
        stated = flavors.get(flavor)
        if isinstance(stated, Mapping) and isinstance(stated.get(key), str):
            return _inside(folder, stated[key]), _signature(folder, told)
    raise UserError(
        f"{folder} holds a model of the flavor {', '.join(map(str, flavors)) or 'none'}, which no runtime serves.",
        f"Flavors that are served: {', '.join(flavor for flavor, _ in _FLAVORS)}.",
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise UserError(
            "A model folder of MLflow needs the package pyyaml.", "Install it: pip install 'evertrain[mlflow]'."
        ) from error
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {str(error).splitlines()[0]}.", "Copy the whole folder.") from error
    if not isinstance(found, Mapping):
        raise UserError(f"{path} is no description of a model.", "Copy the whole folder.")
    return found


def _inside(folder: Path, name: str) -> Path:
    """The file of that name, which must lie in the folder; a folder of it holds one file, as ONNX does."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise UserError(f"{folder / MLMODEL} names {name}, which lies outside of the folder.", "Do not use it.")
    if not path.exists():
        raise UserError(f"{folder / MLMODEL} names {name}, which is not there.", "Copy the whole folder.")
    return path


def _signature(folder: Path, told: Mapping[str, Any]) -> Schema | None:
    stated = told.get("signature")
    inputs = stated.get("inputs") if isinstance(stated, Mapping) else None
    if not isinstance(inputs, str):
        return None
    try:
        columns = msgspec.json.decode(inputs, type=list[_Column])
    except msgspec.DecodeError as error:
        raise UserError(f"The signature in {folder / MLMODEL} cannot be read: {error}.", "Use --schema.") from error
    if not columns or any(column.type == "tensor" or not column.name for column in columns):
        return None
    strange = [column for column in columns if column.type not in _KINDS]
    if strange:
        raise UserError(
            f"Column {strange[0].name!r} of the signature has the type {strange[0].type!r}, which no request holds.",
            f"Types: {', '.join(_KINDS)}.",
        )
    return Schema(
        tuple(
            Column(
                name=column.name,
                type=_KINDS[column.type],
                # A number that is missing is NaN to the model, whatever the signature says of the column.
                nullable=not column.required or _KINDS[column.type] == "float64",
            )
            for column in columns
        )
    )
