"""The newest row of an entity as known at each of many prediction times, and the look-ups that go on from it."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.config.declaration import LookupSpec
from evertrain.core.identity import SourceName
from evertrain.core.time import MINUTE
from evertrain.data.population import Population
from evertrain.data.revision import Events
from evertrain.data.stream import NEVER

__all__ = ["look_up"]


def look_up(feature: LookupSpec, events: Mapping[SourceName, Events], population: Population) -> dict[str, pl.Series]:
    """The look-up's features, one value per example; null where the row is unknown, expired, or holds null."""
    source = events[feature.source]
    found = _newest(source, feature, population)
    age = population.at - source.event[np.maximum(found, 0)] if len(source.event) else np.zeros_like(population.at)
    fresh = (found >= 0) & (age <= (NEVER if feature.ttl is None else feature.ttl))
    rows = pl.Series(np.where(fresh, found, 0), dtype=pl.UInt32).set(pl.Series(~fresh), None)
    columns = {name: source.frame[column].gather(rows).alias(name) for name, column in feature.outputs}
    if feature.age is not None:
        minutes = pl.Series(feature.age, age / np.float64(MINUTE))
        columns[feature.age] = minutes.set(pl.Series(found < 0), None)
    if feature.then is not None:
        asked = {left: source.frame[left].gather(rows) for left, _ in feature.then.entity}
        columns |= look_up(feature.then, events, Population(population.at, asked))
    return columns


def _newest(source: Events, feature: LookupSpec, population: Population) -> NDArray[np.int64]:
    """The position of each example's row; -1 where there is none.

    A row comes into sight at max(event, known). In the order of coming into sight an entity's newest row is a running
    maximum of the canonical order; only where a correction took a row away from its entity must the rows be searched
    one by one.
    """
    names = tuple(right for _, right in feature.entity)
    _, codes = population.entities(feature.source, source, names)
    asked = population.codes(feature.source, source, feature.entity)
    sight = np.maximum(source.event, source.known)
    chosen = np.flatnonzero((codes >= 0) & (sight < source.until))
    order = chosen[np.lexsort((chosen, sight[chosen], codes[chosen]))]
    found = _as_of(codes[order], sight[order], order, asked, population.at)
    moved = np.unique(codes[_moved(source, codes)])
    for example in np.flatnonzero(np.isin(asked, moved[moved >= 0])):
        rows = order[codes[order] == asked[example]]
        at = population.at[example]
        held = rows[(sight[rows] <= at) & (at < source.until[rows])]
        found[example] = held.max() if len(held) else -1
    return found


def _as_of(
    codes: NDArray[np.int64],
    sight: NDArray[np.int64],
    rows: NDArray[np.int64],
    asked: NDArray[np.int64],
    at: NDArray[np.int64],
) -> NDArray[np.int64]:
    """For each (asked, at) the largest of the entity's rows in sight; input sorted by code, then sight."""
    newest = pl.DataFrame({"code": codes, "sight": sight, "row": rows}).with_columns(
        pl.col("row").cum_max().over("code")
    )
    wanted = pl.DataFrame({"code": asked, "at": at}).with_row_index("example").sort("at")
    joined = wanted.join_asof(
        newest.sort("sight"), left_on="at", right_on="sight", by="code", strategy="backward", check_sortedness=False
    )
    return joined.sort("example")["row"].fill_null(-1).to_numpy().astype(np.int64, copy=True)


def _moved(source: Events, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows whose correction belongs to another entity. Versions of a row stand side by side in canonical order."""
    corrected = np.flatnonzero(source.until != NEVER)
    return corrected[codes[corrected] != codes[corrected + 1]] if len(corrected) else corrected
