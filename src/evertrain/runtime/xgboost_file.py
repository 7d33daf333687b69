"""What an XGBoost model file says of itself: read here, so that no library parses a stranger's file to find out."""

import itertools
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from evertrain.core.model import Output
from evertrain.core.schema import Column, Input, Kind
from evertrain.errors import ModelError
from evertrain.runtime.classes import output_of
from evertrain.runtime.description import Description
from evertrain.runtime.ubjson import read_ubjson

__all__ = ["XGBoostFile", "describe_xgboost", "is_xgboost", "read_xgboost"]

_TYPES: Final[dict[str, Kind]] = {"int": "int64", "i": "bool"}
_PROBABILITIES: Final = ("binary:logistic", "reg:logistic")
_CLASSES: Final = "multi:softprob"
_SAVE: Final = 'Save it again with save_model("model.ubj").'


class _Parameters(msgspec.Struct):
    num_feature: str
    num_class: str = "0"
    num_target: str = "1"


class _Objective(msgspec.Struct):
    name: str = ""


class _Learner(msgspec.Struct):
    learner_model_param: _Parameters
    gradient_booster: dict[str, Any]
    objective: _Objective = msgspec.field(default_factory=_Objective)
    feature_names: list[str] = []
    feature_types: list[str] = []
    attributes: dict[str, str] = {}


class _File(msgspec.Struct):
    learner: _Learner


class XGBoostFile(msgspec.Struct, frozen=True, kw_only=True):
    """rounds: how many are used, 0 for all; classes: 1 where there are none.

    names, types: () where it does not say. categories: by column, in codes.
    """

    width: int
    rounds: int
    objective: str
    classes: int = 1
    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    categories: dict[int, tuple[str, ...]] = {}


def is_xgboost(head: bytes) -> bool:
    """Whether a file that begins like this may be an XGBoost model in UBJSON or JSON."""
    return head[:2] in (b"{L", b"{i", b"{l", b"{U") or b'"learner"' in head


def read_xgboost(name: str, content: bytes) -> XGBoostFile:
    """Read a model file; ModelError when it is cut off, or gives several scores a row, and those no probabilities."""
    try:
        if content.lstrip()[1:2] in b'" \n\r\t':
            learner = msgspec.json.decode(content, type=_File).learner
        else:
            learner = msgspec.convert(read_ubjson(content), _File).learner
        width, classes, targets = (
            int(text)
            for text in (
                learner.learner_model_param.num_feature,
                learner.learner_model_param.num_class,
                learner.learner_model_param.num_target,
            )
        )
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, ModelError) as error:
        raise ModelError(f"{name} is not a whole XGBoost model: {error}", _SAVE) from error
    objective = learner.objective.name
    if targets > 1 or classes == 2 or (classes > 2 and objective != _CLASSES):
        raise ModelError(
            f"{name} has {max(classes, targets)} outputs a row under the objective {objective!r}, which are no "
            "probabilities of three classes or more.",
            f'Train classes with objective="{_CLASSES}", two with "binary:logistic", and one model for each target.',
        )
    if learner.gradient_booster.get("name") == "gblinear":
        raise ModelError(f"{name} is a linear booster, which is not served.", "Train trees, or use scikit-learn.")
    return XGBoostFile(
        width=width,
        rounds=_rounds(learner),
        objective=objective,
        classes=max(classes, 1),
        names=tuple(learner.feature_names),
        types=tuple(learner.feature_types),
        categories=_categories(name, learner),
    )


def _rounds(learner: _Learner) -> int:
    """The estimators of the scikit-learn interface answer with the best round of an early stop, boosters with all."""
    best = learner.attributes.get("best_iteration", "")
    return int(best) + 1 if best.isdecimal() and "scikit_learn" in learner.attributes else 0


def _categories(name: str, learner: _Learner) -> dict[int, tuple[str, ...]]:
    """The texts of the categories by column; XGBoost keeps them since 3.1, as offsets into one run of bytes."""
    booster = learner.gradient_booster
    if booster.get("name") == "dart":
        booster = booster.get("gbtree", {})
    kept = booster.get("model", {}).get("cats", {}).get("enc", [])
    found = {}
    for column, one in enumerate(kept):
        values, offsets = one.get("values", []), one.get("offsets")
        if not values:
            continue
        if offsets is None:
            raise ModelError(f"{name}: the categories of column {column} are numbers.", "Train with texts or numbers.")
        found[column] = _texts(name, values, offsets)
    return found


def _texts(name: str, values: Sequence[int], offsets: Sequence[int]) -> tuple[str, ...]:
    try:
        # Bytes are written as signed numbers.
        run = bytes(value & 0xFF for value in values)
        return tuple(run[start:end].decode() for start, end in itertools.pairwise(offsets))
    except (TypeError, UnicodeDecodeError) as error:
        raise ModelError(f"{name}: its categories cannot be read: {error}.", _SAVE) from error


def describe_xgboost(name: str, content: bytes) -> Description:
    """Its columns by name and type; columns without a name are called f0, f1 and so on, as XGBoost calls them."""
    told = read_xgboost(name, content)
    names = told.names or tuple(f"f{number}" for number in range(told.width))
    types = told.types or ("float",) * told.width
    columns, vector = [], []
    for place, (column, kind) in enumerate(zip(names, types, strict=False)):
        texts = told.categories.get(place)
        stored: Kind = "string" if texts is not None else _TYPES.get(kind, "float64")
        columns.append(Column(name=column, type=stored, nullable=True))
        vector.append(Input(name=column, categories=texts))
    if told.classes > 1:
        output = output_of(name, range(told.classes))
    else:
        output = Output() if told.objective in _PROBABILITIES else Output.of_values()
    return Description(
        width=told.width, columns=tuple(columns), vector=tuple(vector), generic=not told.names, output=output
    )
