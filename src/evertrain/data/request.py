"""Calling the user's request functions: n rows at once offline, one row online, with arrays of the same types."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.config.declaration import LookupSpec, RequestSpec, ServiceSpec
from evertrain.core.schema import Value
from evertrain.errors import ModelError

__all__ = ["Kinds", "call", "call_one", "kinds_of"]

_TEXT: Final = "OU"


class Kinds(msgspec.Struct, frozen=True):
    """How values become arrays. texts: columns and features of text; required: columns that can never be missing."""

    texts: frozenset[str]
    required: frozenset[str]


def kinds_of(spec: ServiceSpec) -> Kinds:
    """The kinds of a service's request columns and of the features that are looked up."""
    texts = {column.name for column in spec.inputs.columns if column.type == "string"}
    for feature in spec.features:
        if isinstance(feature, RequestSpec) and feature.function is None:
            texts.update(out for out, name in zip(feature.outputs, feature.inputs, strict=True) if name in texts)
        step = feature if isinstance(feature, LookupSpec) else None
        while step is not None:
            kinds = {column.name: column.type for column in spec.source(step.source).columns}
            texts.update(name for name, column in step.outputs if kinds.get(column) == "string")
            step = step.then
    required = {column.name for column in spec.inputs.columns if not column.nullable}
    return Kinds(frozenset(texts), frozenset(required))


def call(
    feature: RequestSpec, function: Callable[..., Any], given: Mapping[str, NDArray[Any]], at: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """The arrays that a request function returns, by output name, each as long as q."""
    returned = function(dict(given), at)
    if isinstance(returned, dict):
        arrays = returned
    elif len(feature.outputs) == 1:
        arrays = {feature.outputs[0]: returned}
    else:
        raise ModelError(
            f"The function of {', '.join(feature.outputs)} returned {type(returned).__name__}.",
            "Return a dict of one array per output.",
        )
    results = {}
    for name in feature.outputs:
        if name not in arrays:
            raise ModelError(f"The function of request feature {name!r} did not return it.", "Return every output.")
        results[name] = np.asarray(arrays[name])
        if results[name].shape != at.shape:
            raise ModelError(
                f"Request feature {name!r} has shape {results[name].shape} for {len(at)} rows.",
                "Return one value per row.",
            )
    return results


def call_one(
    feature: RequestSpec,
    function: Callable[..., Any],
    kinds: Kinds,
    values: Mapping[str, Value],
    at: NDArray[np.int64],
) -> dict[str, Value]:
    """One row's outputs as plain values; NaN is missing."""
    given = {name: _array(values[name], name, kinds) for name in feature.inputs}
    return {name: _value(array) for name, array in call(feature, function, given, at).items()}


def _array(value: Value, name: str, kinds: Kinds) -> NDArray[Any]:
    if isinstance(value, str) or name in kinds.texts:
        return np.array([value], dtype=object)
    if name in kinds.required:
        return np.array([value])
    return np.array([np.nan if value is None else value], dtype=np.float64)


def _value(array: NDArray[Any]) -> Value:
    value: Value = array.item()
    if array.dtype.kind in _TEXT:
        return None if value is None else str(value)
    return None if value != value else value  # noqa: PLR0124 - only NaN differs from itself
