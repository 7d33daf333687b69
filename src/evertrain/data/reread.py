"""A file that is read once more under other rules: what it was to give then, and nothing that is in already."""

from collections.abc import Sequence

import polars as pl

from evertrain.core.time import Instant
from evertrain.data.batch import ARRIVED, FILE, KNOWN, Batch
from evertrain.data.source import ROW, Broken
from evertrain.store.table import TIME

__all__ = ["reread"]

_SUPERSEDED = "it fits now, and a row of the same key and time came after it, which counts"
_OTHER = "_other_row"


def reread(
    batch: Batch, numbers: Sequence[int] | None, since: pl.DataFrame, key: Sequence[str], arrived: Instant
) -> Batch:
    """The rows of these numbers; None: all of them. A row that was corrected meanwhile stays aside.

    since: key (with the event time), arrival, file and number of the rows that came no earlier than the file did at
    first, which was `arrived`.
    """
    wanted = batch.rows if numbers is None else batch.rows.filter(pl.col(ROW).is_in(list(numbers)))
    aside = [row for row in batch.aside if numbers is None or row.row in {*numbers}]
    key = list(dict.fromkeys(key))
    others = since.select(*key, pl.col(ARRIVED), pl.col(FILE), pl.col(ROW).alias(_OTHER))
    after = (
        (pl.col(ARRIVED) > pl.lit(arrived).cast(TIME))
        | (pl.col(FILE) != str(batch.file.digest))
        | (pl.col(_OTHER) > pl.col(ROW))
    )
    met = wanted.select(*key, ROW).join(others, on=key, how="inner").filter(after)
    late = pl.col(ROW).is_in(met[ROW].unique().to_list())
    superseded = wanted.filter(late).drop(KNOWN, ARRIVED, FILE)
    values = superseded.drop(ROW).to_dicts()
    aside += [Broken(row, value, _SUPERSEDED) for row, value in zip(superseded[ROW], values, strict=True)]
    return Batch(batch.file, wanted.filter(~late), tuple(sorted(aside, key=lambda row: row.row)))
