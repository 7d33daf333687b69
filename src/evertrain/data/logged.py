"""Logged requests that have a label: rows on which a model file can be judged that nobody trained here.

A label names a prediction by its id. The newest label of a prediction counts, as everywhere; a story's steady load and
repeated requests do not. Rows come in the form of a holdout (`model.assemble`): the request's columns are the features.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import polars as pl

from evertrain.config.declaration import ServiceSpec
from evertrain.core.schema import Schema
from evertrain.data.column import STORED
from evertrain.data.commit import labels_table, predictions_table
from evertrain.store.table import Table

__all__ = ["LabelledRequests", "labelled_requests"]

_MOST: Final = 50_000
"""Rows that are judged on; more would tell no more and take long."""

_COMPARED: Final = 2_000
"""Requests on which two versions are compared that have no label."""


class LabelledRequests(NamedTuple):
    """rows: `key`, `at`, `mature_at`, `label`, `request.<name>`, `feature.<name>`, by time and id; the newest 50,000.

    unlabelled: share of the requests since the first of these rows that have no label. asked: the newest 2,000 requests
    of all, in the same form; the label is null where there is none.
    """

    rows: pl.DataFrame
    unlabelled: float
    asked: pl.DataFrame


def labelled_requests(tables: Path, spec: ServiceSpec, versions: Mapping[str, int]) -> LabelledRequests:
    """The labelled requests of a service whose model takes the request as it is, at these versions of its tables."""
    asked, told = predictions_table(spec.name), labels_table(spec.name)
    if asked not in versions:
        nothing = _frame(spec.inputs, [])
        return LabelledRequests(nothing, 0.0, nothing)
    labels = _NO_LABELS
    if told in versions:
        labels = Table(tables, told).read(versions[told], columns=["prediction", "value", "received"])
    newest = labels.filter(pl.col("prediction") != "").sort("received", "value").unique("prediction", keep="last")
    requests = (
        Table(tables, asked)
        .read(versions[asked], columns=["id", "at", "row", "received"], where=~pl.col("load") & ~pl.col("retry"))
        .sort("received", "row")
        .unique("id", keep="first")
        .join(newest.select(id="prediction", label="value"), on="id", how="left")
        .sort("at", "id")
    )
    known = requests.filter(pl.col("label").is_not_null()).tail(_MOST)
    since = requests.filter(pl.col("at") >= known["at"].min()) if known.height else requests
    unlabelled = since["label"].null_count() / since.height if since.height else 0.0
    known, compared = (
        _frame(spec.inputs, found.select("id", pl.col("at").dt.epoch("us"), "row", "label").rows())
        for found in (known, requests.tail(_COMPARED))
    )
    return LabelledRequests(known, unlabelled, compared)


_NO_LABELS: Final = pl.DataFrame(schema={"prediction": pl.String, "value": pl.Float64, "received": pl.Int64})


def _frame(inputs: Schema, rows: Sequence[tuple[str, int, str, float | None]]) -> pl.DataFrame:
    decoder = msgspec.json.Decoder(list[Any])
    cells = [decoder.decode(row) for _, _, row, _ in rows]
    columns = [
        pl.Series("key", [key for key, *_ in rows], dtype=pl.String),
        pl.Series("at", [at for _, at, *_ in rows], dtype=pl.Int64),
        pl.Series("mature_at", [at for _, at, *_ in rows], dtype=pl.Int64),
        pl.Series("label", [label for *_, label in rows], dtype=pl.Float64),
    ]
    for place, column in enumerate(inputs.columns):
        kind = pl.Int64() if column.type == "timestamp" else STORED[column.type]
        values = pl.Series("", [row[place] for row in cells], dtype=kind)
        columns += [values.alias(f"request.{column.name}"), values.alias(f"feature.{column.name}")]
    return pl.DataFrame(columns)
