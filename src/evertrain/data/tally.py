"""Adding rows to the online states of one source: each row once, in any order, corrections included.

The total F_o(q) of `data.stream` is kept in two parts, so that a regular row costs one entry a stream whatever the
number of windows:   F_o(q) = G(q - o) + D_o(q)   where G adds every row at its base time b, and D_o holds, for the rows
that enter at another time c than b + o (late, lagged or corrected ones), + the row at c and - the row at b + o.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from evertrain.core.schema import Value
from evertrain.data.layout import (
    SPAN,
    Layout,
    ListPlace,
    Meta,
    SumPlace,
    descending,
    entity_bytes,
    instant_of,
    key_bytes,
)
from evertrain.data.stream import EVENT, KNOWN, NEVER, Stream

__all__ = ["Tally", "Version"]

Totals = tuple[int, ...]

Version = tuple[tuple[Value, ...], int, int, int, tuple[Value, ...]]
"""Key, event time, known-at, end (known-at of the correction, or NEVER) and values of one version of a row."""

_pack = msgspec.msgpack.encode
_meta = msgspec.msgpack.Decoder(Meta)
_values = msgspec.msgpack.Decoder(tuple)
_TIME: Final = struct.Struct(">Q")
_EVENT_AXIS: Final = -1
_KNOWN_AXIS: Final = -2


class _Axis:
    """A stream's way of placing a row: which entity, at which base time, if at all."""

    __slots__ = ("_base", "_entity", "_filter")

    def __init__(self, stream: Stream, column: dict[str, int]) -> None:
        self._entity = tuple(column[name] for name in stream.entity)
        self._base = {EVENT: _EVENT_AXIS, KNOWN: _KNOWN_AXIS}.get(stream.base, column.get(stream.base, 0))
        self._filter = None if stream.filter is None else column[stream.filter]

    def place(self, row: Version) -> tuple[bytes, int] | None:
        """The entity's bytes and the base time; None for a row that the stream leaves out."""
        values = row[4]
        if self._filter is not None and values[self._filter] != 1:
            return None
        base: Any = row[1] if self._base == _EVENT_AXIS else row[2] if self._base == _KNOWN_AXIS else values[self._base]
        entity = _encoded(*[values[number] for number in self._entity])
        return None if base is None or entity is None else (entity, base)


class _Sums:
    """A stream's running totals: what a row adds to them, and where."""

    __slots__ = ("axis", "columns", "deviations", "prefix", "single")

    def __init__(self, place: SumPlace, column: dict[str, int]) -> None:
        self.axis = _Axis(place.stream, column)
        self.prefix = place.prefix
        self.columns = tuple(column[name] for name in place.columns)
        self.deviations = tuple(place.deviations.items())

    def weights(self, row: Version, sign: int) -> Totals:
        weights = [sign]
        for number in self.columns:
            value = row[4][number]
            weights += [0, 0] if value is None else [sign, sign * int(value)]
        return tuple(weights)


class _Lists:
    """A stream's rows: where a row lies, and what is kept of it."""

    __slots__ = ("axis", "columns", "prefix")

    def __init__(self, place: ListPlace, column: dict[str, int]) -> None:
        self.axis = _Axis(place.stream, column)
        self.prefix = place.prefix
        self.columns = tuple(column[name] for name in place.columns)


class Tally:
    """One write of one source's rows: rows and their versions first, then the totals that they change."""

    def __init__(self, place: Layout, transaction: Any) -> None:
        column = {name: number for number, name in enumerate(place.columns)}
        self._place = place
        self._index = place.index
        self._sums = [_Sums(one, column) for one in place.sums.values()]
        self._lists = [_Lists(one, column) for one in place.lists.values()]
        self._transaction = transaction
        self._cursor = transaction.cursor()
        self._changes: dict[bytes, dict[int, Totals]] = {}

    def record(self, rows: Iterable[Version]) -> None:
        """Add rows; those that are there already change nothing."""
        put, set_range, key_of = self._transaction.put, self._cursor.set_range, self._cursor.key
        for row in rows:
            digest = hashlib.blake2b(_pack(row[0]), digest_size=12).digest()
            identity = self._index + _TIME.pack(row[1] + 2**63) + digest
            if set_range(identity) and key_of().startswith(identity):
                if not self._correct(identity, row):
                    continue
            else:
                self._apply(row, 1)
            put(identity + descending(row[2]), _pack(row[4]))
        for series, changes in self._changes.items():
            self._add(series, changes)
        self._note_deviations()

    def _correct(self, identity: bytes, row: Version) -> bool:
        """Place a row among the versions of the same key and event time; False when it is one of them."""
        versions = list(self._versions(identity, row))
        known = row[2]
        twin = next((one for one in versions if one[2] == known), None)
        if twin is not None and _rank(twin[4]) >= _rank(row[4]):
            return False
        before = max((one for one in versions if one[2] < known), key=lambda one: one[2], default=None)
        after = min((one[2] for one in versions if one[2] > known), default=NEVER)
        if twin is not None:
            self._apply(twin, -1)
        elif before is not None:
            self._apply(before, -1)
            self._apply((*before[:3], known, before[4]), 1)
        self._apply((*row[:3], after, row[4]), 1)
        return True

    def _versions(self, identity: bytes, row: Version) -> Iterator[Version]:
        """The stored versions, newest first; the cursor stands on the first of them."""
        cursor, until, found = self._cursor, NEVER, True
        while found and cursor.key().startswith(identity):
            known = instant_of(cursor.key()[len(identity) :])
            yield row[0], row[1], known, until, _values.decode(cursor.value())
            until = known
            found = cursor.next()

    def _apply(self, row: Version, sign: int) -> None:
        """Add a version to every state, or take it away."""
        for sums in self._sums:
            placed = sums.axis.place(row)
            if placed is not None:
                self._count(sums, placed[0], placed[1], row, sign)
        for lists in self._lists:
            placed = lists.axis.place(row)
            if placed is None:
                continue
            # On the axis of known-at two events of one key may share everything but their event time.
            key = lists.prefix + placed[0] + descending(placed[1]) + key_bytes(row[0])
            key += descending(row[2]) + descending(row[1])
            if sign > 0:
                kept = [row[4][number] for number in lists.columns]
                self._transaction.put(key, SPAN.pack(row[1], row[2], row[3]) + _pack(kept))
            else:
                self._transaction.delete(key)

    def _count(self, sums: _Sums, entity: bytes, base: int, row: Version, sign: int) -> None:
        weights = sums.weights(row, sign)
        self._change(sums.prefix + entity, base, weights)
        known, until = row[2], row[3]
        for offset, prefix in sums.deviations:
            if offset is None:
                if until != NEVER:
                    self._change(prefix + entity, until, weights)
                continue
            regular = base + offset
            enters = known if regular < known else min(regular, until)
            if enters != regular:
                self._change(prefix + entity, enters, weights)
                self._change(prefix + entity, regular, tuple([-weight for weight in weights]))

    def _change(self, series: bytes, at: int, weights: Totals) -> None:
        changes = self._changes.get(series)
        if changes is None:
            self._changes[series] = {at: weights}
        else:
            held = changes.get(at)
            changes[at] = weights if held is None else tuple(map(int.__add__, held, weights))

    def _add(self, series: bytes, changes: dict[int, Totals]) -> None:
        """Add to a series of running totals: new times get an entry, later ones are rewritten."""
        changed = sorted(one for one in changes.items() if any(one[1]))
        if not changed:
            return
        packing = _packing(len(changed[0][1]))
        later, total = self._later(series, changed[0][0], packing)
        if later:
            self._rewrite(series, dict(changed), later, total, packing)
            return
        for at, weights in changed:
            total = tuple(map(int.__add__, total, weights))
            self._transaction.put(series + descending(at), packing.pack(*total))

    def _later(self, series: bytes, at: int, packing: struct.Struct) -> tuple[dict[int, Totals], Totals]:
        """The series' entries from `at` on, and the total before it."""
        cursor, length, first = self._cursor, len(series), descending(at)
        later: dict[int, Totals] = {}
        found = cursor.set_range(series)
        while found:
            key = cursor.key()
            if not key.startswith(series):
                break
            if key[length:] > first:
                return later, packing.unpack(cursor.value())
            later[instant_of(key[length:])] = packing.unpack(cursor.value())
            found = cursor.next()
        return later, (0,) * (packing.size // 8)

    def _rewrite(
        self,
        series: bytes,
        changed: dict[int, Totals],
        later: dict[int, Totals],
        total: Totals,
        packing: struct.Struct,
    ) -> None:
        """Put changes among entries that are there: each later total grows by what was added before it."""
        nothing = (0,) * len(total)
        shift = nothing
        for at in sorted(later.keys() | changed.keys()):
            shift = tuple(map(int.__add__, shift, changed.get(at, nothing)))
            total = later.get(at, total)
            self._transaction.put(series + descending(at), packing.pack(*map(int.__add__, total, shift)))

    def _note_deviations(self) -> None:
        """Let readers know which corrections exist, so that they need not look for the others."""
        length, kind = len(self._place.prefix) + 3, self._place.prefix + b"d"
        fresh = {series[:length] for series in self._changes if series.startswith(kind)}
        stored = self._transaction.get(self._place.meta)
        meta = Meta() if stored is None else _meta.decode(stored)
        if not fresh.issubset(meta.deviating):
            deviating = tuple(sorted(fresh.union(meta.deviating)))
            self._transaction.put(self._place.meta, _pack(msgspec.structs.replace(meta, deviating=deviating)))


@lru_cache(maxsize=1 << 16, typed=True)
def _encoded(*parts: Value) -> bytes | None:
    return entity_bytes(parts)


@lru_cache
def _packing(width: int) -> struct.Struct:
    return struct.Struct(f"<{width}q")


def _rank(values: Sequence[Value]) -> list[tuple[int, Any]]:
    """Of two versions known at one instant the larger counts; null is smallest and NaN largest, as in a frame."""
    return [_order(value) for value in values]


def _order(value: Value) -> tuple[int, Any]:
    if value is None:
        return 0, 0
    return (2, 0) if value != value else (1, value)  # noqa: PLR0124 - only NaN differs from itself
