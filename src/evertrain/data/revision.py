"""The rows of a source with the span in which each was believed: from its known-at until its correction was known."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.config.declaration import SourceSpec
from evertrain.data.stream import EVENT, KNOWN, NEVER
from evertrain.errors import SourceError

__all__ = ["Events", "physical", "revise"]

_TIMES = ("_event", "_known", "_until")


class Events:
    """Distinct rows of one source in canonical order (event time, key, known-at), instants as int64 microseconds."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame
        self.event = frame["_event"].to_numpy()
        self.known = frame["_known"].to_numpy()
        self.until = frame["_until"].to_numpy()

    def base(self, axis: str) -> NDArray[np.int64]:
        """The times on an axis; NEVER where a column has none."""
        if axis == EVENT:
            return self.event
        if axis == KNOWN:
            return self.known
        return self.frame[axis].fill_null(NEVER).to_numpy()


def physical(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its instants as int64 microseconds, the one form in which they are compared.

    Instants that differ within a microsecond cannot be told apart then, so finer ones are refused, never cut.
    """
    for name, kind in frame.schema.items():
        fine = isinstance(kind, pl.Datetime) and kind.time_unit == "ns"
        if fine and (frame[name].to_physical() % 1_000 != 0).any():
            raise SourceError(f"Column {name!r} holds times finer than a microsecond.", "Round them at their origin.")
    return frame.with_columns(
        pl.col(name).dt.cast_time_unit("us").to_physical()
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.Datetime)
    )


def revise(frame: pl.DataFrame, source: SourceSpec, columns: Sequence[str]) -> Events:
    """The rows of a source's table with their lives.

    Rows with the same key and event time are versions of one row: each holds from its known-at until the next one's.
    The same row delivered twice is one row; of two that became known at one instant the one counts that is larger in
    `columns` (the columns that are read), so that the order of arrival never matters.
    """
    absent = [name for name in (*columns, *source.key, source.event_time) if name not in frame.columns]
    if absent:
        raise SourceError(
            f"Source {source.name!r} has no column {absent[0]!r}.", "Mend the source's files or the feature."
        )
    key = list(source.key) or sorted(name for name in frame.columns if not name.startswith("_"))
    whole = physical(frame)
    known = pl.col("_known_at") if "_known_at" in whole.columns else _moment(source)
    times = whole.with_columns(pl.col(source.event_time).alias("_event"), known.alias("_known"))
    needed = list(dict.fromkeys([*key, *columns, "_event", "_known"]))
    rows = times.select(needed)
    if rows.select(pl.col("_event", "_known").null_count().sum()).row(0) != (0, 0):
        raise SourceError(f"Source {source.name!r} has a row without a time.", "Declare et.not_null for its times.")
    identity = [*key, "_event"]
    once = rows.sort("_event", *key)
    again = once.select(pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in identity))
    if not again.to_series().slice(1).any():
        lives = once.with_columns(pl.lit(NEVER).alias("_until"))
    else:
        ordered = rows.sort("_event", *key, "_known", *columns)
        single = ordered.unique([*identity, "_known"], keep="last", maintain_order=True)
        lives = single.with_columns(pl.col("_known").shift(-1).over(identity).fill_null(NEVER).alias("_until"))
    return Events(lives.rechunk())


def _moment(source: SourceSpec) -> pl.Expr:
    return pl.col(source.known_at.column) + source.known_at.offset
