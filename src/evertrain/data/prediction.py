"""What workers logged, as rows of tables: answers, failures, posted labels and what shadows said, of a service.

Each table takes a record exactly once: a commit carries the place in the log up to which it holds every writer's
records, and a record at or before that place is left out. The columns `row`, `vector` and `scores` are JSON arrays,
because their shape belongs to a declaration or a version: the request's columns in the schema's order (times as
microseconds), the model's inputs as they were before encoding, and the probability of each class, [] where there are
no classes. A table of before there were classes goes on without `scores`.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from evertrain.core.event import Draft, Event, TableCommitted
from evertrain.core.identity import ServiceName
from evertrain.core.prediction import Failed, Labelled, Predicted, Record, Shadowed
from evertrain.core.time import Instant
from evertrain.data.commit import failures_table, labels_table, predictions_table, shadows_table, table_fact
from evertrain.store.crash import crash_point
from evertrain.store.segment import Position
from evertrain.store.table import TIME, Table

__all__ = ["RecordTable", "ServiceTables", "place_of"]

_OFFSET_BITS = 32
_TEXT, _COUNT, _NUMBER, _FLAG = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean()

_PREDICTED: dict[str, pl.DataType] = {
    "id": _TEXT,
    "version": _TEXT,
    "key": _TEXT,
    "at": TIME,
    "received": TIME,
    "row": _TEXT,
    "vector": _TEXT,
    "score": _NUMBER,
    "arm": _TEXT,
    "assigned": _TEXT,
    "latency_us": _COUNT,
    "batch": _TEXT,
    "load": _FLAG,
    "retry": _FLAG,
    "scores": _TEXT,
}
_FIELDS = {"vector": "inputs"}
"""Columns that a record has under another name."""

_FAILED: dict[str, pl.DataType] = {
    "id": _TEXT,
    "version": _TEXT,
    "key": _TEXT,
    "at": TIME,
    "received": TIME,
    "arm": _TEXT,
    "cause": _TEXT,
    "detail": _TEXT,
    "latency_us": _COUNT,
    "load": _FLAG,
    "retry": _FLAG,
}
_LABELLED: dict[str, pl.DataType] = {
    "prediction": _TEXT,
    "key": _TEXT,
    "value": _NUMBER,
    "known": TIME,
    "received": TIME,
}
_SHADOWED: dict[str, pl.DataType] = {
    "id": _TEXT,
    "version": _TEXT,
    "champion": _TEXT,
    "key": _TEXT,
    "at": TIME,
    "received": TIME,
    "score": _TEXT,
    "answered": _TEXT,
    "otherwise": _FLAG,
    "latency_us": _COUNT,
    "batch": _TEXT,
    "cause": _TEXT,
    "detail": _TEXT,
}
_KINDS: tuple[tuple[type[Record], Callable[[ServiceName], str], dict[str, pl.DataType]], ...] = (
    (Predicted, predictions_table, _PREDICTED),
    (Failed, failures_table, _FAILED),
    (Labelled, labels_table, _LABELLED),
    (Shadowed, shadows_table, _SHADOWED),
)
_LATER = frozenset({"scores"})
"""Columns that a table which stands already may lack; it then goes on without them."""
_json = msgspec.json.Encoder()


class _Note(msgspec.Struct, frozen=True):
    """What a commit's note says: the business time of the commit."""

    at: Instant


def place_of(position: Position) -> int:
    """A position in a writer's log as one number that grows.

    >>> early, late = (Position(writer="w0", sequence=number, offset=64) for number in (0, 1))
    >>> place_of(early) < place_of(late)
    True
    """
    return position.sequence << _OFFSET_BITS | position.offset


class RecordTable:
    """One table of records. Records wait in memory until the commit."""

    def __init__(self, table: Table, columns: dict[str, pl.DataType]) -> None:
        self.table = table
        self._columns = columns
        self._waiting: list[Record] = []
        self._reached: dict[str, int] = {}

    def add(self, position: Position, record: Record) -> bool:
        """Let a record wait for the commit; False when the table holds it, or it waits, already."""
        reached = self._reached.get(position.writer)
        if reached is None:
            reached = self.table.position(position.writer)
        place = place_of(position)
        if place <= reached:
            return False
        self._reached[position.writer] = place
        self._waiting.append(record)
        return True

    def commit(self, now: Instant) -> list[Draft]:
        """Append what waits, in one commit; returns the fact for the ledger."""
        if not self._waiting:
            return []
        new = {writer: place for writer, place in self._reached.items() if place > self.table.position(writer)}
        crash_point("log.before_commit")
        committed = self.table.append_from(
            _frame(self._waiting, self._standing()), new, note=msgspec.json.encode(_Note(now)).decode()
        )
        crash_point("log.after_commit")
        self._waiting = []
        return [] if committed is None else [table_fact(committed, now)]

    def _standing(self) -> dict[str, pl.DataType]:
        """The columns of the table, or those that it will have."""
        if self.table.version() < 0:
            return self._columns
        there = self.table.schema
        return {name: dtype for name, dtype in self._columns.items() if name in there or name not in _LATER}

    def recover(self, events: Iterable[Event]) -> list[Draft]:
        """After a start: commits that the ledger does not know yet. events: what it says of this table."""
        self.table.sweep()
        known = [event.fact.version for event in events if isinstance(event.fact, TableCommitted)]
        return [
            table_fact(committed, msgspec.json.decode(committed.note, type=_Note).at)
            for committed in self.table.commits(after=max(known, default=-1))
        ]


class ServiceTables:
    """The tables of one service's records."""

    def __init__(self, folder: Path, service: ServiceName) -> None:
        self._tables = {kind: RecordTable(Table(folder, name(service)), columns) for kind, name, columns in _KINDS}

    @property
    def all(self) -> list[RecordTable]:
        return list(self._tables.values())

    def add(self, position: Position, record: Record) -> bool:
        """Let a record wait for the commit of its table; False when it is there already."""
        return self._tables[type(record)].add(position, record)

    def commit(self, now: Instant) -> list[Draft]:
        return [draft for table in self.all for draft in table.commit(now)]


def _frame(records: Sequence[Record], columns: dict[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            _series(name, dtype, [getattr(record, _FIELDS.get(name, name)) for record in records])
            for name, dtype in columns.items()
        ]
    )


def _series(name: str, dtype: pl.DataType, values: list[Any]) -> pl.Series:
    if name in ("row", "vector", "scores", "answered") or (name == "score" and dtype == _TEXT):
        values = [_json.encode(value).decode() for value in values]
    if dtype == TIME:
        return pl.Series(name, values, dtype=pl.Int64).cast(TIME)
    return pl.Series(name, values, dtype=dtype)
