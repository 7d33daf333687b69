"""Plain records: `{"rows": [{"column": value, ...}, ...]}`, or one record as the whole body.

The columns are known, so msgspec reads a body straight into their order and checks the types on the way. What it
refuses, and whatever is unusual about a body that it takes, is read once more with care: there the words of a refusal
are found, and what is allowed but rare is allowed.
"""

from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from evertrain.core.schema import Column, Schema, Value
from evertrain.deploy.body import Limits, bound_rows, decode, refuse_repeated
from evertrain.deploy.column import Columns
from evertrain.errors import RequestError

__all__ = ["Records"]

_Row = tuple[Value, ...]
_list: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[Any])
_any: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_INT64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_TYPES: dict[str, Any] = {
    "string": str,
    "bool": bool,
    "int64": _INT64,
    "float64": float | int,  # an integer stays one, until it is known that a float holds it exactly
    "timestamp": str | _INT64,
}
_astuple = msgspec.structs.astuple


class Records:
    """Reads the records of one service into rows in its schema's order."""

    def __init__(self, schema: Schema, columns: Columns) -> None:
        self._columns = columns
        self._width = len(schema.columns)
        self._one, self._several = _decoders(schema)

    def read(self, body: bytes, limits: Limits) -> list[_Row]:
        """The rows of a body; RequestError that names the row and the column, or TooLargeError."""
        rows = self._at_once(body, limits)
        return self._with_care(body, limits) if rows is None else rows

    def _at_once(self, body: bytes, limits: Limits) -> list[_Row] | None:
        """The rows, when nothing about the body is unusual.

        A record that lacks a column is unusual. So the number of names in the body is known, and so is whether one of
        them comes twice.
        """
        try:
            if body.startswith(b'{"rows"'):
                records = self._several.decode(body).rows
                if not 0 < len(records) <= limits.max_rows:
                    return None
                refuse_repeated(body, 1 + self._width * len(records))
            else:
                records = [self._one.decode(body)]
                refuse_repeated(body, self._width)
        except (msgspec.DecodeError, UnicodeDecodeError, RequestError):
            return None
        fit = self._columns.fit
        rows = []
        for record in records:
            values = _astuple(record)
            if UNSET in values:
                return None
            try:
                rows.append(fit(values))
            except RequestError:
                return None
        return rows

    def _with_care(self, body: bytes, limits: Limits) -> list[_Row]:
        if body.lstrip().startswith(b"["):
            decode(body, _list, limits.max_nesting)
            raise RequestError("The body is a list.", 'Send rows as {"rows": [...]}.', field="body")
        asked = decode(body, _any, limits.max_nesting)
        records = asked.get("rows")
        if type(records) is not list:
            refuse_repeated(body, len(asked))
            return [self._columns.row(asked)]
        if len(asked) > 1:
            other = next(name for name in asked if name != "rows")
            raise RequestError(f"There is {other!r} beside rows.", "Send rows alone.", field=other)
        bound_rows(len(records), limits, "rows")
        refuse_repeated(body, 1 + sum(len(record) for record in records if type(record) is dict))
        rows = []
        for number, record in enumerate(records):
            if type(record) is not dict:
                raise RequestError(
                    f"Row {number} is not an object.", 'Send {"column": value, ...}.', field=f"rows[{number}]"
                )
            try:
                rows.append(self._columns.row(record))
            except RequestError as error:
                raise RequestError(f"Row {number}: {error.what}", error.remedy, field=error.field) from error
        return rows


@lru_cache(maxsize=64)
def _decoders(schema: Schema) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    """Of one record and of several. Versions of a service have one schema: a type for each would not be free to make,
    and hardly ever freed.
    """
    record = _record_type(schema)
    several = msgspec.defstruct("Records", [("rows", list[record])], forbid_unknown_fields=True)  # type: ignore[valid-type]
    return msgspec.json.Decoder(record), msgspec.json.Decoder(several)


def _record_type(schema: Schema) -> type[msgspec.Struct]:
    """A struct of these columns, whose fields are numbered: a column may have any name."""
    fields = [(f"_{place}", _type_of(column), UNSET) for place, column in enumerate(schema.columns)]
    names = {f"_{place}": column.name for place, column in enumerate(schema.columns)}
    return msgspec.defstruct("Record", fields, rename=names, forbid_unknown_fields=True)


def _type_of(column: Column) -> Any:
    found = _TYPES[column.type] | UnsetType
    return found | None if column.nullable else found
