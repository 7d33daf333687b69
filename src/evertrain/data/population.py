"""The examples that features are computed for, and which entity of a source each of them asks about."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.data.revision import Events

__all__ = ["Population"]


Asked = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Positions of the examples, and the entity codes and prediction times at these positions."""


class Population:
    """n prediction times with named columns of length n: the request's, then each feature as it is computed."""

    def __init__(self, at: NDArray[np.int64], columns: dict[str, pl.Series]) -> None:
        self.at = at
        self.columns = columns
        self._codes: dict[tuple[str, tuple[tuple[str, str], ...]], NDArray[np.int64]] = {}
        self._ordered: dict[tuple[str, tuple[tuple[str, str], ...]], Asked] = {}
        self._entities: dict[tuple[str, tuple[str, ...]], tuple[pl.DataFrame, NDArray[np.int64]]] = {}

    def __len__(self) -> int:
        return len(self.at)

    def entities(self, source: str, events: Events, names: tuple[str, ...]) -> tuple[int, NDArray[np.int64]]:
        """How many entities a source has, and the code of each of its rows; -1 where a part of the entity is null."""
        distinct, codes = self._known(source, events, names)
        return max(distinct.height, 1), codes

    def codes(self, source: str, events: Events, pairs: Sequence[tuple[str, str]]) -> NDArray[np.int64]:
        """The code of the entity that each example asks about; -1 where the source has no such entity."""
        asked = (source, tuple(pairs))
        if asked not in self._codes:
            names = tuple(right for _, right in pairs)
            distinct, _ = self._known(source, events, names)
            left = pl.DataFrame({right: self.columns[name] for name, right in pairs})
            self._codes[asked] = _match(left, distinct, names, len(self))
        return self._codes[asked]

    def asked(self, source: str, events: Events, pairs: Sequence[tuple[str, str]]) -> Asked:
        """The examples by entity, so that many binary searches walk through memory in one direction."""
        place = (source, tuple(pairs))
        if place not in self._ordered:
            codes = self.codes(source, events, pairs)
            small = codes.max(initial=0) < np.iinfo(np.int16).max
            order = np.argsort(codes.astype(np.int16) if small else codes, kind="stable")
            self._ordered[place] = (order, codes[order], self.at[order])
        return self._ordered[place]

    def _known(self, source: str, events: Events, names: tuple[str, ...]) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        if (source, names) not in self._entities:
            rows = events.frame.select(names)
            distinct = rows.unique().drop_nulls().with_row_index("_code") if names else pl.DataFrame({"_code": [0]})
            self._entities[source, names] = (distinct, _match(rows, distinct, names, events.frame.height))
        return self._entities[source, names]


def _match(rows: pl.DataFrame, distinct: pl.DataFrame, names: Sequence[str], height: int) -> NDArray[np.int64]:
    if not names:
        return np.zeros(height, dtype=np.int64)
    found = rows.join(distinct, on=list(names), how="left", maintain_order="left")
    return found["_code"].cast(pl.Int64).fill_null(-1).to_numpy()
