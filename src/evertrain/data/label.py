"""Labels that clients post, as rows of the source that the label is declared on; and those that come as its rows.

A posted label names a prediction or an entity key, and a value. The source's other columns are those of the request
that was answered: where a column of the source has the name of a request column, it has its value. So a label that is
posted and one that comes in a file are the same row; where both come, the later one is a version of the same row.

A label that comes in a file is told to the log where its prediction was logged before it came. One that was there
before its prediction is not: the model may have learned it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import polars as pl

from evertrain.config.declaration import ExamplesSpec, LabelSpec, ServiceSpec
from evertrain.core.cohort import entity_key
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.schema import Column, Value
from evertrain.core.time import Instant
from evertrain.data.batch import KNOWN, schema_of
from evertrain.data.commit import predictions_table
from evertrain.data.example import key_texts, label_numbers
from evertrain.data.prediction import place_of
from evertrain.data.revision import physical
from evertrain.data.source import Broken
from evertrain.errors import SourceError
from evertrain.store.pseudonym import Pseudonyms
from evertrain.store.segment import Position
from evertrain.store.state import State
from evertrain.store.table import TIME, Table

__all__ = ["Posted", "PostedLabels"]

_REMEMBERED = 50_000
"""Predictions that are kept in memory for their labels; older ones are looked up in the table."""

_NO_ROW = (
    ", and a pseudonym is all that is logged of it: no row of the source has that. The label counts for what was "
    "answered, not for trainings; deliver it in the source's files as well."
)


class _Asked(NamedTuple):
    """What a label needs of its prediction."""

    id: str
    key: str
    row: tuple[Value, ...]


class Posted(NamedTuple):
    """Posted labels as rows of the label's source, those that fit none, and how far each writer was read."""

    rows: pl.DataFrame
    aside: tuple[Broken, ...]
    places: dict[str, int]


class PostedLabels:
    """Joins the posted labels of one service to the requests that they are about."""

    def __init__(self, spec: ServiceSpec, label: LabelSpec, state: State) -> None:
        self._spec, self._label = spec, label
        self._predictions = Table(state.tables, predictions_table(spec.name))
        self._pseudonyms = Pseudonyms(state)
        self._personal_key = spec.examples is not None and not set(spec.hidden).isdisjoint(spec.examples.key)
        self._source = spec.source(label.source)
        self._by_id: OrderedDict[str, _Asked] = OrderedDict()
        self._by_key: OrderedDict[str, _Asked] = OrderedDict()

    def predicted(self, record: Predicted) -> None:
        """Remember a prediction for its label. Of a story's steady load and of retries nothing is learnt."""
        if record.load or record.retry:
            return
        asked = _Asked(record.id, record.key, record.row)
        for index, name in ((self._by_id, record.id), (self._by_key, record.key)):
            # The first prediction of a key is the example, as everywhere.
            index.setdefault(name, asked)
            if len(index) > _REMEMBERED:
                index.popitem(last=False)

    def rows(self, labels: Sequence[tuple[Position, Labelled]], columns: tuple[Column, ...]) -> Posted:
        """Rows in the form of the source's table. A label of an unknown prediction, or that does not fit, is aside."""
        absent = [label for _, label in labels if self._asked(label) is None]
        self._look_up([one.prediction for one in absent if one.prediction], [one.key for one in absent])
        made: list[list[Value]] = []
        aside: list[Broken] = []
        places: dict[str, int] = {}
        for position, label in labels:
            places[position.writer] = max(places.get(position.writer, 0), place_of(position))
            try:
                made.append(self._row(position, label, columns))
            except SourceError as error:
                aside.append(Broken(place_of(position), msgspec.to_builtins(label), error.what))
        schema = schema_of(columns)
        values = zip(*made, strict=True) if made else ((),) * len(schema)
        rows = [_series(name, dtype, cells) for (name, dtype), cells in zip(schema.items(), values, strict=True)]
        return Posted(pl.DataFrame(rows), tuple(aside), places)

    def _asked(self, label: Labelled) -> _Asked | None:
        return self._by_id.get(label.prediction) if label.prediction else self._by_key.get(label.key)

    def _row(self, position: Position, label: Labelled, columns: tuple[Column, ...]) -> list[Value]:
        asked = self._asked(label)
        if asked is None:
            raise SourceError("No prediction of this id or key is logged.")
        if self._personal_key:
            raise SourceError(f"The key is personal{_NO_ROW}")
        request = dict(zip(self._spec.inputs.names, asked.row, strict=True))
        for name in self._spec.hidden:
            del request[name]
        values: dict[str, Value] = {column.name: request.get(column.name) for column in columns}
        for column in columns:
            if column.name in self._spec.hidden and not column.nullable:
                raise SourceError(f"Column {column.name!r} is personal{_NO_ROW}")
        values |= self._key(asked.key, columns)
        values[self._label.value] = self._value(label, columns)
        moment = self._label.known_at
        for dated in (moment, self._source.known_at):
            values[dated.column] = (
                label.known - dated.offset if values.get(dated.column) is None else values[dated.column]
            )
        if values.get(self._source.event_time) is None:
            raise SourceError(f"The label has no {self._source.event_time!r}, the event time of its source.")
        return [
            *(_fit(column, values[column.name]) for column in columns),
            max(label.known, label.received),
            label.received,
            f"log/{position.writer}",
            place_of(position),
        ]

    def _value(self, label: Labelled, columns: tuple[Column, ...]) -> Value:
        """The label as its source has it: of classes, the name of the one at that place."""
        classes, place = self._spec.output.names, int(label.value)
        if not classes:
            return label.value
        if not 0 <= place < len(classes):
            raise SourceError(f"{self._label.value}: no class stands at place {place}")
        kind = next((column.type for column in columns if column.name == self._label.value), "string")
        return int(classes[place]) if kind == "int64" else classes[place]

    def _key(self, key: str, columns: tuple[Column, ...]) -> dict[str, Value]:
        """The key's text, read back into the source's key columns."""
        if self._spec.examples is None:
            return {}
        names = self._spec.examples.key
        kinds = {column.name: column.type for column in columns}
        if len(names) == 1 and kinds.get(names[0]) == "string":
            return {names[0]: key}
        parts = msgspec.json.decode(key, type=Any)
        return dict(zip(names, parts if isinstance(parts, list) else [parts], strict=True))

    def filed(self, rows: pl.DataFrame, now: Instant) -> list[Labelled]:
        """The labels in rows of the source that came in files, of predictions that are logged; in the rows' order.

        Corrections are among them: a prediction's later label counts. One of a class that is not declared is left out
        here; the next training says so.
        """
        if self._spec.examples is None:
            return []
        there = pl.col(self._label.value).is_not_null()
        if self._spec.output.names:
            there &= pl.col(self._label.value).cast(pl.String).is_in(self._spec.output.names)
        told = physical(rows.filter(there))
        keys = self._logged(told, self._spec.examples)
        self._look_up([], [key for key in keys if key not in self._by_key])
        values = label_numbers(self._spec, told[self._label.value]).to_list()
        known = told[KNOWN].to_list()
        return [
            Labelled(
                service=self._spec.name,
                prediction=self._by_key[key].id,
                key="",
                value=value,
                known=Instant(moment),
                received=now,
                filed=True,
            )
            for key, value, moment in zip(keys, values, known, strict=True)
            if key in self._by_key
        ]

    def _logged(self, rows: pl.DataFrame, asked: ExamplesSpec) -> list[str]:
        """The keys of these rows as the log has them."""
        if not self._personal_key:
            return key_texts(rows, asked).to_list()
        places = [place for place, name in enumerate(asked.key) if name in self._spec.hidden]
        return [entity_key(self._pseudonyms.hide(row, places)) for row in rows.select(asked.key).iter_rows()]

    def _look_up(self, ids: Sequence[str], keys: Sequence[str]) -> None:
        """Find predictions that are not remembered, or not any more, in the table."""
        if not (ids or keys) or self._predictions.version() < 0:
            return
        wanted = (pl.col("id").is_in(ids) | pl.col("key").is_in(keys)) & ~pl.col("load") & ~pl.col("retry")
        found = self._predictions.read(columns=["id", "key", "row", "received"], where=wanted)
        for name, key, row in found.sort("received", "id").select("id", "key", "row").iter_rows():
            asked = _Asked(name, key, tuple(msgspec.json.decode(row, type=list[Any])))
            self._by_id.setdefault(name, asked)
            self._by_key.setdefault(key, asked)


def _series(name: str, dtype: pl.DataType, values: Sequence[Value]) -> pl.Series:
    if dtype == TIME:
        return pl.Series(name, values, dtype=pl.Int64).cast(TIME)
    return pl.Series(name, values, dtype=dtype)


def _fit(column: Column, value: Value) -> Value:
    """A value as the column stores it (instants as microseconds); SourceError where it would have to be changed."""
    if value is None:
        if column.nullable:
            return None
        raise SourceError(f"{column.name}: missing")
    if column.type == "timestamp" and isinstance(value, int):
        return value
    if column.type == "float64" and isinstance(value, (int, float)):
        return float(value)
    if column.type == "int64" and isinstance(value, (int, float)) and _is_int64(value):
        return int(value)
    if column.type == "bool" and value in (0, 1):
        return bool(value)
    if column.type == "string" and isinstance(value, str):
        return value
    raise SourceError(f"{column.name}: not {column.type}")


def _is_int64(value: float) -> bool:
    return -(2**63) <= value < 2**63 and value == int(value)
