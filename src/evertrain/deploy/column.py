"""Values of a request, checked against the schema: what does not fit is refused by name, never cast."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, cast

from evertrain.config.wording import suggestion
from evertrain.core.schema import Column, Schema, Value
from evertrain.core.time import EARLIEST, LATEST, parse_instant
from evertrain.errors import RequestError

__all__ = ["Columns"]

_Read = Callable[[object], Value]
_JSON: dict[object, str] = {None: "null", True: "true", False: "false"}


class Columns:
    """The columns of a service's requests, ready to read values.

    zone: of times without an offset, as in the table that the service was declared on; None refuses them. left_out:
    columns of that table that are no inputs.
    """

    def __init__(self, schema: Schema, zone: str | None = None, left_out: Collection[str] = ()) -> None:
        self.names = schema.names
        self._left_out = frozenset(left_out) - {*schema.names}
        self._columns = {column.name: column for column in schema.columns}
        self._reads: dict[str, _Read] = {column.name: _reader(column, zone) for column in schema.columns}
        self._reading = tuple(self._reads.values())
        self._plains = {column.name: _plain(column) for column in schema.columns}
        self._plain = tuple(self._plains.values())
        self._optional = frozenset(column.name for column in schema.columns if column.nullable)

    def column(self, name: str) -> Column:
        """The column of this name; RequestError with the nearest one when there is none."""
        found = self._columns.get(name)
        if found is None and name in self._left_out:
            raise RequestError(
                f"Column {_cut(name)} is left out of the inputs.", "Send the row without it.", field=name
            )
        if found is None:
            raise RequestError(f"There is no column {_cut(name)}.", suggestion(name, self.names), field=name)
        return found

    def values(self, name: str, data: Sequence[object]) -> list[Value]:
        """All values of one column."""
        read, plain = self._reads[name], self._plains[name]
        if _all_fit(data, plain):
            return cast("list[Value]", list(data))
        try:
            return [read(value) for value in data]
        except RequestError:
            if len(data) == 1:
                raise
            _name_row(read, data)
            raise

    def missing(self, given: Iterable[str]) -> list[str]:
        """Names that were left out and may be; RequestError about one that may not."""
        there = set(given)
        left_out = [name for name in self.names if name not in there]
        for name in left_out:
            if name not in self._optional:
                raise RequestError(
                    f"Column {name!r} is missing.", f"Send it; its type is {self._columns[name].type}.", field=name
                )
        return left_out

    def row(self, record: Mapping[str, object]) -> tuple[Value, ...]:
        """One record of names and values, as a row in the schema's order."""
        for name in record:
            self.column(name)
        if not record:
            raise RequestError("A row has no column at all.", f"Send {', '.join(self.names[:8])}.", field="rows")
        self.missing(record)
        return tuple([read(record.get(name)) for name, read in self._reads.items()])

    def fit(self, values: tuple[object, ...]) -> tuple[Value, ...]:
        """Values as JSON has them, one a column in the schema's order, as a row.

        Integers are of 64 bits at most, and floats are finite, as far as their columns' types say so.
        """
        if tuple(map(type, values)) == self._plain:
            return cast("tuple[Value, ...]", values)
        found = zip(values, self._plain, self._reading, strict=True)
        return tuple([value if type(value) is plain else read(value) for value, plain, read in found])  # type: ignore[misc]


def _name_row(read: _Read, data: Sequence[object]) -> None:
    """Find the row that is refused, and say its number with the reason."""
    for number, value in enumerate(data):
        try:
            read(value)
        except RequestError as error:
            raise RequestError(f"Row {number}: {error.what}", error.remedy, field=error.field) from None


def _plain(column: Column) -> type | None:
    """The type of the values of JSON that this column takes as they are; None when each has to be looked at."""
    return _PLAIN.get(column.type) if column.low is None and column.high is None else None


def _all_fit(data: Sequence[Any], plain: type | None) -> bool:
    """Whether a column can be taken whole; a sum of floats is finite only if each of them is."""
    return plain in (str, float) and set(map(type, data)) == {plain} and (plain is str or math.isfinite(sum(data)))


def _reader(column: Column, zone: str | None) -> _Read:
    read = _timestamp(column, zone) if column.type == "timestamp" else _READERS[column.type](column)
    return read if column.low is None and column.high is None else _bounded(column, read)


def _unfit(column: Column, value: object, wanted: str, remedy: str) -> Value:
    """What a reader makes of a value that is none of its type: null where it may be, else RequestError.

    It is looked at last, so that the values that fit, which are nearly all, pass one function and one comparison.
    """
    if value is not None:
        raise RequestError(f"Column {column.name!r}: {_cut(value)} is not {wanted}.", remedy, field=column.name)
    if not column.nullable:
        raise RequestError(f"Column {column.name!r} is null.", "Send a value: it is not nullable.", field=column.name)
    return None


def _cut(value: object) -> str:
    """A value as the client wrote it: true is JSON, True is not."""
    text = _JSON[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _string(column: Column) -> _Read:
    def read(value: object) -> Value:
        if type(value) is str:
            return value
        return _unfit(column, value, "a text", "Send a JSON string.")

    return read


def _bool(column: Column) -> _Read:
    def read(value: object) -> Value:
        if type(value) is bool:
            return value
        return _unfit(column, value, "a bool", "Send true or false.")

    return read


_EXACT: Final = 2**53
"""Below it every whole float is the integer that was meant, as in files."""


def _int64(column: Column) -> _Read:
    def read(value: object) -> Value:
        if type(value) is int and -(2**63) <= value < 2**63:
            return value
        if type(value) is float and value.is_integer() and abs(value) < _EXACT:
            return int(value)  # a row of a data frame of numbers is all floats
        return _unfit(column, value, "an int64", "Send a whole number of 64 bits.")

    return read


def _float64(column: Column) -> _Read:
    def read(value: object) -> Value:
        if type(value) is float and math.isfinite(value):
            return value
        if type(value) is int and abs(value) <= 2**1000:
            number = float(value)
            if int(number) == value:
                return number
            return _unfit(column, value, "exactly a float64", "Send a number of at most 53 bits, or declare int64.")
        return _unfit(
            column, value, "a finite number", "Send a number; null is for what is missing, where it is allowed."
        )

    return read


def _timestamp(column: Column, zone: str | None) -> _Read:
    wanted = "ISO 8601 with an offset" if zone is None else f"ISO 8601, without an offset as of {zone}"

    def read(value: object) -> Value:
        if type(value) is int and EARLIEST <= value <= LATEST:
            return value
        if type(value) is str:
            try:
                return parse_instant(value, zone)
            except (ValueError, OverflowError) as error:
                raise RequestError(
                    f"Column {column.name!r}: {error}.",
                    f'Send {wanted}, like "2013-02-06T05:00:00Z".',
                    field=column.name,
                ) from error
        return _unfit(column, value, "a time", f"Send {wanted}, or microseconds since 1970 in UTC.")

    return read


def _bounded(column: Column, read: _Read) -> _Read:
    low = -math.inf if column.low is None else column.low
    high = math.inf if column.high is None else column.high

    def read_bounded(value: object) -> Value:
        found = read(value)
        if isinstance(found, str) or found is None or low <= found <= high:
            return found
        return _unfit(column, found, f"within {low:g} and {high:g}", "Send a value within the declared bounds.")

    return read_bounded


_PLAIN: dict[str, type] = {"string": str, "bool": bool, "int64": int, "float64": float}
_READERS: dict[str, Callable[[Column], _Read]] = {
    "string": _string,
    "bool": _bool,
    "int64": _int64,
    "float64": _float64,
}
