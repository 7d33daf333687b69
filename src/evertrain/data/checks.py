"""The rules that each row of a source must hold. A row that breaks one is set aside with the first such rule."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import polars as pl

from evertrain.config.declaration import CheckSpec, SourceSpec
from evertrain.core.schema import Column
from evertrain.errors import SourceError

__all__ = ["broken_rule", "refuse_columns"]


@lru_cache(maxsize=256)
def broken_rule(spec: SourceSpec, columns: tuple[Column, ...]) -> pl.Expr:
    """The reason why a row does not hold, else null: what may be missing, bounds, then the declared checks in order."""
    needed = {*spec.key, spec.event_time, spec.known_at.column}
    rules = [*(rule for column in columns for rule in _of_column(column, needed)), *map(_of_check, spec.checks)]
    return pl.coalesce([pl.lit(None, pl.String), *rules])


def refuse_columns(spec: SourceSpec, columns: Sequence[Column]) -> None:
    """Raise SourceError when the declaration uses a column that the source does not have, or dates rows by no time."""
    types = {column.name: column.type for column in columns}
    times = (spec.event_time, spec.known_at.column)
    for name in [*spec.key, *times, *(check.column for check in spec.checks)]:
        if name not in types:
            raise SourceError(f"Source {spec.name!r} has no column {name!r}.", f"It has {', '.join(types)}.")
        if name in times and types[name] != "timestamp":
            raise SourceError(f"Column {name!r} of source {spec.name!r} is {types[name]}.", "Declare it as timestamp.")


def _of_column(column: Column, needed: set[str]) -> Iterator[pl.Expr]:
    value = pl.col(column.name)
    if column.name in needed or not column.nullable:
        yield _broken(value.is_null(), f"{column.name}: missing")
    if column.low is not None:
        yield _broken(value < column.low, f"{column.name}: below {column.low:g}")
    if column.high is not None:
        yield _broken(value > column.high, f"{column.name}: above {column.high:g}")


def _of_check(check: CheckSpec) -> pl.Expr:
    value = pl.col(check.column)
    if check.rule == "not_null":
        return _broken(value.is_null(), f"{check.column}: missing")
    if check.rule == "one_of":
        return _broken(~value.cast(pl.String).is_in(check.values), f"{check.column}: not one of the declared values")
    if check.rule == "unique":
        return _broken(value.is_not_null() & value.is_duplicated(), f"{check.column}: stands twice in the file")
    low = pl.lit(False) if check.low is None else value < check.low
    high = pl.lit(False) if check.high is None else value > check.high
    return _broken(low | high, f"{check.column}: not between {_end(check.low)} and {_end(check.high)}")


def _end(bound: float | None) -> str:
    return "any" if bound is None else f"{bound:g}"


def _broken(wrong: pl.Expr, reason: str) -> pl.Expr:
    return pl.when(wrong).then(pl.lit(reason))
