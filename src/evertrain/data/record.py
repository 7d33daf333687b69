"""The one writer of the online states: whole declarations, filled from the tables and kept up to date."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import SourceName
from evertrain.data.layout import Layout, Meta, layout
from evertrain.data.stream import NEVER, plan
from evertrain.data.tally import Tally, Version
from evertrain.errors import SourceError
from evertrain.store.crash import crash_point
from evertrain.store.online import OnlineStore
from evertrain.store.state import State

if TYPE_CHECKING:
    import polars as pl

__all__ = ["OnlineWriter"]

_pack = msgspec.msgpack.encode
_meta = msgspec.msgpack.Decoder(Meta)


class OnlineWriter:
    """The one writer of an installation's online states, for all declarations whose versions may answer.

    What declarations define alike is kept once. `lacking` names the sources whose history must be written first.
    """

    def __init__(self, specs: ServiceSpec | Iterable[ServiceSpec], state: State) -> None:
        self._store = OnlineStore.open(state.online, write=True)
        self._layouts: dict[SourceName, list[Layout]] = defaultdict(list)
        for spec in [specs] if isinstance(specs, ServiceSpec) else specs:
            self._add(spec)

    def _add(self, spec: ServiceSpec) -> None:
        needed = plan(spec)
        for source in spec.sources:
            found = layout(spec, needed, source.name)
            known = [one.prefix for one in self._layouts[source.name]]
            if found is not None and found.prefix not in known:
                self._layouts[source.name].append(found)

    @property
    def lacking(self) -> tuple[SourceName, ...]:
        """Sources whose history is not known to be in the states, which are new or were lost with the cache: write
        their tables, then call `complete`. Until then no feature is computed from them.
        """
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
        self.write_all([(SourceName(source), frame)])

    def write_all(self, batches: Iterable[tuple[SourceName, "pl.DataFrame"]]) -> None:
        """`write` for several sources at once: requests see all of it or nothing."""
        found = [(self._layouts.get(source, ()), frame) for source, frame in batches]
        if not any(layouts and len(frame) for layouts, frame in found):
            return
        with self._store.write() as transaction:
            for layouts, frame in found:
                for one in layouts if len(frame) else ():
                    Tally(one, transaction).record(_rows(one, frame))
            crash_point("online.before_commit")
        crash_point("online.after_commit")

    def close(self) -> None:
        self._store.close()


def _rows(place: Layout, frame: "pl.DataFrame") -> Iterator[Version]:
    """The frame's rows, none of them corrected so far."""
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
        yield key, event, moment, NEVER, row


def _plain(frame: "pl.DataFrame", name: str) -> list[Any]:
    """A column as plain values, instants as microseconds."""
    if name not in frame.columns:
        raise SourceError(f"Rows for the online states lack the column {name!r}.", "Mend the source or the feature.")
    column = frame[name]
    if not column.dtype.is_temporal():
        return column.to_list()
    if getattr(column.dtype, "time_unit", None) == "us" and not column.null_count():
        # The same bytes, without the detour through a query.
        instants: list[int] = column.to_numpy().view("int64").tolist()
        return instants
    plain = column.to_physical()
    unit = getattr(column.dtype, "time_unit", "us")
    if unit == "ns":
        if (plain % 1_000 != 0).any():
            raise SourceError(f"Column {name!r} holds times finer than a microsecond.", "Round them at their origin.")
        plain = plain // 1_000
    elif unit == "ms":
        plain = plain * 1_000
    return plain.to_list()


def _read_meta(stored: bytes | None) -> Meta:
    return Meta() if stored is None else _meta.decode(stored)
