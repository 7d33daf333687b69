"""The report of a watched stream: what was posted, from the tables and, for what is not committed yet, from the log.

The cursor of the log is read first, then the tables, then the log from the cursor on: whatever is committed in between
is found twice rather than never, and the first record of a prediction counts. Labels are joined by the id that the
prediction was posted under; the newest label of a prediction counts.
"""

import threading
import time
from typing import Any

import msgspec
import numpy as np
import polars as pl

from evertrain.config.declaration import ServiceSpec
from evertrain.config.wording import suggestion
from evertrain.core.identity import ServiceName
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.registry import Registry
from evertrain.core.time import Instant, Span, say_instant
from evertrain.data.commit import labels_table, predictions_table
from evertrain.errors import NotFoundError, UnavailableError
from evertrain.monitor.observed import look
from evertrain.monitor.report import Observations, Question, Report
from evertrain.process.intake import read_cursor
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.log import LogReader
from evertrain.store.state import State
from evertrain.store.table import Table

__all__ = ["ObservedReports", "observed_report"]

_MOST_ROWS = 200_000
"""The newest ones are looked at, so that a page costs seconds and not the memory of the machine."""
_MOST_COLUMNS = 200
_FRESH_S = 5.0
_SCORE = "score"

_PREDICTED = {
    "id": pl.String,
    "key": pl.String,
    "at": pl.Int64,
    "received": pl.Int64,
    "score": pl.Float64,
    "row": pl.String,
}
_LABELLED = {"name": pl.String, "value": pl.Float64, "received": pl.Int64}


class ObservedReports:
    """The reports of an installation's watched services, each made at most once in a few seconds. Any thread asks."""

    def __init__(self, state: State, ledger: Ledger) -> None:
        self._state, self._ledger = state, ledger
        self._blobs = Artifacts.at(state.artifacts).blobs
        self._lock = threading.Lock()
        self._made: dict[ServiceName, tuple[float, Report]] = {}

    def of(self, service: ServiceName) -> Report:
        """NotFoundError for a service that is not watched, UnavailableError while nothing was posted."""
        with self._lock:
            made = self._made.get(service)
            if made is None or time.monotonic() - made[0] > _FRESH_S:
                spec = self._spec(service)
                made = time.monotonic(), observed_report(self._state, spec, business_clock(self._state.clock).now())
                self._made[service] = made
            return made[1]

    def _spec(self, service: ServiceName) -> ServiceSpec:
        declared = {
            name: msgspec.json.decode(self._blobs.get(record.declaration), type=ServiceSpec)
            for name, record in Registry(self._ledger.read()).services.items()
            if record.declaration is not None
        }
        watched = [name for name, spec in declared.items() if spec.watched is not None]
        if service not in watched:
            raise NotFoundError(f"There is no watched service {service!r}.", suggestion(service, watched))
        return declared[service]


def observed_report(state: State, spec: ServiceSpec, now: Instant) -> Report:
    """The report of one watched service as of now."""
    predicted, labelled = _posted(state, spec.name)
    notices: list[str] = []
    seen = _observations(predicted, labelled, spec, notices)
    if seen is None:
        raise UnavailableError(
            f"Nothing was posted to /observe/{spec.name} yet.",
            "Post what was answered, with the data token; the page shows it within seconds.",
        )
    lacking = [name for name in spec.segments if name not in seen.rows.columns]
    if lacking:
        notices.append(f"No row that was posted has a {' or a '.join(lacking)}, so there are no such segments.")
    horizon = None if spec.watched is None or spec.watched.horizon is None else Span(spec.watched.horizon)
    question = Question(segments=tuple(name for name in spec.segments if name not in lacking), horizon=horizon, now=now)
    return look(
        spec.name,
        seen,
        question,
        kind="value" if spec.output.kind == "value" else "probability",
        inputs=tuple(seen.rows.columns),
        notices=(*notices, f"Posted to /observe/{spec.name} by {say_instant(now)}."),
    )


def _posted(state: State, service: ServiceName) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All predictions and labels of a service that were logged, each at least once."""
    positions = read_cursor(state)
    predicted = [_table(state, predictions_table(service), ["id", "key", "at", "received", "score", "row"], _PREDICTED)]
    labelled = [_table(state, labels_table(service), ["prediction", "key", "value", "received"], _LABELLED)]
    rows: list[tuple[Any, ...]] = []
    labels: list[tuple[Any, ...]] = []
    with LogReader(state.log) as reader:
        while found := reader.tail(positions):
            for position, record in found:
                positions[position.writer] = position
                if record.service != service:
                    continue
                if isinstance(record, Predicted):
                    row = msgspec.json.encode(record.row).decode()
                    rows.append((record.id, record.key, record.at, record.received, record.score, row))
                elif isinstance(record, Labelled):
                    labels.append((record.prediction or record.key, record.value, record.received))
    predicted.append(pl.DataFrame(rows, schema=_PREDICTED, orient="row"))
    labelled.append(pl.DataFrame(labels, schema=_LABELLED, orient="row"))
    return pl.concat(predicted), pl.concat(labelled)


def _table(state: State, name: str, columns: list[str], schema: dict[str, Any]) -> pl.DataFrame:
    table = Table(state.tables, name)
    if table.version() < 0:
        return pl.DataFrame(schema=schema)
    frame = table.read(columns=columns).with_columns(pl.col(pl.Datetime).to_physical())
    if "prediction" in columns:
        name_of = pl.when(pl.col("prediction") == "").then("key").otherwise("prediction")
        frame = frame.select(name_of.alias("name"), "value", "received")
    return frame.select(list(schema))


def _observations(
    predicted: pl.DataFrame, labelled: pl.DataFrame, spec: ServiceSpec, notices: list[str]
) -> Observations | None:
    """Predictions once each, with the newest label; None without any."""
    once = predicted.sort("received", "id").unique("key", keep="first", maintain_order=True)
    if spec.output.kind == "probability":
        outside = once.filter(~pl.col("score").is_between(0.0, 1.0)).height
        if outside:
            notices.append(f"{outside:,} scores lie outside 0 and 1 and are set aside: they are no probabilities.")
            once = once.filter(pl.col("score").is_between(0.0, 1.0))
    if once.is_empty():
        return None
    if once.height > _MOST_ROWS:
        notices.append(f"The newest {_MOST_ROWS:,} of {once.height:,} predictions are looked at.")
        once = once.sort("at", "key").tail(_MOST_ROWS)
    newest = labelled.sort("received").unique("name", keep="last").select("name", "value")
    joined = once.join(newest, left_on="key", right_on="name", how="left").join(
        newest.rename({"value": "by_id"}), left_on="id", right_on="name", how="left"
    )
    joined = joined.sort("at", "key").with_columns(label=pl.coalesce("value", "by_id"))
    return Observations(
        at=joined["at"].to_numpy(),
        score=joined["score"].to_numpy(),
        label=joined["label"].fill_null(float("nan")).to_numpy(),
        rows=_inputs(joined["row"], joined["score"], notices),
    )


def _inputs(rows: pl.Series, score: pl.Series, notices: list[str]) -> pl.DataFrame:
    """The columns of what was posted beside the scores. One that holds numbers and words is read as words."""
    decoder = msgspec.json.Decoder(tuple[str])
    cells = [msgspec.json.decode(decoder.decode(text)[0], type=dict[str, Any]) for text in rows]
    names = list(dict.fromkeys(name for row in cells for name in row if name != _SCORE))
    if len(names) > _MOST_COLUMNS:
        notices.append(f"The first {_MOST_COLUMNS} of {len(names)} columns are looked at.")
    columns = [score.alias(_SCORE)]
    for name in names[:_MOST_COLUMNS]:
        values = [row.get(name) for row in cells]
        columns.append(_column(name, values))
    return pl.DataFrame(columns)


def _column(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if kinds and kinds <= {int, float}:
        return pl.Series(name, np.array([np.nan if value is None else float(value) for value in values])).fill_nan(None)
    words = [
        value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode() for value in values
    ]
    return pl.Series(name, words, dtype=pl.String)
