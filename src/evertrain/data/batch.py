"""One file of a source, made into checked rows: read, repair, parse, clean, check, date, and say whence each row is.

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
from evertrain.data.column import STORED, UNFIT, parse, refuse_drift
from evertrain.data.repair import repaired
from evertrain.data.source import ROW, Broken, Cells
from evertrain.errors import IntegrityError, SourceError, say_raised
from evertrain.store.table import TIME

__all__ = ["ARRIVED", "BATCH", "FILE", "KNOWN", "Batch", "Resolve", "Taken", "check_file", "schema_of", "without"]

KNOWN, ARRIVED, FILE, BATCH = "_known_at", "_arrived_at", "_file", "_batch"
"""When a row was known, when its file came, the digest of that file, the batch that committed it."""

_REASON = "_reason"
_AS_IT_IS = pl.QueryOptFlags.none()

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
    mended = repaired(spec, cells, resolve)
    refuse_drift(mended, columns)
    typed = parse(mended, columns, spec.zone)
    staged = typed
    if spec.clean is not None:
        staged = _clean(spec, spec.clean, columns, typed.collect(), resolve, text=mended.text)
    # One pass over everything: a small file costs that pass and little else.
    rule = pl.coalesce(UNFIT, broken_rule(spec, columns)).alias(_REASON)
    judged = staged.select(*_dated(spec, columns, file), rule).collect(optimizations=_AS_IT_IS)
    reasons = judged.drop_in_place(_REASON)
    if judged.height == cells.frame.height and reasons.null_count() == judged.height:
        kept, aside = judged, cells.broken
    else:
        kept = judged.filter(reasons.is_null())
        aside = (*cells.broken, *_set_aside(cells, judged[ROW], reasons))
    if kept.height + len(aside) != cells.rows:
        raise IntegrityError(f"{file.name!r} has {cells.rows} rows; {kept.height} kept and {len(aside)} set aside.")
    return Batch(file, kept, tuple(sorted(aside, key=lambda broken: broken.row)))


def _clean(
    spec: SourceSpec,
    function: FunctionRef,
    columns: Sequence[Column],
    typed: pl.DataFrame,
    resolve: Resolve,
    *,
    text: bool,
) -> pl.LazyFrame:
    """The rows that fit, as the user's function leaves them, and those that do not, as they are.

    text: they are of a file of text, in which an empty text is missing.
    """
    said = f"The cleaning function {function.module}:{function.name} of source {spec.name!r}"
    all_fit = typed[UNFIT].null_count() == typed.height
    fit = typed.clone() if all_fit else typed.filter(pl.col(UNFIT).is_null())
    fit.drop_in_place(UNFIT)
    try:
        cleaned = resolve(function)(fit.lazy())
        cleaned = cleaned.collect() if isinstance(cleaned, pl.LazyFrame) else cleaned
    except Exception as error:
        # The user's code may raise anything; the file is set aside and the loop goes on.
        raise SourceError(f"{said} raised {say_raised(error)}.", "Mend it; the file is kept.") from error
    if not isinstance(cleaned, pl.DataFrame):
        raise SourceError(f"{said} returned {type(cleaned).__name__}.", "Return the frame that it was given, changed.")
    types = cleaned.schema
    for name, dtype in fit.schema.items():
        if types.get(name) != dtype:
            raise SourceError(
                f"{said} returned column {name!r} as {types.get(name, 'nothing')}, not as {dtype}.",
                "Keep every column, the row number too, and its type.",
            )
    if not cleaned[ROW].equals(fit[ROW]) and not _is_part(cleaned[ROW], fit[ROW]):
        raise SourceError(f"{said} made rows that were not in the file.", "Derive rows in a feature instead.")
    kept = cleaned.lazy().select(*(column.name for column in columns), ROW, pl.lit(None, pl.String).alias(UNFIT))
    if text:
        kept = kept.with_columns(pl.col(pl.String).replace("", None))
    if all_fit:
        return kept
    return pl.concat([kept, typed.lazy().filter(pl.col(UNFIT).is_not_null())])


def _is_part(rows: pl.Series, whole: pl.Series) -> bool:
    return rows.n_unique() == rows.len() and {*rows} <= {*whole}


def _set_aside(cells: Cells, judged: pl.Series, reasons: pl.Series) -> list[Broken]:
    """Rows that did not fit, that a rule stopped, or that the cleaning function left out, as they stood in the file."""
    said = {row: reason for row, reason in zip(judged, reasons, strict=True) if reason is not None}
    left_out = {*cells.frame[ROW]} - {*judged}
    said |= dict.fromkeys(left_out, "left out by the cleaning function")
    raw = cells.frame.filter(pl.col(ROW).is_in(list(said)))
    values = raw.drop(ROW).to_dicts()
    return [Broken(row, value, said[row]) for row, value in zip(raw[ROW], values, strict=True)]


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
