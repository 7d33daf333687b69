"""All features of one request, as known at its prediction time: the online path.

Nothing is computed from frames here; the states that `data.record` wrote are read from the memory map and folded at q,
by the same arithmetic as offline, so that both paths give the same bits.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.config.declaration import FunctionRef, LookupSpec, OpenSpec, RequestSpec, ServiceSpec, WindowSpec
from evertrain.config.namespace import resolve
from evertrain.core.identity import Digest
from evertrain.core.schema import Value
from evertrain.core.time import MINUTE, Instant
from evertrain.data.fold import finish, fold_values
from evertrain.data.layout import Layout, Meta, SumPlace, descending, entity_bytes, instant_of, layout
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

_meta = msgspec.msgpack.Decoder(Meta)
_rows = msgspec.msgpack.Decoder(list)
_KEPT: Final = 3  # a row in a list begins with its event time, its known-at and its end


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
        return tuple([values[name] for name in self._vector])

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
                if stored is None:
                    raise UnavailableError(
                        f"The online states of source {one.source.name!r} are not there yet.",
                        "They appear when the data process has read the source; retry.",
                    )
                self._metas[one.meta] = (stored, _meta.decode(stored))
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
    """One request on its way through the steps."""

    __slots__ = ("at", "cursor", "deviating", "entities", "totals", "values")

    def __init__(self, cursor: Any, values: Values, at: int, deviating: frozenset[bytes]) -> None:
        self.cursor = cursor
        self.values = values
        self.at = at
        self.deviating = deviating
        self.entities: dict[tuple[str, ...], bytes | None] = {}
        self.totals: dict[tuple[bytes, int | None, tuple[str, ...]], Totals] = {}

    def entity(self, names: tuple[str, ...]) -> bytes | None:
        """The entity that these columns and features name, encoded once."""
        if names not in self.entities:
            self.entities[names] = entity_bytes([self.values[name] for name in names])
        return self.entities[names]

    def total(self, place: "_Place", offset: int | None) -> Totals:
        """F_o(q) of the entity: its rows by base time, and what corrections change of them."""
        asked = (place.prefix, offset, place.names)
        found = self.totals.get(asked)
        if found is None:
            entity = self.entity(place.names)
            found = place.zero
            if entity is not None:
                if offset is not None:
                    found = self._as_of(place.prefix + entity, self.at - offset, place)
                correction = place.deviations[offset]
                if correction in self.deviating:
                    found = tuple(map(int.__add__, found, self._as_of(correction + entity, self.at, place)))
            self.totals[asked] = found
        return found

    def _as_of(self, series: bytes, at: int, place: "_Place") -> Totals:
        cursor = self.cursor
        if cursor.set_range(series + descending(at)) and cursor.key().startswith(series):
            return place.unpack(cursor.value())
        return place.zero


class _Place:
    """Where the totals of a stream lie for an entity that is named by these columns and features."""

    __slots__ = ("columns", "deviations", "names", "prefix", "unpack", "zero")

    def __init__(self, sums: SumPlace, pairs: Pairs) -> None:
        width = 1 + 2 * len(sums.columns)
        self.prefix = sums.prefix
        self.columns = sums.columns
        self.deviations = sums.deviations
        self.names = tuple(left for left, _ in pairs)
        self.unpack: Callable[[bytes], Totals] = struct.Struct(f"<{width}q").unpack
        self.zero: Totals = (0,) * width


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
        place = _Place(self._sums[stream_of(feature)], feature.entity)
        start, end, output = feature.start, feature.end, feature.output
        number = 0 if feature.column is None else 1 + 2 * place.columns.index(feature.column)

        def compute(request: _Request) -> None:
            newer, older = request.total(place, end), request.total(place, start)
            count = newer[number] - older[number]
            total = newer[number + 1] - older[number + 1] if number else 0
            request.values[output] = finish(feature, count, total)

        return compute

    def _open(self, feature: OpenSpec) -> Step:
        opened = _Place(self._sums[opening(feature)], feature.entity)
        closed = _Place(self._sums[closing(feature)], feature.entity)
        start, end, output = feature.start, feature.end, feature.output

        def compute(request: _Request) -> None:
            begun = request.total(opened, end)[0] - request.total(opened, start)[0]
            ended = request.total(closed, end)[0] - request.total(closed, start)[0]
            request.values[output] = begun - ended

        return compute

    def _fold(self, feature: WindowSpec) -> Step:
        place = self._lists[stream_of(feature)]
        names = tuple(left for left, _ in feature.entity)
        number = _KEPT + place.columns.index(feature.column or "")
        kinds = {column.name: column.type for column in self._spec.source(feature.source).columns}
        declared = kinds.get(feature.column or "")

        def compute(request: _Request) -> None:
            entity = request.entity(names)
            values = [] if entity is None else _within(request, place.prefix + entity, feature, number)
            fractional = declared == "float64" or any(isinstance(value, float) for value in values)
            request.values[feature.output] = fold_values(feature, values, fractional=fractional)

        return compute

    def _lookup(self, feature: LookupSpec) -> Step:
        place = self._lists[Stream(feature.source, tuple(right for _, right in feature.entity))]
        names = tuple(left for left, _ in feature.entity)
        outputs = [(output, _KEPT + place.columns.index(column)) for output, column in feature.outputs]
        then = self._lookup(feature.then) if feature.then is not None else None
        onward = [left for left, _ in feature.then.entity] if feature.then is not None else []
        places = [(left, _KEPT + place.columns.index(left)) for left in onward]

        def compute(request: _Request) -> None:
            entity = request.entity(names)
            row = None if entity is None else _newest(request, place.prefix + entity)
            age = None if row is None else request.at - row[0]
            if feature.age is not None:
                request.values[feature.age] = None if age is None else float(age) / float(MINUTE)
            if age is not None and feature.ttl is not None and age > feature.ttl:
                row = None
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


def _newest(request: _Request, series: bytes) -> list[Any] | None:
    """The entity's newest row that is not in the future and was believed at q."""
    cursor, at = request.cursor, request.at
    found = cursor.set_range(series + descending(at))
    while found and cursor.key().startswith(series):
        row: list[Any] = _rows.decode(cursor.value())
        if row[1] <= at < row[2]:
            return row
        found = cursor.next()
    return None


def _within(request: _Request, series: bytes, feature: WindowSpec, number: int) -> list[Value]:
    """The values in (q - start, q - end] as known by q, missing ones left out."""
    cursor, at, length = request.cursor, request.at, len(series)
    oldest = None if feature.start is None else at - feature.start
    values: list[Value] = []
    found = cursor.set_range(series + descending(at - feature.end))
    while found:
        key = cursor.key()
        if not key.startswith(series) or (oldest is not None and instant_of(key[length : length + 8]) <= oldest):
            break
        row = _rows.decode(cursor.value())
        if row[1] <= at < row[2] and row[number] is not None:
            values.append(row[number])
        found = cursor.next()
    return values
