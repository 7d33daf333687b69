"""All features of one request, as known at its prediction time: the online path.

Nothing is computed from frames here; the states that `data.record` wrote are read from the memory map and folded at q,
by the same arithmetic as offline, so that both paths give the same bits.
"""

import struct
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.config.declaration import FunctionRef, LookupSpec, OpenSpec, RequestSpec, ServiceSpec, WindowSpec
from evertrain.config.namespace import resolve
from evertrain.core.identity import Digest
from evertrain.core.schema import Value
from evertrain.core.time import MINUTE, Instant
from evertrain.data.fold import finish, fold_values
from evertrain.data.layout import SPAN, Layout, ListPlace, Meta, SumPlace, descending, entity_bytes, layout
from evertrain.data.record import OnlineWriter
from evertrain.data.request import call_one, kinds_of
from evertrain.data.stream import Stream, closing, is_summed, opening, plan, stream_of
from evertrain.errors import DeclarationError, UnavailableError
from evertrain.store.online import OnlineStore
from evertrain.store.state import State

__all__ = ["OnlineFeatures", "OnlineWriter", "online_features"]

Pairs = tuple[tuple[str, str], ...]
Totals = tuple[int, ...]
Values = dict[str, Value]
Step = Callable[["_Request"], None]

_LONG_AGO = b"\xff" * 9
"""Comes after each instant in the order of keys."""
_meta = msgspec.msgpack.Decoder(Meta)
_rows = msgspec.msgpack.Decoder(list)


def online_features(spec: ServiceSpec, state: State, bundle_folder: Path | None) -> "OnlineFeatures":
    """The feature function of one version: from a request and its prediction time to the model's inputs.

    bundle_folder: the version's own unpacked bundle (its name is the digest); None where no feature is a function.
    """

    def find(reference: FunctionRef) -> Callable[..., Any]:
        if bundle_folder is None:
            raise DeclarationError(
                f"{reference.module}:{reference.name} is named by a declaration that has no bundle.",
                "Declare the service with its code.",
            )
        return resolve(reference, bundle_folder, Digest(bundle_folder.name))

    return OnlineFeatures(spec, state.online, find)


class OnlineFeatures:
    """Computes a service's features. It may be called from several threads; each call reads one consistent state."""

    def __init__(self, spec: ServiceSpec, folder: Path, functions: Callable[[FunctionRef], Callable[..., Any]]) -> None:
        self._spec = spec
        self._folder = folder
        self._store: OnlineStore | None = None
        needed = plan(spec)
        self._layouts = [one for one in (layout(spec, needed, source.name) for source in spec.sources) if one]
        self._metas: dict[bytes, tuple[bytes | None, Meta]] = {}
        self._deviating: frozenset[bytes] = frozenset()
        self._steps = _Steps(spec, self._layouts, functions).compile()
        self._vector = spec.vector

    def __call__(self, row: Mapping[str, Value], at: Instant) -> tuple[Value, ...]:
        """The model's inputs, in order; None where a value is missing, unknown or expired."""
        values = self.values(row, at)
        vector = [values[name] for name in self._vector]
        # Only NaN differs from itself; it is missing like None.
        return tuple([value if value == value else None for value in vector])  # noqa: PLR0124

    def values(self, row: Mapping[str, Value], at: Instant) -> Values:
        """Request columns and all features by name, with the steps on the way."""
        values = dict(row)
        if not self._layouts:
            request = _Request(None, values, at, frozenset())
            for step in self._steps:
                step(request)
            return values
        if self._store is None:
            self._store = OnlineStore.open(self._folder)
        transaction = self._store.begin()
        try:
            request = _Request(transaction.cursor(), values, at, self._corrections(transaction))
            for step in self._steps:
                step(request)
        finally:
            transaction.abort()
        return values

    def _corrections(self, transaction: Any) -> frozenset[bytes]:
        """The prefixes under which corrections exist, decoded anew only when they changed."""
        changed = False
        for one in self._layouts:
            stored = transaction.get(one.meta)
            held = self._metas.get(one.meta)
            if held is None or held[0] != stored:
                meta = Meta() if stored is None else _meta.decode(stored)
                if not meta.complete:
                    raise UnavailableError(
                        f"The online states of source {one.source.name!r} are not complete yet.",
                        "They will be when the data process has read the source's history; retry.",
                    )
                self._metas[one.meta] = (stored, meta)
                changed = True
        if changed:
            self._deviating = frozenset(prefix for _, meta in self._metas.values() for prefix in meta.deviating)
        return self._deviating

    def close(self) -> None:
        """Give the store back."""
        if self._store is not None:
            self._store.close()
            self._store = None


class _Request:
    """One request on its way through the steps. What several of them read is kept: entities, totals, rows of walks."""

    __slots__ = ("at", "cursor", "deviating", "entities", "totals", "values", "walks")

    def __init__(self, cursor: Any, values: Values, at: int, deviating: frozenset[bytes]) -> None:
        self.cursor = cursor
        self.values = values
        self.at = at
        self.deviating = deviating
        self.entities: dict[tuple[str, ...], bytes | None] = {}
        self.totals: dict[int, Totals] = {}
        self.walks: dict[int, tuple[list[bytes], list[list[Value]]]] = {}

    def entity(self, names: tuple[str, ...]) -> bytes | None:
        """The entity that these columns and features name, encoded once."""
        try:
            return self.entities[names]
        except KeyError:
            values = self.values
            encoded = self.entities[names] = entity_bytes([values[name] for name in names])
            return encoded


class _Total:
    """F_o(q) of an entity: its rows by base time, and what corrections change of them."""

    __slots__ = ("_correction", "_names", "_number", "_offset", "_prefix", "_unpack", "_zero")

    def __init__(self, place: SumPlace, names: tuple[str, ...], offset: int | None, number: int) -> None:
        width = 1 + 2 * len(place.columns)
        self._prefix = place.prefix
        self._correction = place.deviations[offset]
        self._names = names
        self._offset = offset
        self._number = number
        self._unpack: Callable[[bytes], Totals] = struct.Struct(f"<{width}q").unpack
        self._zero: Totals = (0,) * width

    def __call__(self, request: _Request) -> Totals:
        found = request.totals.get(self._number)
        if found is not None:
            return found
        found = self._zero
        entity = request.entity(self._names)
        if entity is not None:
            if self._offset is not None:
                found = self._as_of(request.cursor, self._prefix + entity, request.at - self._offset)
            if self._correction in request.deviating:
                correction = self._as_of(request.cursor, self._correction + entity, request.at)
                found = tuple(map(int.__add__, found, correction))
        request.totals[self._number] = found
        return found

    def _as_of(self, cursor: Any, series: bytes, at: int) -> Totals:
        if cursor.set_range(series + descending(at)) and cursor.key().startswith(series):
            return self._unpack(cursor.value())
        return self._zero


class _Walk:
    """An entity's rows, newest first, over the widest of the windows that are folded from them: read once a request."""

    __slots__ = ("_end", "_names", "_number", "_prefix", "_start")

    def __init__(self, place: ListPlace, names: tuple[str, ...], number: int) -> None:
        self._prefix = place.prefix
        self._names = names
        self._number = number
        self._start: int | None = 0
        self._end: int | None = None

    def widen(self, feature: WindowSpec) -> None:
        """Reach as far as this window."""
        self._start = None if self._start is None or feature.start is None else max(self._start, feature.start)
        self._end = feature.end if self._end is None else min(self._end, feature.end)

    def values(self, request: "_Request", feature: WindowSpec, column: int) -> list[Value]:
        """The values in (q - start, q - end] as known by q, missing ones left out."""
        found = request.walks.get(self._number)
        if found is None:
            found = request.walks[self._number] = self._read(request)
        stamps, rows = found
        newest = bisect_left(stamps, descending(request.at - feature.end))
        oldest = None if feature.start is None else bisect_left(stamps, descending(request.at - feature.start))
        return [row[column] for row in rows[newest:oldest] if row[column] is not None]

    def _read(self, request: "_Request") -> tuple[list[bytes], list[list[Value]]]:
        """When each row was, as its key has it, and its values."""
        stamps: list[bytes] = []
        rows: list[list[Value]] = []
        entity = request.entity(self._names)
        if entity is None:
            return stamps, rows
        series, at, decode, span = self._prefix + entity, request.at, _rows.decode, SPAN.unpack_from
        first, last = len(series), len(series) + 8
        beyond = series + (_LONG_AGO if self._start is None else descending(at - self._start))
        cursor = request.cursor
        if cursor.set_range(series + descending(at - (self._end or 0))):
            for key, stored in cursor.iternext():
                if key >= beyond:
                    break
                _, known, until = span(stored)
                if known <= at < until:
                    stamps.append(key[first:last])
                    rows.append(decode(stored[SPAN.size :]))
        return stamps, rows


class _Steps:
    """Turns each declared feature into a function of the request."""

    def __init__(
        self, spec: ServiceSpec, layouts: Sequence[Layout], functions: Callable[[FunctionRef], Callable[..., Any]]
    ) -> None:
        self._spec = spec
        self._functions = functions
        self._kinds = kinds_of(spec)
        self._sums = {stream: place for one in layouts for stream, place in one.sums.items()}
        self._lists = {stream: place for one in layouts for stream, place in one.lists.items()}
        self._totals: dict[tuple[Stream, tuple[str, ...], int | None], _Total] = {}
        self._walks: dict[tuple[Stream, tuple[str, ...]], _Walk] = {}

    def _total(self, stream: Stream, pairs: Pairs, offset: int | None) -> _Total:
        """One reader for all features that share it; its number says where a request keeps the result."""
        names = tuple(left for left, _ in pairs)
        place = (stream, names, offset)
        if place not in self._totals:
            self._totals[place] = _Total(self._sums[stream], names, offset, len(self._totals))
        return self._totals[place]

    def _walk(self, feature: WindowSpec) -> _Walk:
        """One reader of rows for all windows that share them, reaching as far as each of them."""
        stream, names = stream_of(feature), tuple(left for left, _ in feature.entity)
        if (stream, names) not in self._walks:
            self._walks[stream, names] = _Walk(self._lists[stream], names, len(self._walks))
        self._walks[stream, names].widen(feature)
        return self._walks[stream, names]

    def compile(self) -> list[Step]:
        return [self._step(feature) for feature in self._spec.features]

    def _step(self, feature: RequestSpec | WindowSpec | OpenSpec | LookupSpec) -> Step:
        match feature:
            case RequestSpec():
                return self._request(feature)
            case WindowSpec() if is_summed(self._spec, feature):
                return self._window(feature)
            case WindowSpec():
                return self._fold(feature)
            case OpenSpec():
                return self._open(feature)
            case LookupSpec():
                return self._lookup(feature)

    def _request(self, feature: RequestSpec) -> Step:
        if feature.function is None:
            pairs = tuple(zip(feature.outputs, feature.inputs, strict=True))

            def hand_on(request: _Request) -> None:
                for output, name in pairs:
                    request.values[output] = request.values[name]

            return hand_on
        function = self._functions(feature.function)
        kinds = self._kinds

        def compute(request: _Request) -> None:
            at: NDArray[np.int64] = np.array([request.at], dtype=np.int64)
            request.values.update(call_one(feature, function, kinds, request.values, at))

        return compute

    def _window(self, feature: WindowSpec) -> Step:
        stream, output = stream_of(feature), feature.output
        newer = self._total(stream, feature.entity, feature.end)
        older = self._total(stream, feature.entity, feature.start)
        columns = self._sums[stream].columns
        number = 0 if feature.column is None else 1 + 2 * columns.index(feature.column)

        def compute(request: _Request) -> None:
            high, low = newer(request), older(request)
            total = high[number + 1] - low[number + 1] if number else 0
            request.values[output] = finish(feature, high[number] - low[number], total)

        return compute

    def _open(self, feature: OpenSpec) -> Step:
        opened, closed, pairs = opening(feature), closing(feature), feature.entity
        begun = self._total(opened, pairs, feature.end), self._total(opened, pairs, feature.start)
        ended = self._total(closed, pairs, feature.end), self._total(closed, pairs, feature.start)

        def compute(request: _Request) -> None:
            begun_count = begun[0](request)[0] - begun[1](request)[0]
            ended_count = ended[0](request)[0] - ended[1](request)[0]
            request.values[feature.output] = begun_count - ended_count

        return compute

    def _fold(self, feature: WindowSpec) -> Step:
        walk = self._walk(feature)
        number = self._lists[stream_of(feature)].columns.index(feature.column or "")
        kinds = {column.name: column.type for column in self._spec.source(feature.source).columns}
        declared = kinds.get(feature.column or "")

        def compute(request: _Request) -> None:
            values = walk.values(request, feature, number)
            fractional = declared == "float64" or any(isinstance(value, float) for value in values)
            request.values[feature.output] = fold_values(feature, values, fractional=fractional)

        return compute

    def _lookup(self, feature: LookupSpec) -> Step:
        place = self._lists[Stream(feature.source, tuple(right for _, right in feature.entity))]
        names = tuple(left for left, _ in feature.entity)
        outputs = [(output, place.columns.index(column)) for output, column in feature.outputs]
        then = self._lookup(feature.then) if feature.then is not None else None
        onward = [left for left, _ in feature.then.entity] if feature.then is not None else []
        kept = bool(outputs or onward)
        places = [(left, place.columns.index(left)) for left in onward]

        def compute(request: _Request) -> None:
            entity = request.entity(names)
            found = None if entity is None else _newest(request, place.prefix + entity)
            age = None if found is None else request.at - found[0]
            row: list[Any] | None = None
            if found is not None and (feature.ttl is None or request.at - found[0] <= feature.ttl):
                row = _rows.decode(found[1]) if kept else []
            if feature.age is not None:
                request.values[feature.age] = None if age is None else float(age) / float(MINUTE)
            for output, number in outputs:
                request.values[output] = None if row is None else row[number]
            if then is not None:
                values: Values = {left: None if row is None else row[number] for left, number in places}
                further = _Request(request.cursor, values, request.at, request.deviating)
                then(further)
                for left in onward:
                    further.values.pop(left, None)
                request.values.update(further.values)

        return compute


def _newest(request: _Request, series: bytes) -> tuple[int, bytes] | None:
    """Event time and packed values of the entity's newest row that is not in the future and was believed at q."""
    cursor, at = request.cursor, request.at
    found = cursor.set_range(series + descending(at))
    while found and cursor.key().startswith(series):
        stored = cursor.value()
        event, known, until = SPAN.unpack_from(stored)
        if known <= at < until:
            return event, stored[SPAN.size :]
        found = cursor.next()
    return None
