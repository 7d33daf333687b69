"""What a recipe returned, as a file in a native format: the same model gives the same bytes.

LightGBM writes its text, XGBoost its UBJSON, ONNX its protocol buffer, scikit-learn goes through skops (never a
pickle); all are made free of memory addresses, random names and clock times, so that a digest says whether two
trainings made the same model.
"""

import io
import json
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from evertrain.core.lock import Lock
from evertrain.core.model import Format
from evertrain.errors import ModelError, PackageError
from evertrain.runtime.bundled import SCHEMA, name_by_code
from evertrain.runtime.onnx_file import is_onnx

__all__ = ["environment_of", "locked_environment", "native", "renumbered"]

_NEEDS: Final[dict[Format, tuple[str, ...]]] = {
    "lightgbm": ("lightgbm", "numpy"),
    "xgboost": ("xgboost", "numpy"),
    "onnx": ("onnxruntime", "numpy"),
    "sklearn": ("scikit-learn", "skops", "numpy", "scipy"),
    "pickle": ("numpy",),
    "callable": ("numpy",),
}
_ALSO_AS: Final = {"xgboost": ("xgboost-cpu",), "onnxruntime": ("onnxruntime-gpu",)}
"""Other packages that bring the same library."""

_EPOCH = (1980, 1, 1, 0, 0, 0)


def environment_of(kind: Format) -> dict[str, str]:
    """Name to version of each package that a model of this format needs when it is loaded."""
    found = {}
    for name in _NEEDS[kind]:
        there = next((one for one in (name, *_ALSO_AS.get(name, ())) if _version(one) is not None), None)
        if there is None:
            raise PackageError(
                f"A {kind} model needs the package {name}, which is not installed.",
                f"Install it: pip install 'evertrain[{kind}]'.",
            )
        found[there] = version(there)
    return found


def locked_environment(kind: Format, lock: Lock) -> dict[str, str]:
    """The same of a lock, where it decides; PackageError where it lacks what neither it nor evertrain brings."""
    found = {}
    for name in _NEEDS[kind]:
        there = next((one for one in (name, *_ALSO_AS.get(name, ())) if lock.names(one)), None)
        if there is None and name != "numpy":
            raise PackageError(
                f"A {kind} model needs the package {name}, and the lock does not name it.",
                "Add it to what the lock is made from, and lock anew.",
            )
        version = None if there is None else lock.version(there)
        if there is not None and version is not None:
            found[there] = version
    return found


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def native(model: object, bundle_folder: Path | None = None) -> bytes | Path:
    """The bytes of a trained model, or the path that the recipe returned.

    bundle_folder: the unpacked bundle of the recipe; an estimator may hold classes and functions of it.

    Takes a LightGBM or XGBoost booster (or its scikit-learn wrapper, whose booster is kept), a scikit-learn estimator,
    an ONNX model or its bytes, a path.
    """
    if isinstance(model, str | Path):
        return Path(model)
    if isinstance(model, bytes) and is_onnx(model):
        return model
    booster = getattr(model, "booster_", model)
    if _comes_from(booster, "lightgbm", "predict"):
        return _lightgbm_text(booster)
    if _comes_from(model, "xgboost", "predict"):
        return _xgboost_file(model)
    if _comes_from(model, "onnx", "SerializeToString"):
        return _onnx_file(model)
    if _comes_from(model, "sklearn", "predict"):
        return _skops_file(model, bundle_folder)
    raise ModelError(
        f"The recipe returned {type(model).__module__}.{type(model).__qualname__}, which no runtime serves.",
        "Return a LightGBM or XGBoost booster, a scikit-learn estimator, an ONNX model, or the path of a model file.",
    )


def _comes_from(model: object, package: str, method: str) -> bool:
    """Whether the model's class, or a base of it, is of this package; the package is not imported to find out."""
    homes = {base.__module__.split(".")[0] for base in type(model).__mro__}
    return package in homes and callable(getattr(model, method, None))


def _lightgbm_text(booster: Any) -> bytes:
    text: str = booster.model_to_string(num_iteration=booster.best_iteration)
    return text.encode()


def _xgboost_file(model: Any) -> bytes:
    """UBJSON, which the library writes in a fixed order; of a training that stopped early, the rounds up to the best.

    The scikit-learn interface answers with the best round, and a bare booster with all of them.
    """
    estimator = hasattr(model, "get_booster")
    booster = model.get_booster() if estimator else model
    best = booster.attr("best_iteration")
    if estimator and best is not None:
        booster = booster[: int(best) + 1]
    return bytes(booster.save_raw("ubj"))


def _onnx_file(model: Any) -> bytes:
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _skops_file(estimator: object, bundle_folder: Path | None) -> bytes:
    import skops.io

    try:
        content = skops.io.dumps(estimator)
    except Exception as error:
        raise ModelError(
            f"The estimator {type(estimator).__qualname__} cannot be saved: {error}",
            "Use estimators of scikit-learn, or return the path of a model file.",
        ) from error
    return renumbered(content, bundle_folder)


def renumbered(content: bytes, bundle_folder: Path | None = None) -> bytes:
    """A skops file in which memory addresses and random names are replaced by numbers of first appearance.

    Classes and functions of the recipe's bundle go by the digest of their code.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    numbers: dict[str, str] = {}
    schema = _renumber(json.loads(members.pop(SCHEMA)), numbers)
    name_by_code(schema, bundle_folder)
    renamed = {_new_name(name, numbers): body for name, body in members.items()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, body in sorted({**renamed, SCHEMA: json.dumps(schema, sort_keys=True).encode()}.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), body)
    return out.getvalue()


def _renumber(node: Any, numbers: dict[str, str]) -> Any:
    if isinstance(node, list):
        return [_renumber(item, numbers) for item in node]
    if not isinstance(node, dict):
        return node
    changed = {key: _renumber(value, numbers) for key, value in node.items() if key not in {"__id__", "file"}}
    if "__id__" in node:
        changed["__id__"] = int(_number(str(node["__id__"]), numbers))
    if isinstance(node.get("file"), str):
        changed["file"] = _new_name(node["file"], numbers)
    return changed


def _new_name(name: str, numbers: dict[str, str]) -> str:
    stem, dot, suffix = name.partition(".")
    return _number(stem, numbers) + dot + suffix


def _number(name: str, numbers: dict[str, str]) -> str:
    return numbers.setdefault(name, str(len(numbers) + 1))
