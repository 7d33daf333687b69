"""What was read of a database, frozen: each page is a Parquet file, and the files alone say how far reading came.

    0000000012_1704103200000000.parquet    the 12th page; the newest cursor of all pages up to it

A cursor's place is an integer: of a time the microseconds since 1970, as the clock shows it; of a number itself.
A page counts from the moment in which its file has its name.
"""

import io
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import polars as pl

from evertrain.config.declaration import SqlSpec
from evertrain.core.schema import Column
from evertrain.data.column import parse_text
from evertrain.errors import SourceError
from evertrain.store.file import write_atomically

__all__ = ["Page", "PageFolder", "bound_of", "fingerprints", "frames_of", "places_of"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SURE_DIGITS = 15
"""A decimal number of more digits may not be told from its neighbour once it is a float."""
_EXACT = 2**53
_SWEPT = "swept"
_LAYOUT = r"^\d{4}-\d{2}-\d{2}(?:([T ])\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_UTC = ("Z", "+00:00", "+0000", "-00:00")


class Page(NamedTuple):
    """One page by its name. newest: the newest place of this page and all before it."""

    number: int
    newest: int
    path: Path


class PageFolder:
    """The pages of one source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def standing(self) -> list[Page]:
        """All pages, in order."""
        found = []
        for path in self.folder.glob("*.parquet"):
            number, _, newest = path.stem.partition("_")
            if number.isdigit():  # what is being written begins with a dot
                found.append(Page(int(number), int(newest), path))
        return sorted(found)

    def keep(self, frame: pl.DataFrame, newest: int, last: Page | None) -> Page:
        """Freeze rows as the page after `last`; on disk when this returns."""
        number = 1 if last is None else last.number + 1
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        path = self.folder / f"{number:010}_{newest}.parquet"
        write_atomically(path, buffer.getvalue())
        return Page(number, newest, path)

    def swept(self) -> None:
        """Everything was read just now."""
        (self.folder / _SWEPT).touch()

    @property
    def unswept_s(self) -> float:
        """How many seconds ago everything was read."""
        stamp = self.folder / _SWEPT
        return time.time() - stamp.stat().st_mtime if stamp.exists() else float("inf")


# Rows -----------------------------------------------------------------------------------------------------------------


def frames_of(
    names: Sequence[str], rows: Sequence[Sequence[Any]], booleans: Collection[str] = ()
) -> list[pl.DataFrame]:
    """The rows of a page as typed columns: one frame, and one more for rows whose values are of another type than
    most in their column, as SQLite allows; what becomes of those is decided where files are judged.

    booleans: columns that are declared as such; 0 and 1 mean false and true there, as in SQLite, which has no others.
    SourceError names the column whose values a table does not hold.
    """
    columns = {name: [_plain(name, row[place]) for row in rows] for place, name in enumerate(names)}
    for name in columns.keys() & {*booleans}:
        columns[name] = [bool(value) if value in (0, 1) else value for value in columns[name]]
    odd: set[int] = set()
    for values in columns.values():
        odd.update(_misfits(values))
    if not odd:
        return [_frame(columns)]
    fit = [place for place in range(len(rows)) if place not in odd]
    parts = [fit, sorted(odd)] if fit else [sorted(odd)]
    return [_frame({name: [values[place] for place in part] for name, values in columns.items()}) for part in parts]


def _plain(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float | date):
        return value
    if isinstance(value, Decimal):
        if value.is_finite() and len(value.as_tuple().digits) > _SURE_DIGITS:
            raise SourceError(
                f"Column {name!r} holds {value}, a number of more digits than a float keeps.",
                f"Cast it in the query: round({name}, 2), or CAST({name} AS text) for a code.",
            )
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    raise SourceError(
        f"Column {name!r} holds values of type {type(value).__name__}, which a table does not hold.",
        f"Cast it in the query: CAST({name} AS text), or leave it out.",
    )


def _misfits(values: Sequence[Any]) -> Iterator[int]:
    """Places of values that are not of the kind that most are of; numbers are one kind."""
    kinds = [None if value is None else _kind(value) for value in values]
    known = [kind for kind in kinds if kind is not None]
    if len(set(known)) > 1:
        usual = max(sorted(set(known)), key=known.count)
        yield from (place for place, kind in enumerate(kinds) if kind not in (None, usual))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "huge" if isinstance(value, int) and not -(2**63) <= value < 2**63 else "number"
    return "text" if isinstance(value, str) else "time"


def _frame(columns: dict[str, list[Any]]) -> pl.DataFrame:
    return pl.DataFrame([_series(name, values) for name, values in columns.items()])


def _series(name: str, values: list[Any]) -> pl.Series:
    """One column, of the narrowest type that holds all of its values; of text where they are of several kinds."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    if kinds == {date, datetime}:
        values = [value if isinstance(value, datetime) else _midnight(value) for value in values]
    try:
        return pl.Series(name, values)
    except (TypeError, OverflowError, pl.exceptions.PolarsError):
        return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)


def _midnight(value: date | None) -> datetime | None:
    return None if value is None else datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the query's own


def fingerprints(frames: Iterable[pl.DataFrame]) -> pl.Series:
    """64 bits of each row, equal for equal rows whatever types their pages have: 1, 1.0 and no column of its own.

    They are good within one process only.
    """
    found = [frame.select(_text(name, kind) for name, kind in frame.schema.items()).hash_rows() for frame in frames]
    return pl.concat(found) if found else pl.Series(dtype=pl.UInt64)


def _text(name: str, kind: pl.DataType) -> pl.Expr:
    cell = pl.col(name)
    if kind.is_float():
        whole = (cell == cell.floor()) & (cell.abs() < _EXACT)
        return pl.when(whole).then(cell.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(cell.cast(pl.String))
    return cell.cast(pl.String)


# Cursors --------------------------------------------------------------------------------------------------------------


def places_of(cursor: pl.Series) -> pl.Series:
    """The places of cursor values, int64. SourceError for what does not grow as its order says."""
    kind = cursor.dtype
    if kind.is_integer():
        return cursor.cast(pl.Int64)
    if kind == pl.Date:
        return cursor.cast(pl.Datetime("us")).to_physical()
    if isinstance(kind, pl.Datetime):
        return cursor.dt.cast_time_unit("us").to_physical()
    if kind == pl.String:
        return _places_of_text(cursor)
    raise SourceError(f"The cursor {cursor.name!r} is {kind}.", "It must be a time or an integer.")


def _places_of_text(cursor: pl.Series) -> pl.Series:
    """Times that are text, as SQLite keeps them, are read in the order of the text; so all must be written alike."""
    parts = cursor.str.extract_groups(_LAYOUT).struct.unnest()
    separators, offsets = (set(part.drop_nulls()) for part in parts.iter_columns())
    value, reason = parse_text(Column(name=cursor.name, type="timestamp"), "UTC")
    parsed = cursor.to_frame().select(value.alias("value"), reason.alias("reason"))
    reasons = parsed["reason"].drop_nulls()
    if len(reasons):
        raise SourceError(f"The cursor holds {cursor[0]!r} and others; {reasons[0]}.", "Name a time or an integer.")
    if len(separators) > 1 or (len(offsets) > 1 or not offsets <= {*_UTC}):
        raise SourceError(
            f"The cursor {cursor.name!r} holds times that are written in several ways, or with offsets from UTC, so "
            "their order as text is not their order in time.",
            f"Give the query one that is: datetime({cursor.name}) AS changed, and cursor='changed'.",
        )
    return parsed["value"].to_physical()


def bound_of(cursor: pl.Series, newest: int, spec: SqlSpec) -> Any:
    """Where the next reading begins: the newest place less the overlap, as the database compares it.

    cursor: values of the newest page, which show how this database writes them.
    """
    kind = cursor.dtype
    if kind.is_integer():
        return newest - spec.overlap_values
    moment = _EPOCH + timedelta(microseconds=newest - spec.overlap)
    if kind == pl.Date:
        return moment.date()
    if isinstance(kind, pl.Datetime):
        return moment if kind.time_zone is not None else moment.replace(tzinfo=None)
    written = cursor.drop_nulls()[0]
    return moment.strftime(f"%Y-%m-%d{written[10]}%H:%M:%S" if len(written) > len("2024-01-01") else "%Y-%m-%d")
