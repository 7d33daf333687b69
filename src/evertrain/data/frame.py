"""A table that a declaration holds in memory, as the bytes of a Parquet file."""

import io
from typing import Any

import polars as pl

from evertrain.errors import DeclarationError

__all__ = ["content_of"]


def content_of(table: Any) -> bytes:
    """A polars or pandas DataFrame as Parquet: the same bytes for the same table. pandas' index is left out."""
    if isinstance(table, pl.LazyFrame):
        raise DeclarationError("et.frame got a LazyFrame, which holds no rows yet.", "Collect it first.")
    frame = table if isinstance(table, pl.DataFrame) else _of_pandas(table)
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def _of_pandas(table: Any) -> pl.DataFrame:
    """Column by column, so that neither pandas nor pyarrow is needed here; NaN and NaT mean that a value is missing."""
    if any(not isinstance(name, str) for name in table.columns):
        raise DeclarationError(
            f"A DataFrame has the columns {list(table.columns)!r}, and not all are text.", "Give each a name."
        )
    series = []
    for name in table.columns:
        values = [None if missing else value for value, missing in zip(table[name], table[name].isna(), strict=True)]
        try:
            series.append(pl.Series(name, [_plain(value) for value in values]))
        except (TypeError, pl.exceptions.PolarsError) as error:
            said = str(error).splitlines()[0].rstrip(".")
            raise DeclarationError(
                f"Column {name!r} of a DataFrame holds values that a table does not: {said}.", "Convert it."
            ) from None
    return pl.DataFrame(series)


def _plain(value: Any) -> Any:
    """A scalar of pandas or NumPy as Python's own; what is finer than a microsecond is refused, not cut."""
    if getattr(value, "nanosecond", 0):
        raise TypeError(f"{value} is finer than a microsecond")
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime()
    return value.item() if hasattr(value, "item") else value
