"""One file of a source, made into checked rows: read, parse, clean, check, date, and say where each row came from.

Nothing gets lost on the way: the rows of the file are the rows that were kept plus those that were set aside, and
that is checked here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from evertrain.config.declaration import FunctionRef, SourceSpec
from evertrain.core.identity import Digest
from evertrain.core.schema import Column
from evertrain.core.time import Instant
from evertrain.data.checks import broken_rule
from evertrain.data.column import STORED, parse, refuse_drift
from evertrain.data.source import ROW, Broken, Cells
from evertrain.errors import IntegrityError, SourceError
from evertrain.store.table import TIME

__all__ = ["ARRIVED", "BATCH", "FILE", "KNOWN", "Batch", "Resolve", "Taken", "check_file", "schema_of", "without"]

KNOWN, ARRIVED, FILE, BATCH = "_known_at", "_arrived_at", "_file", "_batch"
"""When a row was known, when its file came, the digest of that file, the batch that committed it."""

_REASON = "_reason"

Resolve = Callable[[FunctionRef], Callable[..., Any]]
"""Finds a function of the user's in the bundle."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that is complete. history: it was there before the source was first read, so its rows keep the times
    that they declare; the rows of any other file are known no earlier than they arrived.
    """

    name: str
    digest: Digest
    arrived: Instant
    history: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one file: kept, with their provenance, and set aside, with their reasons."""

    file: Taken
    rows: pl.DataFrame
    aside: tuple[Broken, ...]


def schema_of(columns: Sequence[Column]) -> pl.Schema:
    """What a source's table holds: its columns, then the provenance (the batch tag is added by the commit)."""
    own = {column.name: STORED[column.type] for column in columns}
    return pl.Schema({**own, KNOWN: TIME, ARRIVED: TIME, FILE: pl.String(), ROW: pl.Int64()})


def check_file(spec: SourceSpec, columns: tuple[Column, ...], file: Taken, cells: Cells, resolve: Resolve) -> Batch:
    """Make the rows of a file. Raises SourceError when the file as a whole cannot be taken in."""
    refuse_drift(cells, columns)
    typed, unfit = parse(cells, columns, spec.zone)
    fit = typed if unfit.null_count() == unfit.len() else typed.filter(unfit.is_null())
    cleaned = fit if spec.clean is None else _clean(spec, spec.clean, columns, fit, resolve)
    # One pass for provenance and rules: a small file costs a few such passes and little else.
    judged = cleaned.select(*_dated(spec, columns, file), broken_rule(spec, columns).alias(_REASON))
    reasons = judged[_REASON]
    stands = reasons.null_count() == reasons.len()
    kept = judged if stands else judged.filter(pl.col(_REASON).is_null())
    complete = stands and judged.height == typed.height
    aside = [*cells.broken, *(() if complete else _set_aside(cells, typed, unfit, judged))]
    kept.drop_in_place(_REASON)
    if kept.height + len(aside) != cells.rows:
        raise IntegrityError(f"{file.name!r} has {cells.rows} rows; {kept.height} kept and {len(aside)} set aside.")
    return Batch(file, kept, tuple(sorted(aside, key=lambda broken: broken.row)))


def _clean(
    spec: SourceSpec, function: FunctionRef, columns: Sequence[Column], rows: pl.DataFrame, resolve: Resolve
) -> pl.DataFrame:
    said = f"The cleaning function {function.module}:{function.name} of source {spec.name!r}"
    try:
        cleaned = resolve(function)(rows.lazy())
        cleaned = cleaned.collect() if isinstance(cleaned, pl.LazyFrame) else cleaned
    except Exception as error:
        # The user's code may raise anything; the file is set aside and the loop goes on.
        raise SourceError(f"{said} raised {type(error).__name__}: {error}.", "Mend it; the file is kept.") from error
    if not isinstance(cleaned, pl.DataFrame):
        raise SourceError(f"{said} returned {type(cleaned).__name__}.", "Return the frame that it was given, changed.")
    wanted = {column.name: STORED[column.type] for column in columns} | {ROW: pl.Int64()}
    for name, dtype in wanted.items():
        if cleaned.schema.get(name) != dtype:
            raise SourceError(
                f"{said} returned column {name!r} as {cleaned.schema.get(name, 'nothing')}, not as {dtype}.",
                "Keep every column, the row number too, and its type.",
            )
    if not cleaned[ROW].is_in(rows[ROW].to_list()).all() or cleaned[ROW].is_duplicated().any():
        raise SourceError(f"{said} made rows that were not in the file.", "Derive rows in a feature instead.")
    return cleaned.select(list(wanted))


def _set_aside(cells: Cells, typed: pl.DataFrame, unfit: pl.Series, judged: pl.DataFrame) -> list[Broken]:
    """Rows that did not fit, that a rule stopped, or that the cleaning function left out, as they stood in the file."""
    reasons = {row: reason for row, reason in zip(typed[ROW], unfit, strict=True) if reason is not None}
    reasons |= {row: reason for row, reason in zip(judged[ROW], judged[_REASON], strict=True) if reason is not None}
    standing = {*judged[ROW], *reasons}
    reasons |= {row: "left out by the cleaning function" for row in typed[ROW] if row not in standing}
    raw = cells.frame.filter(pl.col(ROW).is_in(list(reasons)))
    values = raw.drop(ROW).to_dicts()
    return [Broken(row, value, reasons[row]) for row, value in zip(raw[ROW], values, strict=True)]


def _dated(spec: SourceSpec, columns: Sequence[Column], file: Taken) -> list[pl.Expr]:
    arrived = pl.lit(file.arrived).cast(TIME)
    known = pl.col(spec.known_at.column) + pl.duration(microseconds=spec.known_at.offset)
    return [
        *(pl.col(column.name) for column in columns),
        (known if file.history else pl.max_horizontal(known, arrived)).alias(KNOWN),
        arrived.alias(ARRIVED),
        pl.lit(str(file.digest)).alias(FILE),
        pl.col(ROW),
    ]


def without(rows: pl.DataFrame, standing: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """The rows that a file has gained since it was last read: equal rows are matched one to one.

    >>> file = pl.DataFrame({"n": [1, 1, 2]})
    >>> without(file, file.head(1), [Column(name="n", type="int64")])["n"].to_list()
    [1, 2]
    """
    names = [column.name for column in columns]
    count = pl.int_range(pl.len()).over(names).alias("_count")
    return (
        rows.with_columns(count)
        .join(standing.select(names).with_columns(count), on=[*names, "_count"], how="anti", nulls_equal=True)
        .drop("_count")
    )
