"""Text that stands for numbers, truths and times: read in a Parquet file, and in what was posted, as in a CSV file.

Otherwise one and the same table would say other things in another form: an amount that is written "33.25" would be a
word, and that it has moved would go unseen.
"""

import polars as pl

from evertrain.data.column import fix_columns, parse
from evertrain.data.source import ROW, Cells

__all__ = ["as_written", "typed", "with_text_typed"]

_CELL = "cell"
_WORDS = (pl.String, pl.Categorical, pl.Enum)


def as_written(cells: Cells) -> Cells:
    """Words of a Parquet file as the cells of a CSV file would hold them: text, and nothing where it is empty."""
    words = [] if cells.text else [name for name in cells.names if cells.frame.schema[name] in _WORDS]
    texts = [_filled(cells.frame[name].cast(pl.String)) for name in words]
    return Cells(cells.frame.with_columns(texts), cells.broken, cells.text)


def with_text_typed(cells: Cells, time: str | None, zone: str) -> Cells:
    """Columns of text in a Parquet file with the types that they would have in a CSV file, all but that of `time`."""
    types = cells.frame.schema
    words = [] if cells.text else [name for name in cells.names if name != time and types[name] == pl.String]
    return Cells(cells.frame.with_columns([typed(cells.frame[name], zone) for name in words]), cells.broken, cells.text)


def typed(values: pl.Series, zone: str = "UTC") -> pl.Series:
    """Text with the narrowest type that all of it fits. zone: of times that bring none."""
    number = pl.Series(ROW, range(len(values)), dtype=pl.Int64)
    cells = Cells(pl.DataFrame([values.alias(_CELL), number]), (), text=True)
    return parse(cells, fix_columns(cells, (), (), zone), zone).collect()[_CELL].alias(values.name)


def _filled(values: pl.Series) -> pl.Series:
    return values.set(values == "", None) if (values == "").any() else values
