"""Examples and their labels: history as the requests that would have been made, cut by the label clock."""

from collections.abc import Mapping

import msgspec
import polars as pl

from evertrain.config.declaration import ExamplesSpec, LabelSpec, ServiceSpec
from evertrain.core.cohort import entity_key
from evertrain.core.identity import SourceName
from evertrain.core.time import Instant, Moment
from evertrain.data.feature import REQUEST, Resolve, offline
from evertrain.data.revision import revise
from evertrain.errors import DeclarationError, SourceError

__all__ = ["Mature", "examples", "instant_of", "key_texts", "label_numbers", "mature_examples", "training_rows"]


class Mature(msgspec.Struct, frozen=True):
    """Examples that are mature at a cut, in canonical order (at, key).

    rows: `key`, `at`, `mature_at` (Int64 microseconds), `label` (Float64, null where it is missing although mature),
    `request.<name>` and `feature.<name>`. missing: how many lack a label. immature: how many examples are left out
    because their label's clock had not run out, whether or not a label was known early.
    """

    rows: pl.DataFrame
    missing: int
    immature: int

    @property
    def share_missing(self) -> float:
        return self.missing / self.rows.height if self.rows.height else 0.0


def training_rows(
    spec: ServiceSpec, tables: Mapping[SourceName, pl.DataFrame], cut: Instant, functions: Resolve
) -> Mature:
    """The mature examples with label and features. Labels and rows count as they were known at `cut`."""
    mature = mature_examples(spec, tables, cut)
    features = offline(spec, tables, mature.rows, functions)
    return msgspec.structs.replace(mature, rows=pl.concat([mature.rows, features], how="horizontal"))


def mature_examples(spec: ServiceSpec, tables: Mapping[SourceName, pl.DataFrame], cut: Instant) -> Mature:
    """The same without the features, which cost most."""
    label, asked = _declared(spec)
    whole = examples(spec, tables[asked.source])
    matured = whole.with_columns(instant_of(label.mature_at).alias("mature_at"))
    mature = matured.filter(pl.col("mature_at") <= cut)
    rows = mature.join(_labels(spec, label, asked, tables[label.source], cut), on="key", how="left")
    rows = rows.sort("at", "key")
    columns = ["key", "at", "mature_at", "label", *(REQUEST + name for name in spec.inputs.names)]
    return Mature(
        rows=rows.select(columns),
        missing=int(rows["label"].null_count()),
        immature=matured.height - mature.height,
    )


def examples(spec: ServiceSpec, table: pl.DataFrame) -> pl.DataFrame:
    """The requests that would have been made: `key`, `at` (Int64 microseconds) and `request.<name>`, one per key.

    Of the versions of a row the one counts that was known at its own prediction time (the last such, or else the first
    version); of several rows of one key the one that is asked about first.
    """
    _, asked = _declared(spec)
    source = spec.source(asked.source)
    events = revise(table, source, tuple(dict.fromkeys((*spec.inputs.names, *asked.key))))
    rows = events.frame.with_columns((pl.col(asked.at.column) + asked.at.offset).alias("at"))
    seen = (pl.col("_known") <= pl.col("at")).alias("_seen")
    first = rows.with_columns(seen).sort(
        pl.col("at"), ~pl.col("_seen"), pl.when("_seen").then(-pl.col("_known")).otherwise(pl.col("_known"))
    )
    single = first.unique(list(asked.key), keep="first", maintain_order=True)
    keyed = single.with_columns(key_texts(single, asked).alias("key"))
    request = [pl.col(name).alias(REQUEST + name) for name in spec.inputs.names]
    return keyed.select("key", "at", *request).sort("at", "key")


def key_texts(frame: pl.DataFrame, asked: ExamplesSpec) -> pl.Series:
    """The key as text, exactly as a worker writes it into the prediction log."""
    if len(asked.key) == 1 and frame[asked.key[0]].dtype == pl.String:
        return frame[asked.key[0]]
    return pl.Series([entity_key(row) for row in frame.select(asked.key).iter_rows()], dtype=pl.String)


def _labels(
    spec: ServiceSpec, label: LabelSpec, asked: ExamplesSpec, table: pl.DataFrame, cut: Instant
) -> pl.DataFrame:
    """The newest label of each key that was known at the cut: columns `key` and `label` (Float64)."""
    source = spec.source(label.source)
    events = revise(table, source, tuple(dict.fromkeys((*asked.key, label.value))))
    known = events.frame.filter((pl.col("_known") <= cut) & (pl.col("_until") > cut))
    newest = known.sort("_event", "_known").unique(list(asked.key), keep="last", maintain_order=True)
    return pl.DataFrame(
        [key_texts(newest, asked).alias("key"), label_numbers(spec, newest[label.value]).alias("label")]
    )


def label_numbers(spec: ServiceSpec, values: pl.Series) -> pl.Series:
    """Labels as floats: a class by its place; SourceError for one that is not declared."""
    if not spec.output.names:
        return values.cast(pl.Float64)
    texts = values.cast(pl.String)
    unknown = texts.filter(~texts.is_in(spec.output.names)).drop_nulls()
    if len(unknown):
        said = ", ".join(repr(one) for one in unknown.unique().sort().head(5))
        raise SourceError(
            f"{len(unknown)} labels of service {spec.name!r} are none of its classes: {said}.",
            f"Declare every class, or set such rows aside: checks=[et.one_of({values.name!r}, [...])] of the source.",
        )
    places = {name: float(place) for place, name in enumerate(spec.output.names)}
    return texts.replace_strict(places, default=None, return_dtype=pl.Float64)


def instant_of(moment: Moment) -> pl.Expr:
    """A moment of the request, or of the prediction time, in rows of examples."""
    column = pl.col("at") if moment.column == "at" else pl.col(REQUEST + moment.column)
    return column + moment.offset


def _declared(spec: ServiceSpec) -> tuple[LabelSpec, ExamplesSpec]:
    if spec.label is None or spec.examples is None:
        raise DeclarationError(f"Service {spec.name!r} has no examples or no label.", "It can be served, not trained.")
    return spec.label, spec.examples
