"""The user's own mending of a file's cells, before anything is typed: what no rule of ours could know.

A column that says "12,50" or "n/a" is text until somebody says what is meant. The rows stay the rows of the file.
"""

from collections.abc import Callable
from typing import Any

import polars as pl

from evertrain.config.declaration import FunctionRef, SourceSpec
from evertrain.data.source import ROW, Cells
from evertrain.errors import SourceError, say_raised

__all__ = ["repaired"]


def repaired(spec: SourceSpec, cells: Cells, resolve: Callable[[FunctionRef], Callable[..., Any]]) -> Cells:
    """The cells as the function of the source leaves them; as they are without one.

    It gets a lazy frame, with the cells of a CSV file as text, and returns one with the same columns and rows. What it
    makes a number of is read like the number's text, and an empty text is missing, as in the file itself. Raises
    SourceError when it raises, or returns anything else.
    """
    if spec.repair is None:
        return cells
    said = f"The repair {spec.repair.module}:{spec.repair.name} of source {spec.name!r}"
    try:
        done = resolve(spec.repair)(cells.frame.drop(ROW).lazy())
        done = done.collect() if isinstance(done, pl.LazyFrame) else done
    except Exception as error:
        # The user's code may raise anything; the file is set aside and the loop goes on.
        raise SourceError(f"{said} raised {say_raised(error)}.", "Mend it; the file is kept.") from error
    if not isinstance(done, pl.DataFrame):
        raise SourceError(f"{said} returned {type(done).__name__}.", "Return the frame that it was given, changed.")
    if done.columns != cells.names or done.height != cells.frame.height:
        raise SourceError(
            f"{said} returned {done.height:,} rows of {', '.join(done.columns)}; "
            f"it was given {cells.frame.height:,} of {', '.join(cells.names)}.",
            "Change cells only; rows are left out by clean=, columns by exclude=.",
        )
    if cells.text:
        done = done.cast(pl.String).with_columns(pl.all().replace("", None))
    return Cells(done.with_columns(cells.frame[ROW]), cells.broken, cells.text)
