"""All features of many examples, as known at each one's prediction time: the offline path."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.config.declaration import FunctionRef, LookupSpec, OpenSpec, RequestSpec, ServiceSpec, WindowSpec
from evertrain.core.identity import SourceName
from evertrain.data.lookup import look_up
from evertrain.data.population import Population
from evertrain.data.request import call
from evertrain.data.revision import physical, revise
from evertrain.data.stream import plan
from evertrain.data.window import Windows

__all__ = ["FEATURE", "REQUEST", "Resolve", "offline"]

FEATURE = "feature."
REQUEST = "request."

Resolve = Callable[[FunctionRef], Callable[..., Any]]


def offline(
    spec: ServiceSpec, tables: Mapping[SourceName, pl.DataFrame], examples: pl.DataFrame, functions: Resolve
) -> pl.DataFrame:
    """One row per example, in the order given, one column `feature.<name>` per input of the model.

    tables: rows of each source with `_known_at`, or else the declared known-at is taken. examples: `at` (int64
    microseconds UTC or Datetime) and `request.<name>` columns, as `data.example.examples` makes them.
    """
    needed = plan(spec)
    events = {
        source.name: revise(tables[source.name], source, needed.columns(source.name))
        for source in spec.sources
        if any(stream.source == source.name for stream in (*needed.sums, *needed.lists))
    }
    asked = physical(examples)
    columns = {name: asked[REQUEST + name].alias(name) for name in spec.inputs.names}
    population = Population(asked["at"].to_numpy(), columns)
    windows = Windows(spec, needed, events, population)
    for feature in spec.features:
        match feature:
            case RequestSpec():
                columns.update(_request(feature, spec, population, functions))
            case WindowSpec():
                columns[feature.output] = windows.window(feature)
            case OpenSpec():
                columns[feature.output] = windows.open(feature)
            case LookupSpec():
                columns.update(look_up(feature, events, population))
    return pl.DataFrame([_missing(columns[name]).alias(FEATURE + name) for name in spec.vector])


def _missing(column: pl.Series) -> pl.Series:
    """NaN, which JSON cannot say, is missing like null."""
    return column.fill_nan(None) if column.dtype.is_float() else column


def _request(
    feature: RequestSpec, spec: ServiceSpec, population: Population, functions: Resolve
) -> dict[str, pl.Series]:
    if feature.function is None:
        return {
            output: population.columns[name].alias(output)
            for output, name in zip(feature.outputs, feature.inputs, strict=True)
        }
    required = {column.name for column in spec.inputs.columns if not column.nullable}
    given = {name: _array(population.columns[name], name in required) for name in feature.inputs}
    results = call(feature, functions(feature.function), given, population.at)
    return {name: _series(name, results[name]) for name in feature.outputs}


def _array(column: pl.Series, required: bool) -> NDArray[Any]:
    """A column as the array that a request function gets: integers and bools as they are when none can be missing,
    else float64 with NaN; text as objects, None where it is missing.
    """
    if column.dtype == pl.String:
        return np.array(column.to_list(), dtype=object)
    if required:
        return column.to_numpy()
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _series(name: str, values: NDArray[Any]) -> pl.Series:
    """An array as a column; NaN is missing."""
    if values.dtype.kind in "OU":
        return pl.Series(name, _texts(values.tolist()), dtype=pl.String)
    if values.dtype.kind == "f":
        return pl.Series(name, values.astype(np.float64)).fill_nan(None)
    return pl.Series(name, values.astype(np.int64) if values.dtype.kind in "iu" else values)


def _texts(values: Sequence[object]) -> list[str | None]:
    return [None if value is None else str(value) for value in values]
