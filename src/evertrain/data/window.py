"""Windows over the past of many examples at once, exact to the last bit (the method stands in `data.stream`)."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.config.declaration import OpenSpec, ServiceSpec, WindowSpec
from evertrain.core.identity import SourceName
from evertrain.core.schema import Value
from evertrain.data.fold import fold_values
from evertrain.data.population import Population
from evertrain.data.revision import Events
from evertrain.data.stream import NEVER, Plan, Stream, closing, is_summed, opening, stream_of
from evertrain.data.timeline import Timeline

__all__ = ["Windows"]

Pairs = tuple[tuple[str, str], ...]
_COUNT: Final = 0


class Windows:
    """Computes windows for a population. Features that share a stream and an offset share the work."""

    def __init__(
        self, spec: ServiceSpec, plan: Plan, events: Mapping[SourceName, Events], population: Population
    ) -> None:
        self._spec = spec
        self._plan = plan
        self._events = events
        self._population = population
        self._totals: dict[tuple[Stream, int | None, Pairs], NDArray[np.int64]] = {}
        self._lists: dict[tuple[Stream, str], _Rows] = {}

    def window(self, feature: WindowSpec) -> pl.Series:
        """One value per example: Int64 counts and unscaled sums, Float64 otherwise; null where the fold has none."""
        stream = stream_of(feature)
        if not is_summed(self._spec, feature):
            return self._fold(feature, stream)
        totals = self._between(stream, feature.entity, feature.start, feature.end)
        if feature.column is None:
            return pl.Series(feature.output, totals[:, _COUNT])
        place = 1 + 2 * self._plan.sums[stream].columns.index(feature.column)
        return _finish_many(feature, totals[:, place], totals[:, place + 1])

    def open(self, feature: OpenSpec) -> pl.Series:
        """How many opened in the window and are known to have closed by q, taken from those that opened."""
        opened = self._between(opening(feature), feature.entity, feature.start, feature.end)[:, _COUNT]
        closed = self._between(closing(feature), feature.entity, feature.start, feature.end)[:, _COUNT]
        return pl.Series(feature.output, opened - closed)

    def _between(self, stream: Stream, pairs: Pairs, start: int | None, end: int) -> NDArray[np.int64]:
        return self._until(stream, pairs, end) - self._until(stream, pairs, start)

    def _until(self, stream: Stream, pairs: Pairs, offset: int | None) -> NDArray[np.int64]:
        """F_o(q) of every example."""
        place = (stream, offset, pairs)
        if place not in self._totals:
            events = self._events[stream.source]
            order, codes, at = self._population.asked(stream.source, events, pairs)
            found = self._timeline(stream, offset).at(codes, at)
            self._totals[place] = np.empty_like(found)
            self._totals[place][order] = found
        return self._totals[place]

    def _timeline(self, stream: Stream, offset: int | None) -> Timeline:
        events = self._events[stream.source]
        entities, codes = self._population.entities(stream.source, events, stream.entity)
        base = events.base(stream.base)
        if offset is None:
            times = events.until
        else:
            times = np.minimum(np.maximum(np.where(base == NEVER, base, base + offset), events.known), events.until)
        weights = [np.ones(len(codes), dtype=np.int64)]
        for name in self._plan.sums[stream].columns:
            column = events.frame[name]
            weights += [column.is_not_null().cast(pl.Int64).to_numpy(), column.cast(pl.Int64).fill_null(0).to_numpy()]
        chosen = (codes >= 0) & (times != NEVER) & (base != NEVER) & _holds(events, stream.filter)
        return Timeline(codes[chosen], times[chosen], np.column_stack(weights)[chosen], entities)

    def _fold(self, feature: WindowSpec, stream: Stream) -> pl.Series:
        place = (stream, feature.column or "")
        if place not in self._lists:
            entities, codes = self._population.entities(stream.source, self._events[stream.source], stream.entity)
            self._lists[place] = _Rows(self._events[stream.source], stream, feature.column or "", codes, entities)
        rows = self._lists[place]
        codes = self._population.codes(stream.source, self._events[stream.source], feature.entity)
        values = [
            fold_values(feature, rows.within(code, at, feature.start, feature.end), fractional=rows.fractional)
            for code, at in zip(codes.tolist(), self._population.at.tolist(), strict=True)
        ]
        kind = pl.Float64 if rows.fractional or feature.fold in ("mean", "rate") or feature.scale != 1 else pl.Int64
        return pl.Series(feature.output, values, dtype=pl.Int64 if feature.fold == "count" else kind)


class _Rows:
    """The rows of a stream by entity in the order of their base time."""

    def __init__(self, events: Events, stream: Stream, column: str, codes: NDArray[np.int64], entities: int) -> None:
        base = events.base(stream.base)
        chosen = np.flatnonzero((codes >= 0) & (base != NEVER) & _holds(events, stream.filter))
        order = chosen[np.lexsort((base[chosen], codes[chosen]))]
        self._base, self._known, self._until = base[order], events.known[order], events.until[order]
        self._starts = np.searchsorted(codes[order], np.arange(entities + 1))
        self._values = events.frame[column].gather(pl.Series(order, dtype=pl.UInt32)).to_list()
        self.fractional = events.frame[column].dtype.is_float()

    def within(self, code: int, at: int, start: int | None, end: int) -> list[Value]:
        """The values in (at - start, at - end] as known by `at`, missing ones left out."""
        if code < 0:
            return []
        low, high = int(self._starts[code]), int(self._starts[code + 1])
        base = self._base[low:high]
        first = low + (0 if start is None else int(np.searchsorted(base, at - start, side="right")))
        last = low + int(np.searchsorted(base, at - end, side="right"))
        return [
            self._values[row]
            for row in range(first, last)
            if self._known[row] <= at < self._until[row] and self._values[row] is not None
        ]


def _holds(events: Events, name: str | None) -> NDArray[np.bool_]:
    if name is None:
        return np.ones(len(events.event), dtype=np.bool_)
    return (events.frame[name].cast(pl.Int64).fill_null(0) == 1).to_numpy()


def _finish_many(feature: WindowSpec, count: NDArray[np.int64], total: NDArray[np.int64]) -> pl.Series:
    if feature.fold == "count":
        return pl.Series(feature.output, count)
    if feature.fold == "sum":
        return pl.Series(feature.output, total if feature.scale == 1 else total / np.float64(feature.scale))
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = total / (count * feature.scale)
    return pl.Series(feature.output, quotient).set(pl.Series(count == 0), None)
