"""Logged requests that have a label: rows on which a model file can be judged that nobody trained here.

A label names a prediction by its id, or the first one of an entity by its key. The newest label counts, as everywhere;
a story's steady load and repeated requests do not. Where the label has a declared clock, only requests count whose
label is mature by the newest record: those that are labelled early are a biased sample. Rows come in the form of a
holdout (`model.assemble`), without its features.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import polars as pl

from evertrain.config.declaration import ServiceSpec
from evertrain.core.time import Instant
from evertrain.data.column import STORED
from evertrain.data.commit import labels_table, predictions_table
from evertrain.data.example import instant_of
from evertrain.data.feature import REQUEST
from evertrain.store.table import TIME, Table

__all__ = ["ANSWERED", "SCORES", "VECTOR", "LabelledRequests", "labelled_requests", "requests_named"]

_MOST: Final = 50_000
"""Rows that are judged on; more would tell no more and take long."""

_COMPARED: Final = 1_000
"""Requests on which two versions are compared that have no label."""


ANSWERED, VECTOR, SCORES = "answered", "vector", "scores"
"""Columns of `requests_named`: who answered, from which vector (JSON), and the numbers of the answer, one or many."""


class LabelledRequests(NamedTuple):
    """rows: `key`, `at`, `mature_at`, `label`, `request.<name>`, by time and id; the newest 50,000.

    unlabelled: share of the (mature) requests since the first of these rows that have no label. asked: the newest 1,000
    requests of all, in the same form; the label is null where there is none. early: requests with a label that is not
    mature; matures: when the first of these is, None where there are none.
    """

    rows: pl.DataFrame
    unlabelled: float
    asked: pl.DataFrame
    early: int = 0
    matures: Instant | None = None


def labelled_requests(tables: Path, spec: ServiceSpec, versions: Mapping[str, int]) -> LabelledRequests:
    """The labelled requests of a service at these versions of its tables."""
    asked, told = predictions_table(spec.name), labels_table(spec.name)
    if asked not in versions:
        nothing = _frame(spec, _NOTHING)
        return LabelledRequests(nothing, 0.0, nothing)
    requests = (
        Table(tables, asked)
        .read(versions[asked], columns=["id", "key", "at", "row", "received"], where=~pl.col("load") & ~pl.col("retry"))
        .sort("received", "row")
        .unique("id", keep="first", maintain_order=True)
    )
    labels = _NO_LABELS
    if told in versions:
        labels = Table(tables, told).read(versions[told], columns=["prediction", "key", "value", "received"])
    whole = requests.join(_newest(labels, requests), on="id", how="left").sort("at", "id")
    rows = _frame(spec, whole)
    timed = _timed(rows, spec)
    cut = pl.concat([requests["received"], labels["received"]]).dt.epoch("us").max()
    mature = timed if spec.label is None else timed.filter(pl.col("mature_at") <= cut)
    early = timed.filter(pl.col("label").is_not_null(), pl.col("mature_at") > cut)["mature_at"]
    known = mature.filter(pl.col("label").is_not_null()).tail(_MOST)
    since = mature.filter(pl.col("at") >= known["at"].min()) if known.height else mature
    unlabelled = since["label"].null_count() / since.height if since.height else 0.0
    if spec.label is None or not early.len():
        return LabelledRequests(known, unlabelled, rows.tail(_COMPARED))
    return LabelledRequests(known, unlabelled, rows.tail(_COMPARED), early.len(), Instant(int(early.sort()[0])))


def requests_named(
    tables: Path, spec: ServiceSpec, versions: Mapping[str, int], labels: Mapping[str, float]
) -> pl.DataFrame:
    """The logged requests of these ids with these labels, as `labelled_requests` gives its rows, and what was answered.

    By time and id; one that these versions of the tables do not hold is left out.
    """
    asked = predictions_table(spec.name)
    if asked not in versions or not labels:
        return _frame(spec, _NOTHING)
    table = Table(tables, asked)
    wanted = ["id", "at", "row", "received", "version", "vector", "score"]
    wanted += ["scores"] if "scores" in table.schema else []
    named = pl.DataFrame({"id": list(labels), "label": list(labels.values())}, schema_overrides={"label": pl.Float64()})
    whole = (
        table.read(versions[asked], columns=wanted, where=~pl.col("load") & ~pl.col("retry"))
        .join(named, on="id")
        .sort("received", "row")
        .unique("id", keep="first", maintain_order=True)
        .sort("at", "id")
    )
    of_classes = whole["scores"].str.json_decode(pl.List(pl.Float64())) if "scores" in wanted else None
    one = pl.concat_list("score")
    numbers = one if of_classes is None else pl.when(of_classes.list.len() > 0).then(of_classes).otherwise(one)
    return _frame(spec, whole).with_columns(
        whole["version"].alias(ANSWERED), whole["vector"].alias(VECTOR), whole.select(numbers.alias(SCORES)).to_series()
    )


_NO_LABELS: Final = pl.DataFrame(
    schema={"prediction": pl.String(), "key": pl.String(), "value": pl.Float64(), "received": TIME}
)
_NOTHING: Final = pl.DataFrame(schema={"id": pl.String(), "at": TIME, "row": pl.String(), "label": pl.Float64()})


def _newest(labels: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
    """The newest label of each request: `id` and `label`. A key means its first request."""
    names = ["id", "value", "received"]
    first = requests.filter(pl.col("key") != "").unique("key", keep="first", maintain_order=True).select("key", "id")
    by_key = labels.filter(pl.col("prediction") == "").join(first, on="key").select(names)
    by_id = labels.filter(pl.col("prediction") != "").rename({"prediction": "id"}).select(names)
    told = pl.concat([by_id, by_key]).sort("received", "value").unique("id", keep="last")
    return told.select("id", label="value")


def _timed(rows: pl.DataFrame, spec: ServiceSpec) -> pl.DataFrame:
    """The rows with the time from which the label of each is certain, where that is declared."""
    if spec.label is None or not rows.height:
        return rows
    return rows.with_columns(instant_of(spec.label.mature_at).alias("mature_at"))


def _frame(spec: ServiceSpec, whole: pl.DataFrame) -> pl.DataFrame:
    decoder = msgspec.json.Decoder(list[Any])
    cells = [decoder.decode(row) for row in whole["row"]]
    at = whole["at"].dt.epoch("us")
    columns = [whole["id"].alias("key"), at, at.alias("mature_at"), whole["label"]]
    for place, column in enumerate(spec.inputs.columns):
        kind = pl.Int64() if column.type == "timestamp" else STORED[column.type]
        columns.append(pl.Series(REQUEST + column.name, [row[place] for row in cells], dtype=kind))
    return pl.DataFrame(columns)
