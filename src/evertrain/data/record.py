"""Writing rows into the online states: each row once, in any order, corrections included.

The total F_o(q) of `data.stream` is kept in two parts, so that a regular row costs one entry a stream whatever the
number of windows:   F_o(q) = G(q - o) + D_o(q)   where G adds every row at its base time b, and D_o holds, for the rows
that enter at another time c than b + o (late, lagged or corrected ones), + the row at c and - the row at b + o.
"""

import hashlib
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import SourceName
from evertrain.core.schema import Value
from evertrain.data.layout import Layout, Meta, SumPlace, descending, entity_bytes, instant_of, key_bytes, layout
from evertrain.data.stream import EVENT, KNOWN, NEVER, plan
from evertrain.store.crash import crash_point
from evertrain.store.online import OnlineStore
from evertrain.store.state import State

if TYPE_CHECKING:
    import polars as pl

__all__ = ["OnlineWriter"]

_pack = msgspec.msgpack.encode
_versions = msgspec.msgpack.Decoder(list)
_meta = msgspec.msgpack.Decoder(Meta)
_specs = msgspec.msgpack.Decoder(list[ServiceSpec])
_DECLARED: Final = b"declared/"
_GENERATIONS: Final = 3
_PORTION: Final = 20_000
_INSTANT: Final = struct.Struct(">q")

Totals = tuple[int, ...]


class Version(msgspec.Struct, frozen=True):
    """One version of a row: what is read of it, and the span in which it was believed."""

    key: tuple[Value, ...]
    event: int
    known: int
    until: int
    values: tuple[Value, ...]


class OnlineWriter:
    """The one writer of an installation's online states.

    States that a declaration needs and the store lacks are filled from the source's table when the writer is made.
    The declarations before it are kept up to date beside it, since models that were trained under them still serve.
    """

    def __init__(self, specs: ServiceSpec | Iterable[ServiceSpec], state: State) -> None:
        self._store = OnlineStore.open(state.online, write=True)
        self._layouts: dict[SourceName, list[Layout]] = defaultdict(list)
        for spec in [specs] if isinstance(specs, ServiceSpec) else specs:
            for one in self._remember(spec):
                self._add(one)
        self._fill(state)

    def _remember(self, spec: ServiceSpec) -> list[ServiceSpec]:
        """The declarations of a service whose states are kept, newest first."""
        key = _DECLARED + spec.name.encode()
        with self._store.write() as transaction:
            stored = transaction.get(key)
            held: list[ServiceSpec] = [] if stored is None else _specs.decode(stored)
            kept = [spec, *(one for one in held if one != spec)][:_GENERATIONS]
            if kept != held:
                transaction.put(key, _pack(kept))
        return kept

    def _add(self, spec: ServiceSpec) -> None:
        needed = plan(spec)
        for source in spec.sources:
            found = layout(spec, needed, source.name)
            known = [one.prefix for one in self._layouts[source.name]]
            if found is not None and found.prefix not in known:
                self._layouts[source.name].append(found)

    def _fill(self, state: State) -> None:
        """Write what the tables hold into states that are new, or were lost with the cache."""
        lacking = self.lacking
        if not lacking:
            return
        from evertrain.store.table import Table

        for name in lacking:
            table = Table(state.tables, f"source.{name}")
            if table.version() >= 0:
                rows = table.read()
                for start in range(0, rows.height, _PORTION):
                    self.write(name, rows.slice(start, _PORTION))
            self.complete(name)

    @property
    def lacking(self) -> tuple[SourceName, ...]:
        """Sources whose history is not (known to be) in the states."""
        with self._store.read() as cursor:
            return tuple(
                name
                for name, layouts in self._layouts.items()
                if any(not _read_meta(cursor.get(one.meta)).complete for one in layouts)
            )

    def complete(self, source: SourceName) -> None:
        """Say that the whole history of a source has been written."""
        with self._store.write() as transaction:
            for one in self._layouts.get(source, ()):
                meta = _read_meta(transaction.get(one.meta))
                transaction.put(one.meta, _pack(msgspec.structs.replace(meta, complete=True)))

    def write(self, source: str, frame: "pl.DataFrame") -> None:
        """Make rows visible to requests: all of them or none. Writing rows that are there changes nothing.

        frame: the source's columns and `_known_at`; other columns are ignored, and so are sources that nobody reads.
        """
        layouts = self._layouts.get(SourceName(source), ())
        if not layouts or not len(frame):
            return
        with self._store.write() as transaction:
            for one in layouts:
                _Recorder(one, transaction).record(_rows(one, frame))
            crash_point("online.before_commit")
        crash_point("online.after_commit")

    def close(self) -> None:
        self._store.close()


def _rows(place: Layout, frame: "pl.DataFrame") -> Iterator[Version]:
    """The frame's rows as first versions, never corrected so far."""
    source = place.source
    names = source.key or tuple(sorted(name for name in frame.columns if not name.startswith("_")))
    events = _plain(frame, source.event_time)
    if "_known_at" in frame.columns:
        known = _plain(frame, "_known_at")
    else:
        known = [at + source.known_at.offset for at in _plain(frame, source.known_at.column)]
    keys = zip(*(_plain(frame, name) for name in names), strict=True)
    values = (
        zip(*(_plain(frame, name) for name in place.columns), strict=True) if place.columns else ((),) * len(events)
    )
    for key, event, moment, row in zip(keys, events, known, values, strict=True):
        yield Version(key, event, moment, NEVER, row)


def _plain(frame: "pl.DataFrame", name: str) -> list[Any]:
    """A column as plain values, instants as microseconds."""
    column = frame[name]
    return (column.dt.cast_time_unit("us").to_physical() if column.dtype.is_temporal() else column).to_list()


def _read_meta(stored: bytes | None) -> Meta:
    return Meta() if stored is None else _meta.decode(stored)


class _Recorder:
    """One write of one source's rows: rows and their versions first, then the totals that they change."""

    def __init__(self, place: Layout, transaction: Any) -> None:
        self._place = place
        self._transaction = transaction
        self._cursor = transaction.cursor()
        self._column = {name: number for number, name in enumerate(place.columns)}
        self._deltas: dict[bytes, dict[int, Totals]] = defaultdict(dict)
        self._widths: dict[bytes, struct.Struct] = {}

    def record(self, rows: Iterable[Version]) -> None:
        for row in rows:
            self._version(row)
        for prefix, deltas in self._deltas.items():
            self._add(prefix, deltas)
        self._note_deviations()

    def _version(self, row: Version) -> None:
        """Place a row among the versions of the same key and event time."""
        digest = hashlib.blake2b(_pack(row.key), digest_size=12).digest()
        identity = self._place.index + _INSTANT.pack(row.event ^ -(2**63)) + digest
        known = list(self._known_versions(identity, row))
        twin = next((one for one in known if one.known == row.known), None)
        if twin is not None and _rank(twin.values) >= _rank(row.values):
            return
        before = max((one for one in known if one.known < row.known), key=lambda one: one.known, default=None)
        after = min((one.known for one in known if one.known > row.known), default=NEVER)
        if twin is not None:
            self._apply(twin, -1)
        elif before is not None:
            self._apply(before, -1)
            self._apply(msgspec.structs.replace(before, until=row.known), 1)
        self._apply(msgspec.structs.replace(row, until=after), 1)
        self._transaction.put(identity + descending(row.known), _pack(row.values))

    def _known_versions(self, identity: bytes, row: Version) -> Iterator[Version]:
        cursor, until = self._cursor, NEVER
        found = cursor.set_range(identity)
        while found and cursor.key().startswith(identity):
            known = instant_of(cursor.key()[len(identity) :])
            yield Version(row.key, row.event, known, until, tuple(_versions.decode(cursor.value())))
            until = known
            found = cursor.next()

    def _apply(self, row: Version, sign: int) -> None:
        """Add a version to every state, or take it away."""
        for sums in self._place.sums.values():
            self._count(sums, row, sign)
        for place in self._place.lists.values():
            entity = self._entity(place.stream.entity, row)
            base = self._base(place.stream.base, row)
            if entity is None or base is None or not self._holds(place.stream.filter, row):
                continue
            key = place.prefix + entity + descending(base) + key_bytes(row.key) + descending(row.known)
            if sign > 0:
                kept = [row.values[self._column[name]] for name in place.columns]
                self._transaction.put(key, _pack([row.event, row.known, row.until, *kept]))
            else:
                self._transaction.delete(key)

    def _count(self, sums: SumPlace, row: Version, sign: int) -> None:
        entity = self._entity(sums.stream.entity, row)
        base = self._base(sums.stream.base, row)
        if entity is None or base is None or not self._holds(sums.stream.filter, row):
            return
        weights = [sign]
        for name in sums.columns:
            value = row.values[self._column[name]]
            weights += [0, 0] if value is None else [sign, sign * int(value)]
        self._change(sums.prefix + entity, base, tuple(weights))
        opposite = tuple(-weight for weight in weights)
        for offset, prefix in sums.deviations.items():
            if offset is None:
                if row.until != NEVER:
                    self._change(prefix + entity, row.until, tuple(weights))
                continue
            enters = min(max(base + offset, row.known), row.until)
            if enters != base + offset:
                self._change(prefix + entity, enters, tuple(weights))
                self._change(prefix + entity, base + offset, opposite)

    def _change(self, series: bytes, at: int, weights: Totals) -> None:
        deltas = self._deltas[series]
        held = deltas.get(at)
        deltas[at] = weights if held is None else tuple(map(int.__add__, held, weights))

    def _entity(self, names: Sequence[str], row: Version) -> bytes | None:
        return entity_bytes([row.values[self._column[name]] for name in names])

    def _base(self, axis: str, row: Version) -> int | None:
        if axis == EVENT:
            return row.event
        if axis == KNOWN:
            return row.known
        value = row.values[self._column[axis]]
        return None if value is None else int(value)

    def _holds(self, name: str | None, row: Version) -> bool:
        return name is None or row.values[self._column[name]] in (1, True)

    def _add(self, series: bytes, deltas: dict[int, Totals]) -> None:
        """Add to a series of running totals: new times get an entry, later ones are rewritten."""
        changed = sorted((at, weights) for at, weights in deltas.items() if any(weights))
        if not changed:
            return
        pack = _packing(len(changed[0][1]))
        later, total = self._later(series, changed[0][0], pack)
        added = dict(changed)
        later.update((at, None) for at in added if at not in later)
        shift = (0,) * len(total)
        for at in sorted(later):
            shift = tuple(map(int.__add__, shift, added.get(at, (0,) * len(total))))
            total = later[at] or total
            self._transaction.put(series + descending(at), pack.pack(*map(int.__add__, total, shift)))

    def _later(self, series: bytes, at: int, pack: struct.Struct) -> tuple[dict[int, Totals | None], Totals]:
        """The series' entries from `at` on, and the total before it."""
        cursor, length = self._cursor, len(series)
        later: dict[int, Totals | None] = {}
        found = cursor.set_range(series)
        while found:
            key = cursor.key()
            if not key.startswith(series):
                break
            time = instant_of(key[length:])
            total = pack.unpack(cursor.value())
            if time < at:
                return later, total
            later[time] = total
            found = cursor.next()
        return later, (0,) * (pack.size // 8)

    def _note_deviations(self) -> None:
        """Let readers know which corrections exist, so that they need not look for the others."""
        length = len(self._place.prefix) + 3
        kind = self._place.prefix + b"d"
        fresh = {series[:length] for series in self._deltas if series.startswith(kind)}
        meta = _read_meta(self._transaction.get(self._place.meta))
        if not fresh.issubset(meta.deviating):
            deviating = tuple(sorted(fresh.union(meta.deviating)))
            self._transaction.put(self._place.meta, _pack(msgspec.structs.replace(meta, deviating=deviating)))


_PACKINGS: dict[int, struct.Struct] = {}


def _packing(width: int) -> struct.Struct:
    return _PACKINGS.setdefault(width, struct.Struct(f"<{width}q"))


def _rank(values: Sequence[Value]) -> list[tuple[bool, Any]]:
    """Of two versions known at one instant the larger counts, null being smallest."""
    return [(value is not None, 0 if value is None else value) for value in values]
