"""The rows of a table of somebody else's: its cells with their types, and what cannot be read set aside and told.

Nothing is cast or dropped in silence.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import polars as pl

from evertrain.config.wording import suggestion
from evertrain.core.wording import say_many
from evertrain.data.column import UNFIT, fix_columns, parse
from evertrain.data.source import ROW, Cells, form_of, read_cells
from evertrain.errors import SourceError, UserError
from evertrain.process.observation.written import as_written, with_text_typed

__all__ = ["cells_of", "columns_of", "content_of", "require_columns", "say_names", "typed_rows"]

_MOST_SHOWN = 40
_READABLE_ASIDE = 3
_MOST_NAMES = 12
_MOST_TEXT = 512 << 20
"""Bytes of a text file: while it is read it takes some fifteen times as many."""


def columns_of(file: Path) -> list[str]:
    """The columns of a table, for who has not said yet what they mean."""
    return cells_of(file.name, content_of(file)).names


def require_columns(there: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """UserError for the first name that is not there, with the nearest ones."""
    for name in wanted:
        if name not in there:
            raise UserError(f"{where} has no column {name!r}.", suggestion(name, there))


def content_of(file: Path) -> bytes:
    """The bytes of a file. SourceError where it cannot be read, or is text that takes too much memory."""
    try:
        size = file.stat().st_size
        if size > _MOST_TEXT and form_of(file.name) in ("csv", "jsonl"):
            raise SourceError(
                f"{file.name} is text of {size >> 20:,} MiB, and at most {_MOST_TEXT >> 20:,} are read.",
                "Write it as Parquet, which is read in a tenth of the memory.",
            )
        return file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}.", "Name a file that exists.") from error


def cells_of(name: str, content: bytes) -> Cells:
    """What stands in a table, as it is written. SourceError where no row of it can be read."""
    if not content:
        raise SourceError(f"{name} is empty.", "Give a table with a header and at least one row.")
    cells = as_written(read_cells(name, content))
    if cells.frame.is_empty():
        first = f" The first of {len(cells.broken)} rows: {cells.broken[0].reason}." if cells.broken else ""
        raise SourceError(
            f"{name} holds no row that can be read.{first}", "Give a table with a header and at least one row."
        )
    return cells


def typed_rows(
    cells: Cells, time: str | None, zone: str | None, notices: list[str], *, required: Sequence[str]
) -> pl.DataFrame:
    """The typed rows. Rows whose `required` columns are missing or cannot be read are set aside, and told."""
    cells = with_text_typed(_flat(cells, notices), time, zone or "UTC")
    if time is not None:
        _refuse_numbers_as_time(cells, time)
        _tell_zone(cells.frame[time], zone, notices)
    times = () if time is None else (time,)
    columns = [
        msgspec.structs.replace(column, nullable=True) for column in fix_columns(cells, (), times, zone or "UTC")
    ]
    frame = parse(cells, columns, zone or "UTC").collect()
    lacking = pl.coalesce(
        pl.col(UNFIT),
        *(pl.when(pl.col(name).is_null()).then(pl.lit(f"{name}: missing")) for name in required),
    )
    frame = frame.with_columns(lacking.alias(UNFIT))
    aside = frame.filter(pl.col(UNFIT).is_not_null())
    _tell_aside(cells, aside, notices)
    frame = frame.filter(pl.col(UNFIT).is_null()).drop(UNFIT)
    if frame.is_empty():
        reason = aside[UNFIT][0]
        raise SourceError(
            f"Not one of {cells.frame.height} rows can be read: {reason} in row {aside[ROW][0]}"
            f"{_say_value(cells, str(reason), aside[ROW][0])}.",
            _remedy_for(str(reason), time),
        )
    return frame.sort(time, ROW) if time is not None else frame


def _say_value(cells: Cells, reason: str, row: int) -> str:
    """What stands in the cell that a reason is of."""
    column = reason.partition(":")[0]
    if column not in cells.frame.columns:
        return ""
    stands = cells.frame.filter(pl.col(ROW) == row)[column]
    return "" if stands[0] is None else f", which holds {str(stands[0])[:_MOST_SHOWN]!r}"


def _remedy_for(reason: str, time: str | None) -> str:
    if time is not None and reason.startswith(f"{time}:"):
        return (
            "Write times in ISO 8601, such as 2024-05-01T12:00:00+02:00, or name the right column with --time. "
            'Others become such times by, for days first, python -c "import polars as pl; '
            f"pl.read_csv('TABLE').with_columns(pl.col('{time}').str.to_datetime('%d.%m.%Y %H:%M:%S'))"
            ".write_csv('iso.csv')\", and --zone says of which zone they are."
        )
    return "Name the right columns with --score and --time."


def _flat(cells: Cells, notices: list[str]) -> Cells:
    """Without columns that a table of numbers and words does not hold; NaN counts as missing."""
    types = cells.frame.schema
    nested = [
        name
        for name, dtype in types.items()
        if dtype.is_nested() or dtype in (pl.Time, pl.Duration, pl.Binary, pl.Object)
    ]
    if nested:
        notices.append(f"Not looked at, because of their type: {say_names(nested)}.")
    decimals = [pl.col(name).cast(pl.Float64) for name, dtype in types.items() if dtype.is_decimal()]
    floats = [pl.col(name).fill_nan(None) for name, dtype in types.items() if dtype.is_float()]
    return Cells(cells.frame.drop(nested).with_columns(*decimals, *floats), cells.broken, cells.text)


def _refuse_numbers_as_time(cells: Cells, time: str) -> None:
    dtype = cells.frame.schema.get(time)
    if dtype is None:
        raise SourceError(f"Column {time!r} holds no times.", "Name the right column with --time.")
    if dtype.is_numeric():
        raise SourceError(
            f"Column {time!r} holds numbers ({dtype}), not times: their unit and zone would be a guess.",
            "Write them as times in ISO 8601, or name the right column with --time.",
        )


def _tell_zone(values: pl.Series, zone: str | None, notices: list[str]) -> None:
    """Say how times without a zone are read."""
    if values.dtype == pl.String:
        zoned = values.str.contains(r":\d.*(?:Z|[+-]\d{2}:?\d{2})$")
        naive = int((~zoned).sum())
    else:
        naive = len(values.drop_nulls()) if getattr(values.dtype, "time_zone", None) is None else 0
    if naive:
        read_as = "UTC; --zone names another" if zone is None else zone
        notices.append(f"{say_many(naive, 'time')} in {values.name} without a zone, read as {read_as}.")


def _tell_aside(cells: Cells, aside: pl.DataFrame, notices: list[str]) -> None:
    if cells.broken:
        first = cells.broken[0]
        count = say_many(len(cells.broken), "row")
        notices.append(f"{count} that cannot be read; the first is row {first.row}: {first.reason}.")
    if aside.is_empty():
        return
    reasons = aside.group_by(UNFIT).agg(pl.len().alias("rows"), pl.col(ROW).min())
    shown = reasons.sort("rows", ROW, descending=[True, False]).head(_READABLE_ASIDE)
    said = [
        f"{reason} ({f'{count:,}, the first is row' if count > 1 else 'row'} {first})"
        for reason, count, first in shown.select(UNFIT, "rows", ROW).iter_rows()
    ]
    left = aside.height - int(shown["rows"].sum())
    said += [f"and {left:,} more"] if left else []
    notices.append(f"{say_many(aside.height, 'row')} set aside: {'; '.join(said)}.")


def say_names(names: Sequence[str]) -> str:
    """Names for a message, the first ones of many.

    >>> say_names(["a", "b"])
    "'a', 'b'"
    """
    shown = ", ".join(map(repr, names[:_MOST_NAMES]))
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
