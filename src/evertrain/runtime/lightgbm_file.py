"""What a LightGBM text model says of itself: names, categories, number of outputs, objective."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from evertrain.core.model import Output
from evertrain.core.schema import Column, Input
from evertrain.errors import ModelError, UserError
from evertrain.runtime.classes import output_of
from evertrain.runtime.description import Description

__all__ = ["describe_lightgbm", "pandas_categories"]

_GENERIC: Final = re.compile(r"Column_\d+")
_PROBABILITIES: Final = ("binary", "cross_entropy")


def describe_lightgbm(name: str, content: bytes) -> Description:
    """Its columns by name; those that pandas gave as categories are text, whatever else there is is a number."""
    lines = content.decode("utf-8", "replace").splitlines()
    head = _head(lines)
    output = _output(name, head)
    names = head.get("feature_names", "").split(" ")
    pinned = pandas_categories(content)
    text = _categorical(names, head.get("feature_infos", "").split(" ")) if pinned else []
    if pinned and len(text) != len(pinned):
        # A category that no tree splits on leaves no trace but its texts, so which one it is cannot be told.
        return Description(width=len(names), vector=tuple(Input(name=column) for column in names), output=output)
    categories = dict(zip(text, pinned, strict=True))
    return Description(
        width=len(names),
        columns=tuple(
            Column(name=column, type="string" if column in categories else "float64", nullable=True) for column in names
        ),
        vector=tuple(Input(name=column, categories=categories.get(column)) for column in names),
        generic=all(_GENERIC.fullmatch(column) for column in names),
        output=output,
    )


def _head(lines: Sequence[str]) -> dict[str, str]:
    """The settings that stand before the first tree."""
    found: dict[str, str] = {}
    for line in lines:
        if line.startswith("Tree="):
            break
        key, _, value = line.partition("=")
        found[key] = value
    return found


def _output(name: str, head: Mapping[str, str]) -> Output:
    """Classes are numbered: their names, if there were any, are not in the file."""
    objective, classes = head.get("objective", "").split(" ")[0], head.get("num_class", "1")
    if classes == "1":
        return Output() if objective in _PROBABILITIES else Output.of_values()
    if objective != "multiclass" or not classes.isdecimal() or int(classes) < 3:
        raise ModelError(
            f"{name} has {classes} outputs a row under the objective {objective!r}, which are no probabilities of "
            "three classes or more.",
            'Train three classes or more with objective="multiclass", and two with "binary".',
        )
    return output_of(name, range(int(classes)))


def _categorical(names: Sequence[str], infos: Sequence[str]) -> list[str]:
    """The columns whose values are listed ("0:1:2"); those of a number are a range ("[0:1]"), unused ones "none"."""
    return [name for name, info in zip(names, infos, strict=False) if info[:1] not in ("[", "n", "")]


def pandas_categories(content: bytes) -> list[tuple[str, ...]]:
    """The texts of each category column of pandas, in the order of the columns."""
    _, found, stated = content.rpartition(b"\npandas_categorical:")
    try:
        known = msgspec.json.decode(stated.partition(b"\n")[0] if found else b"null", type=list[tuple[str, ...]] | None)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"The model's categories cannot be used: {error}.", "Train with categories that are text."
        ) from error
    return known or []
