"""Columns and their types: inferred once, then fixed; parsed strictly, never cast.

A value that does not fit its column's type is told with its reason, row by row; the rest of the file stands. What
counts as fitting, by type:

    string      any text
    int64       an integer in plain digits ("02139" is a code, not a number); a float only when it is whole and exact
    float64     a finite decimal number ("007" and integers of more than 15 digits are codes)
    bool        true, false; where the type is declared, yes and no as well (NO is a country too, so nobody infers that)
    timestamp   ISO 8601 with an offset, or without one where the source has a zone; nothing finer than a microsecond
"""

from collections.abc import Sequence
from functools import lru_cache

import polars as pl

from evertrain.core.schema import Column, Kind
from evertrain.data.source import ROW, Cells
from evertrain.errors import SourceError
from evertrain.store.table import TIME

__all__ = ["STORED", "UNFIT", "fix_columns", "parse", "refuse_drift", "says_yes_or_no"]

STORED: dict[Kind, pl.DataType] = {
    "string": pl.String(),
    "int64": pl.Int64(),
    "float64": pl.Float64(),
    "bool": pl.Boolean(),
    "timestamp": TIME,
}

UNFIT = "_unfit"
"""The column of the first reason why a row does not fit, null where it does."""

_INTEGER = r"^-?(?:0|[1-9]\d*)$"
_WHOLE = r"(?:0|[1-9]\d*)"
# A long row of digits is a code, and a float would not keep its last ones.
_DECIMAL = rf"^[+-]?(?:(?:0|[1-9]\d{{0,14}})|(?:{_WHOLE}\.\d*|\.\d+)(?:[eE][+-]?\d+)?|{_WHOLE}[eE][+-]?\d+)$"
_TIME = (
    r"^(?<day>\d{4}-\d{2}-\d{2})(?:[T ](?<clock>\d{2}:\d{2})(?::(?<second>\d{2})(?:\.(?<fraction>\d{1,9}))?)?)?"
    r"(?<offset>Z|[+-]\d{2}:?\d{2})?$"
)
_TRUE, _FALSE = ("true", "yes"), ("false", "no")
_EXACT = 2**53
"""Below it every whole float is the integer that was meant; at it, a neighbour may have been rounded."""


def fix_columns(cells: Cells, key: Sequence[str], times: Sequence[str], zone: str | None) -> tuple[Column, ...]:
    """Infer the types of a source from one file: the narrowest that all of its values fit; `times` are timestamps.

    Key and times are never null; every other column may be.
    """
    return tuple(
        Column(
            name=name,
            type="timestamp" if name in times else _infer(cells.frame[name], zone, text=cells.text),
            nullable=name not in (*key, *times),
        )
        for name in cells.names
    )


def _infer(values: pl.Series, zone: str | None, *, text: bool) -> Kind:
    if not text and values.dtype != pl.String:
        return _kind_of(values.dtype, values.name)
    there = values.drop_nulls()
    if there.is_empty() or not text:
        return "string"
    frame = there.to_frame()
    for kind in ("int64", "float64", "bool", "timestamp"):
        if kind == "bool" and says_yes_or_no(there):
            continue
        if frame.select(parse_text(Column(name=values.name, type=kind), zone)[1].is_null().all()).item():
            return kind
    return "string"


def says_yes_or_no(values: pl.Series) -> bool:
    """Whether these words, and "yes" or "no" among them, are read where a bool is declared."""
    low = values.str.to_lowercase()
    return bool(low.is_in([*_TRUE, *_FALSE]).all()) and bool(low.is_in(["yes", "no"]).any())


def _kind_of(dtype: pl.DataType, name: str) -> Kind:
    if dtype in (pl.Categorical, pl.Enum, pl.Null):
        return "string"
    if dtype.is_integer():
        return "int64"
    if dtype.is_float():
        return "float64"
    if dtype == pl.Boolean:
        return "bool"
    if dtype in (pl.Datetime, pl.Date):
        return "timestamp"
    raise SourceError(f"Column {name!r} has the type {dtype}, which a table does not hold.", "Flatten or convert it.")


def refuse_drift(cells: Cells, columns: Sequence[Column]) -> None:
    """Raise SourceError when a file's columns are not the source's; their order does not matter."""
    declared, found = {column.name: column for column in columns}, cells.names
    missing, extra = [name for name in declared if name not in found], [name for name in found if name not in declared]
    if missing or extra:
        said = [f"{name!r} is missing" for name in missing] + [f"{name!r} is unknown" for name in extra]
        raise SourceError(f"The columns differ from those of the source: {', '.join(said)}.")
    if not cells.text:
        types = cells.frame.schema
        for name, column in declared.items():
            if not _readable(types[name], column.type):
                raise SourceError(f"Column {name!r} is {types[name]}; the source has {column.type}.")


def _readable(dtype: pl.DataType, kind: Kind) -> bool:
    """Whether a Parquet type can hold values of the kind; single values that do not fit are found row by row."""
    if dtype == pl.Null:
        return True
    if kind == "string":
        return dtype in (pl.String, pl.Categorical, pl.Enum)
    if kind in ("int64", "float64"):
        return dtype.is_integer() or dtype.is_float()
    if kind == "bool":
        return dtype == pl.Boolean
    return dtype in (pl.Datetime, pl.Date, pl.String)


def parse(cells: Cells, columns: Sequence[Column], zone: str | None) -> pl.LazyFrame:
    """The typed columns in their declared order, with ROW and UNFIT."""
    types = cells.frame.schema
    pairs = [
        parse_text(column, zone) if cells.text else _parse_typed(column, types[column.name], zone) for column in columns
    ]
    values = [value.alias(column.name) for (value, _), column in zip(pairs, columns, strict=True)]
    reasons = [pl.lit(None, pl.String), *(reason for _, reason in pairs if reason is not None)]
    return cells.frame.lazy().select(*values, ROW, pl.coalesce(reasons).alias(UNFIT))


@lru_cache(maxsize=1024)
def parse_text(column: Column, zone: str | None) -> tuple[pl.Expr, pl.Expr]:
    """How a text cell becomes a value, and the reason where it cannot."""
    cell = pl.col(column.name)
    if column.type == "string":
        return cell, pl.lit(None, pl.String)
    if column.type == "timestamp":
        return _parse_time(column.name, zone)
    if column.type == "int64":
        value = pl.when(cell.str.contains(_INTEGER)).then(cell).cast(pl.Int64, strict=False)
        wanted = "a 64-bit integer in plain digits"
    elif column.type == "float64":
        number = pl.when(cell.str.contains(_DECIMAL)).then(cell).cast(pl.Float64, strict=False)
        value = pl.when(number.is_finite()).then(number)
        wanted = "a finite number"
    else:
        low = cell.str.to_lowercase()
        value = pl.when(low.is_in(_TRUE)).then(True).when(low.is_in(_FALSE)).then(False)
        wanted = "true or false"
    return value, _unless(value.is_null() & cell.is_not_null(), f"{column.name}: not {wanted}")


def _unless(wrong: pl.Expr, reason: str) -> pl.Expr:
    return pl.when(wrong).then(pl.lit(reason))


def _parse_time(name: str, zone: str | None) -> tuple[pl.Expr, pl.Expr]:
    cell = pl.col(name)
    parts = cell.str.extract_groups(_TIME)

    def part(group: str) -> pl.Expr:
        return parts.struct.field(group)

    moment = pl.format(
        "{}T{}:{}", part("day"), part("clock").fill_null("00:00"), part("second").fill_null("00")
    ).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    nanos = part("fraction").fill_null("0").str.pad_end(9, "0").cast(pl.Int64, strict=False)
    offset = part("offset")
    away = (
        pl.when(offset == "Z")
        .then(0)
        .otherwise(
            pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)
            * (
                offset.str.slice(1, 2).cast(pl.Int64, strict=False) * 60
                + offset.str.slice(-2, 2).cast(pl.Int64, strict=False)
            )
        )
    )
    exact = moment + pl.duration(microseconds=nanos // 1000)
    aware = (exact - pl.duration(minutes=away)).dt.replace_time_zone("UTC")
    naive, unzoned = _zoned(exact, zone)
    value = pl.when(offset.is_not_null()).then(aware).otherwise(naive)
    reason = (
        pl.when(cell.is_null())
        .then(pl.lit(None, pl.String))
        .when(moment.is_null())
        .then(pl.lit(f"{name}: not an ISO 8601 time"))
        .when(nanos % 1000 != 0)
        .then(pl.lit(f"{name}: finer than a microsecond"))
        .when(offset.is_null() & naive.is_null())
        .then(pl.lit(f"{name}: {unzoned}"))
    )
    return value, reason


def _zoned(moment: pl.Expr, zone: str | None) -> tuple[pl.Expr, str]:
    """A naive time in UTC, null where that cannot be, and what the reason is then."""
    if zone is None:
        return pl.lit(None, TIME), "no offset, and the source has no zone"
    local = moment.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    return local.dt.convert_time_zone("UTC"), f"the clocks of {zone} show this time twice or never"


@lru_cache(maxsize=1024)
def _parse_typed(column: Column, dtype: pl.DataType, zone: str | None) -> tuple[pl.Expr, pl.Expr | None]:
    """The same for a column of a Parquet file; the reason is None where every value fits."""
    name, cell, stored = column.name, pl.col(column.name), STORED[column.type]
    if column.type == "timestamp":
        return _parse_typed_time(name, dtype, zone)
    if column.type == "float64" and dtype.is_float():
        value = cell.cast(pl.Float64)
        return value, _unless(~value.is_finite(), f"{name}: not a finite number")
    if dtype == stored:
        return cell, None
    if column.type == "int64" and dtype.is_float():
        fits = (cell == cell.floor()) & (cell.abs() < _EXACT)
        value = pl.when(fits).then(cell).cast(pl.Int64, strict=False)
        return value, _unless(value.is_null() & cell.is_not_null(), f"{name}: not a whole number below 2**53")
    if column.type == "float64" and dtype.is_integer():
        whole = cell.cast(pl.Int64, strict=False)
        value = pl.when(whole.is_between(-_EXACT, _EXACT)).then(whole).cast(pl.Float64)
        return value, _unless(value.is_null() & cell.is_not_null(), f"{name}: too large for an exact float")
    value = cell.cast(stored, strict=False)
    return value, _unless(value.is_null() & cell.is_not_null(), f"{name}: not a {column.type}")


def _parse_typed_time(name: str, dtype: pl.DataType, zone: str | None) -> tuple[pl.Expr, pl.Expr | None]:
    cell = pl.col(name)
    if dtype == pl.String:
        return _parse_time(name, zone)
    if dtype == TIME:
        return cell, None
    if dtype == pl.Null:
        return cell.cast(TIME), None
    fine = getattr(dtype, "time_unit", None) == "ns"
    micros = cell.cast(pl.Datetime("us", getattr(dtype, "time_zone", None)))
    reason = _unless(cell.dt.nanosecond() % 1000 != 0, f"{name}: finer than a microsecond") if fine else None
    if getattr(dtype, "time_zone", None) is not None:
        return micros.dt.convert_time_zone("UTC"), reason
    value, unzoned = _zoned(micros, zone)
    lost = _unless(value.is_null() & cell.is_not_null(), f"{name}: {unzoned}")
    return value, lost if reason is None else pl.coalesce(reason, lost)
