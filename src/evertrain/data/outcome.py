"""When the labelled rows of a service's one table came to count: their clock has run out, and they are there."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.config.declaration import ServiceSpec
from evertrain.data.batch import KNOWN
from evertrain.data.example import key_texts
from evertrain.data.revision import physical

__all__ = ["columns_of_outcomes", "counted_from", "is_one_table"]


def is_one_table(spec: ServiceSpec) -> bool:
    """Whether the rows that are asked about bring their own labels."""
    return spec.label is not None and spec.examples is not None and spec.label.source == spec.examples.source


def columns_of_outcomes(spec: ServiceSpec) -> tuple[str, ...]:
    """What of the table is read for it."""
    if spec.label is None or spec.examples is None:
        return ()
    times = (spec.examples.at.column, *((spec.label.mature_at.column,) if spec.label.mature_at.column != "at" else ()))
    return tuple(dict.fromkeys((*spec.examples.key, *times, spec.label.value, KNOWN)))


def counted_from(spec: ServiceSpec, rows: pl.DataFrame) -> NDArray[np.int64]:
    """The instants, sorted, one an example (microseconds); rows hold `columns_of_outcomes`.

    An example that was corrected counts from its first label on.
    """
    if spec.label is None or spec.examples is None:
        return np.empty(0, dtype=np.int64)
    asked, label = spec.examples, spec.label
    told = physical(rows.filter(pl.col(label.value).is_not_null()))
    at = pl.col(asked.at.column) + asked.at.offset
    base = at if label.mature_at.column == "at" else pl.col(label.mature_at.column)
    counts = told.select(
        key_texts(told, asked).alias("key"), pl.max_horizontal(base + label.mature_at.offset, KNOWN).alias("from")
    )
    return counts.group_by("key").agg(pl.col("from").min())["from"].sort().to_numpy()
