"""A table of somebody else's predictions, read strictly: what stands in it, how it was read, what was left out.

Nothing is cast or dropped in silence. A row whose time or score cannot be read is set aside and told with the reason;
a label that is missing is a label that has not come yet. A column that was named and is not there is refused with the
nearest names.
"""

from collections.abc import Sequence
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.config.wording import suggestion
from evertrain.data.column import UNFIT, fix_columns, parse
from evertrain.data.source import ROW, Cells, form_of, read_cells
from evertrain.errors import SourceError, UserError
from evertrain.monitor.report import Kind, Observations
from evertrain.process.observation.strays import (
    is_zero_or_one,
    without_odd_cells,
    without_odd_labels,
    without_odd_scores,
    without_odd_times,
    without_odd_words,
)
from evertrain.process.observation.written import as_written, with_text_typed
from evertrain.web.wording import say_many

__all__ = ["FEW_REPEATS", "Named", "Reference", "Seen", "columns_of", "read_reference", "read_table", "reference_of"]

Floats = NDArray[np.float64]

_READABLE_ASIDE = 3
_MOST_NAMES = 12
FEW_REPEATS = 0.05
"""More rows than this that repeat a key, and it is no key of examples."""
_MOST_TEXT = 512 << 20
"""Bytes of a text file: while it is read it takes some fifteen times as many."""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of a table that mean something.

    zone: of times that bring none; None: they are read as UTC, and the report says so. positive: the label's value
    that counts as 1, for labels that are words. kind None: told by labels and scores. label None: there is none.
    """

    score: str
    label: str | None
    time: str
    key: str | None = None
    segments: tuple[str, ...] = ()
    zone: str | None = None
    positive: str | None = None
    kind: Kind | None = None

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(one for one in (self.label, self.time, self.key) if one is not None)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A table as it was read. inputs: the columns to compare, the score first. warnings: what to know first."""

    observations: Observations
    kind: Kind
    inputs: tuple[str, ...]
    notices: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """A table that inputs are compared with. inputs: the columns that it shares with what is compared."""

    name: str
    observations: Observations
    inputs: tuple[str, ...]
    notices: tuple[str, ...]


def read_table(file: Path, named: Named) -> Seen:
    """Read a table of predictions. SourceError with the remedy where it cannot be what it was said to be."""
    _check_names(named)
    cells = _read(file)
    require_columns(cells.names, (named.score, *named.roles, *named.segments), file.name)
    notices: list[str] = []
    warnings: list[str] = []
    cells = _with_positive(cells, named)
    numbers = [named.score, *([] if named.label is None else [named.label])]
    cells = without_odd_words(cells, numbers, notices)
    others = [name for name in cells.names if name not in (named.score, *named.roles, *named.segments)]
    cells = without_odd_cells(cells, others, notices)
    frame = _typed(cells, named.time, named.zone, notices, required=(named.time, named.score))
    frame = _without_odd_rows(frame, named, notices)
    frame = _once(frame, named, notices, warnings)
    score = _numbers(frame[named.score], "score", "Name the column of the predicted number with --score.")
    label = np.full(frame.height, np.nan) if named.label is None else _labels(frame[named.label])
    kind = _kind_of(label, score, named)
    rows = frame.drop(*named.roles, ROW)
    return Seen(
        observations=Observations(at=frame[named.time].to_physical().to_numpy(), score=score, label=label, rows=rows),
        kind=kind,
        inputs=(named.score, *(name for name in rows.columns if name != named.score)),
        notices=tuple(notices),
        warnings=tuple(warnings),
    )


def _without_odd_rows(frame: pl.DataFrame, named: Named, notices: list[str]) -> pl.DataFrame:
    """Times first: then labels tell the kind of the score, and that what a score may be."""
    frame = without_odd_times(frame, named.time, notices)
    if named.kind == "value":
        return frame
    is_binary = named.label is None
    if named.label is not None:
        frame = without_odd_labels(frame, named.label, notices)
        label = frame[named.label].drop_nulls()
        is_number = label.dtype.is_numeric()
        is_binary = label.is_empty() or label.dtype == pl.Boolean or (is_number and bool(is_zero_or_one(label).all()))
    if is_binary and frame[named.score].dtype.is_numeric():
        frame = without_odd_scores(frame, named.score, notices)
    return frame


def read_reference(file: Path, named: Named, present: Seen) -> Reference:
    """The table that inputs are compared with. It needs no scores and no labels."""
    return reference_of(file.name, _content(file), present.inputs, time=named.time, zone=named.zone)


def reference_of(
    name: str, content: bytes, inputs: Sequence[str], *, time: str | None = None, zone: str | None = None
) -> Reference:
    """The same of a file's content. Without times, which `time` may name, its rows are dealt one by one.

    inputs: the columns that are wanted, an empty sequence for all. SourceError where it has none of them.
    """
    cells = _cells(name, content)
    notices: list[str] = []
    has_time = time is not None and time in cells.names
    when = time if has_time else None
    wanted = inputs or [each for each in cells.names if each != time]
    cells = without_odd_cells(cells, [each for each in wanted if each in cells.names], notices)
    frame = _typed(cells, when, zone, notices, required=() if when is None else (when,))
    shared = tuple(each for each in wanted if each in frame.columns)
    if not shared:
        raise SourceError(
            f"{name} has none of the inputs: it holds {_listed(cells.names)}.",
            f"Give a reference with columns such as {_listed(inputs)}.",
        )
    lacking = [each for each in wanted if each not in shared]
    if lacking:
        notices.append(f"{name} has no {_listed(lacking)}: not compared.")
    if not has_time:
        missing = "no column of times" if time is None else f"no column {time}"
        notices.append(f"{name} has {missing}: its rows are taken as independent of each other.")
    at = np.empty(0, dtype=np.int64) if when is None else frame[when].to_physical().to_numpy()
    nothing = np.empty(0)
    seen = Observations(at=at, score=nothing, label=nothing, rows=frame.select(shared))
    return Reference(name=name, observations=seen, inputs=shared, notices=tuple(notices))


def _check_names(named: Named) -> None:
    """Refuse a column in two roles, and a zone that nobody knows."""
    wanted = (named.score, *named.roles)
    twice = next((name for name in wanted if wanted.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"Column {twice!r} is named twice.", "Score, label, time and key are columns of their own.")
    odd = next((name for name in named.segments if name in named.roles), None)
    if odd is not None:
        raise UserError(f"Column {odd!r} cannot make segments.", "It is the label, the time or the key.")
    if named.zone is not None:
        try:
            ZoneInfo(named.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise UserError(
                f"There is no time zone {named.zone!r}.", suggestion(named.zone, available_timezones(), limit=0)
            ) from error


def columns_of(file: Path) -> list[str]:
    """The columns of a table, for who has not said yet what they mean."""
    return _read(file).names


def require_columns(there: Sequence[str], wanted: Sequence[str], where: str) -> None:
    """UserError for the first name that is not there, with the nearest ones."""
    for name in wanted:
        if name not in there:
            raise UserError(f"{where} has no column {name!r}.", suggestion(name, there))


def _read(file: Path) -> Cells:
    return _cells(file.name, _content(file))


def _content(file: Path) -> bytes:
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


def _cells(name: str, content: bytes) -> Cells:
    if not content:
        raise SourceError(f"{name} is empty.", "Give a table with a header and at least one row.")
    cells = as_written(read_cells(name, content))
    if cells.frame.is_empty():
        first = f" The first of {len(cells.broken)} rows: {cells.broken[0].reason}." if cells.broken else ""
        raise SourceError(
            f"{name} holds no row that can be read.{first}", "Give a table with a header and at least one row."
        )
    return cells


# Types ----------------------------------------------------------------------------------------------------------------


def _typed(
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
            f"Not one of {cells.frame.height} rows can be read: {reason} in row {aside[ROW][0]}.",
            _remedy_for(str(reason), time),
        )
    return frame.sort(time, ROW) if time is not None else frame


def _remedy_for(reason: str, time: str | None) -> str:
    if time is not None and reason.startswith(f"{time}:"):
        return "Write times in ISO 8601, such as 2024-05-01T12:00:00+02:00, or name the right column with --time."
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
        notices.append(f"Not looked at, because of their type: {_listed(nested)}.")
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
    reasons = aside[UNFIT].value_counts(sort=True)
    said = "; ".join(f"{reason} ({count:,})" for reason, count in reasons.head(_READABLE_ASIDE).iter_rows())
    place = f"the first is row {aside.sort(ROW)[ROW][0]}"
    notices.append(f"{say_many(aside.height, 'row')} set aside, {place}: {said}.")


def _once(frame: pl.DataFrame, named: Named, notices: list[str], warnings: list[str]) -> pl.DataFrame:
    """The first row of each key counts, as everywhere; rows without a key all count."""
    if named.key is None:
        return frame
    repeated = frame.select(pl.col(named.key).is_not_null() & ~pl.col(named.key).is_first_distinct()).to_series()
    count = int(repeated.sum())
    if count > FEW_REPEATS * frame.height:
        warnings.append(
            f"{count:,} of {frame.height:,} rows repeat a {named.key}, and only the first of each is looked at: does "
            f"{named.key} name each prediction, or what it is about? Without --key all rows count."
        )
    elif count:
        repeats = "row repeats" if count == 1 else "rows repeat"
        notices.append(f"{count:,} {repeats} a {named.key}; the first of each counts.")
    return frame.filter(~repeated)


# Labels and scores ----------------------------------------------------------------------------------------------------


def _with_positive(cells: Cells, named: Named) -> Cells:
    """The label as 1 and 0, where its positive value is named."""
    if named.positive is None or named.label is None:
        return cells
    label = cells.frame[named.label].cast(pl.String)
    if not (label == named.positive).any():
        values = label.drop_nulls().unique().sort().head(_MOST_NAMES).to_list()
        raise SourceError(
            f"No row of {named.label!r} is {named.positive!r}; its values are {_listed(values)}.",
            "Name one of them with --positive.",
        )
    ones = (label == named.positive).cast(pl.Int64)
    numbers = ones.cast(pl.String) if cells.text else ones
    return Cells(cells.frame.with_columns(numbers.alias(named.label)), cells.broken, cells.text)


def _labels(values: pl.Series) -> Floats:
    if values.null_count() == len(values):
        return np.full(len(values), np.nan)
    remedy = "Write it as 0 and 1 or as a number, or name its positive value: --positive VALUE."
    return _numbers(values, "label", remedy)


def _numbers(values: pl.Series, role: str, remedy: str) -> Floats:
    """A column as floats, NaN where a value is missing. 0 and 1, true and false, and numbers are taken."""
    if values.dtype == pl.Boolean or values.dtype.is_numeric():
        return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    words = values.drop_nulls().cast(pl.String).unique().sort().head(4).to_list()
    raise SourceError(
        f"The {role} {values.name!r} is neither a number nor true and false: it holds values such as {_listed(words)}.",
        remedy,
    )


def _kind_of(label: Floats, score: Floats, named: Named) -> Kind:
    there = label[~np.isnan(label)]
    is_binary = bool(np.isin(there, (0.0, 1.0)).all()) and len(there) > 0
    is_share = bool(((score >= 0.0) & (score <= 1.0)).all())
    if named.kind == "value":
        return "value"
    if named.kind == "probability" or (is_binary and (score < 0.0).sum() + (score > 1.0).sum() > 0):
        odd = int(np.count_nonzero((score < 0.0) | (score > 1.0)))
        if not is_binary and len(there):
            raise SourceError(
                f"{named.label!r} holds other values than 0 and 1, so {named.score!r} is no probability of it.",
                "Say --kind value, or name the positive value of the label with --positive.",
            )
        if odd:
            raise SourceError(
                f"{odd:,} of {len(score):,} scores in {named.score!r} lie outside 0 and 1, so they are no "
                f"probabilities of a label of 0 and 1.",
                "Give probabilities, not margins or classes; or say --kind value for two numbers.",
            )
    return "probability" if is_share and (is_binary or not len(there)) else "value"


def _listed(names: Sequence[str]) -> str:
    """Names for a message, the first ones of many.

    >>> _listed(["a", "b"])
    "'a', 'b'"
    """
    shown = ", ".join(map(repr, names[:_MOST_NAMES]))
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
