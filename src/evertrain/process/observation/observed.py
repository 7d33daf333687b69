"""The report of a watched stream: what was posted, from the tables and, for what is not committed yet, from the log.

The cursor of the log is read first, then the tables, then the log from the cursor on: whatever is committed in between
is found twice rather than never, and the first record of a prediction counts. Labels are joined by the id that the
prediction was posted under; the newest label of a prediction counts.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl

from evertrain.config.declaration import ReferenceSpec, ServiceSpec, WatchedSpec
from evertrain.config.wording import suggestion
from evertrain.core.identity import ServiceName
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.time import Instant, Span
from evertrain.core.wording import say_many
from evertrain.data.commit import labels_table, predictions_table
from evertrain.errors import EvertrainError, UnavailableError
from evertrain.monitor.observed import look
from evertrain.monitor.report import Observations, Question, Report
from evertrain.process.ingestion.cursor import read_cursor
from evertrain.process.observation.references import Reference, reference_of
from evertrain.process.observation.repeats import without_repeats
from evertrain.process.observation.strays import odd_cells
from evertrain.process.observation.written import typed
from evertrain.store.artifact import Artifacts
from evertrain.store.reader import LogReader
from evertrain.store.state import State
from evertrain.store.table import Table
from evertrain.web.wording import say_moment

__all__ = ["References", "observed_report", "posted_columns", "taken", "window_of"]

_MOST_ROWS = 200_000
"""The newest ones are looked at, half as many at least: a page costs seconds and not the memory of the machine."""
_MOST_COLUMNS = 200
_LATER = "Post it in the row of each."
_NEWEST = 1_000
"""So many rows are asked for the columns that are posted."""
_OWN_IDS = "Send each prediction under an id of its own."
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


def observed_report(state: State, spec: ServiceSpec, now: Instant, references: "References | None" = None) -> Report:
    """The report of one watched service as of now. references: those that were read before."""
    watched = spec.watched or WatchedSpec()
    predicted, labelled = _posted(state, spec.name)
    notices: list[str] = []
    warnings: list[str] = []
    once = _once(predicted, notices, warnings)
    window, left_out = window_of(once.height)
    if left_out:
        notices.append(f"The newest {once.height - left_out:,} of {once.height:,} predictions are looked at.")
        once = once.sort("at", "key").slice(left_out)
    seen = _observations(once, labelled, spec, notices)
    if seen is None:
        raise UnavailableError(
            f"Nothing was posted to /observe/{spec.name} yet.",
            "Post what was answered, with the data token; the page shows it within seconds.",
        )
    lacking = [name for name in spec.segments if name not in seen.rows.columns]
    warnings += _say_lacking(seen.rows, spec.segments)
    question = Question(
        segments=tuple(name for name in spec.segments if name not in lacking),
        metric=watched.metric,
        horizon=None if watched.horizon is None else Span(watched.horizon),
        recent=None if watched.recent is None else Span(watched.recent),
        now=now,
        continual=True,
        window=window,
    )
    inputs, reference = tuple(seen.rows.columns), None
    if watched.reference is not None:
        reference = (references or References(state)).of(watched.reference, inputs, notices)
    return look(
        spec.name,
        seen,
        question,
        kind="value" if spec.output.kind == "value" else "probability",
        reference=None if reference is None else reference.observations,
        reference_name="" if reference is None else reference.name,
        inputs=inputs if reference is None else reference.inputs,
        notices=(*notices, f"Posted to /observe/{spec.name} by {say_moment(now)}."),
        warnings=tuple(warnings),
    )


class References:
    """Tables that inputs are held against, each read once."""

    def __init__(self, state: State) -> None:
        self._blobs = Artifacts.at(state.artifacts).blobs
        self._read: dict[tuple[ReferenceSpec, tuple[str, ...]], Reference] = {}

    def of(self, spec: ReferenceSpec, inputs: tuple[str, ...], notices: list[str]) -> Reference | None:
        """The table's columns that were posted too; None, with the reason told, where it cannot be held against."""
        if (spec, inputs) not in self._read:
            try:
                content = self._blobs.get(spec.content)
                self._read[spec, inputs] = reference_of(spec.name, content, inputs, time=spec.time, zone=spec.zone)
            except EvertrainError as error:
                notices.append(f"Inputs are not held against {spec.name}: {error}")
                return None
        found = self._read[spec, inputs]
        notices += found.notices
        return found


def taken(state: State, service: ServiceName) -> int:
    """How many predictions of a service are in its table, those that were posted twice among them."""
    return _table(state, predictions_table(service), ["id"], {"id": pl.String}).height


def _posted(state: State, service: ServiceName) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All predictions of a service that were logged, and its labels, which may be found twice."""
    positions = read_cursor(state)
    predicted = _table(state, predictions_table(service), ["id", "key", "at", "received", "score", "row"], _PREDICTED)
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
    logged = pl.DataFrame(rows, schema=_PREDICTED, orient="row")
    # What was committed in between is found in both, and is no observation that was posted twice.
    logged = logged.join(predicted, on=["id", "received"], how="anti")
    labelled.append(pl.DataFrame(labels, schema=_LABELLED, orient="row"))
    return pl.concat([predicted, logged]), pl.concat(labelled)


def _table(state: State, name: str, columns: list[str], schema: dict[str, Any]) -> pl.DataFrame:
    table = Table(state.tables, name)
    if table.version() < 0:
        return pl.DataFrame(schema=schema)
    frame = table.read(columns=columns).with_columns(pl.col(pl.Datetime).to_physical())
    if "prediction" in columns:
        name_of = pl.when(pl.col("prediction") == "").then("key").otherwise("prediction")
        frame = frame.select(name_of.alias("name"), "value", "received")
    return frame.select(list(schema))


def _once(predicted: pl.DataFrame, notices: list[str], warnings: list[str]) -> pl.DataFrame:
    """The first prediction of each id counts, by the time of its arrival."""
    return without_repeats(
        predicted.sort("received", "id", maintain_order=True), "key", _OWN_IDS, notices, warnings, called="id"
    )


def window_of(rows: int) -> tuple[int, int]:
    """Of a long stream, the number of the window that is looked at, and how many rows lie before it.

    A window stays where it is while it fills up, and then gives its older half away: so few windows are ever looked at.

    >>> window_of(200_000), window_of(200_001), window_of(300_000), window_of(300_001)
    ((1, 0), (2, 100000), (2, 100000), (3, 200000))
    """
    half = _MOST_ROWS // 2
    before = max(0, -(-(rows - _MOST_ROWS) // half))
    return before + 1, before * half


def _observations(
    once: pl.DataFrame, labelled: pl.DataFrame, spec: ServiceSpec, notices: list[str]
) -> Observations | None:
    """Predictions, each with its newest label; None without any. Labels of no prediction are told."""
    unknown = labelled.unique("name").join(once, left_on="name", right_on="key", how="anti")
    unknown = unknown.join(once, left_on="name", right_on="id", how="anti")
    if unknown.height and once.height:
        first = unknown["name"].sort()[0]
        notices.append(
            f"{say_many(unknown.height, 'label')} of no prediction that was posted, such as {first!r}: a label's key "
            f"is the id of its observation."
        )
    if spec.output.kind == "probability":
        outside = once.filter(~pl.col("score").is_between(0.0, 1.0)).height
        if outside:
            notices.append(f"{say_many(outside, 'score')} outside 0 and 1, set aside: no probabilities.")
            once = once.filter(pl.col("score").is_between(0.0, 1.0))
    if once.is_empty():
        return None
    newest = labelled.sort("received").unique("name", keep="last").select("name", "value")
    _tell_corrections(labelled, newest, notices)
    joined = once.join(newest, left_on="key", right_on="name", how="left").join(
        newest.rename({"value": "by_id"}), left_on="id", right_on="name", how="left"
    )
    joined = joined.sort("at", "key").with_columns(label=pl.coalesce("value", "by_id"))
    return Observations(
        at=joined["at"].to_numpy(),
        score=joined["score"].to_numpy(),
        label=joined["label"].fill_null(float("nan")).to_numpy(),
        rows=_inputs(joined, spec.segments, notices),
    )


def _tell_corrections(labelled: pl.DataFrame, newest: pl.DataFrame, notices: list[str]) -> None:
    """Say which label counts where several came that differ."""
    other = labelled.join(newest, on="name", suffix="_newest").filter(pl.col("value") != pl.col("value_newest"))
    corrected = other.unique("name").sort("name")
    if corrected.height:
        first = corrected.row(0, named=True)
        notices.append(
            f"{say_many(corrected.height, 'prediction')} got labels that differ, and the newest counts: that of "
            f"{first['name']!r} was {first['value']:g} and is {first['value_newest']:g}."
        )


def _say_lacking(seen: pl.DataFrame, segments: Sequence[str]) -> Iterator[str]:
    """Which declared segments no row has, or some have not."""
    for name in segments:
        if name not in seen.columns:
            meant = suggestion(name, [one for one in seen.columns if one != _SCORE], otherwise=_LATER)
            yield f"No observation has a {name}, so there are no such segments. {meant}"
        elif lack := seen[name].null_count():
            yield (
                f"{lack:,} of {say_many(seen.height, 'observation')} {'has' if lack == 1 else 'have'} no {name}, and "
                f"{'is' if lack == 1 else 'are'} the segment {name} = missing."
            )


def posted_columns(state: State, service: ServiceName) -> frozenset[str]:
    """The columns of the predictions that were posted, by the newest of them in the table."""
    rows = _table(state, predictions_table(service), ["row"], {"row": pl.String})["row"].tail(_NEWEST)
    decoder = msgspec.json.Decoder(tuple[str])
    return frozenset(
        name for text in rows for name in msgspec.json.decode(decoder.decode(text)[0], type=dict[str, Any])
    )


def _inputs(posted: pl.DataFrame, segments: Sequence[str], notices: list[str]) -> pl.DataFrame:
    """The columns of what was posted beside the scores, with the types that they would have in a CSV file."""
    decoder = msgspec.json.Decoder(tuple[str])
    cells = [msgspec.json.decode(decoder.decode(text)[0], type=dict[str, Any]) for text in posted["row"]]
    names = list(dict.fromkeys(name for row in cells for name in row if name != _SCORE))
    if len(names) > _MOST_COLUMNS:
        notices.append(f"The first {_MOST_COLUMNS} of {len(names)} columns are looked at.")
    columns = [posted["score"].alias(_SCORE)]
    for name in names[:_MOST_COLUMNS]:
        values = [row.get(name) for row in cells]
        if name not in segments:
            values = _without_odd(name, values, posted["key"], notices)
        columns.append(_column(name, values))
    return pl.DataFrame(columns)


def _without_odd(name: str, values: list[Any], ids: pl.Series, notices: list[str]) -> list[Any]:
    """With nothing in the few cells of a column of numbers that hold none; they are told."""
    if str not in {type(value) for value in values}:
        return values
    odd = odd_cells(pl.Series(name, [_text(value) for value in values], dtype=pl.String))
    if odd is None:
        return values
    places = odd.arg_true()
    notices.append(
        f"{say_many(len(places), 'observation')} read as missing there: {name} is {values[places[0]]!r} in "
        f"{ids[places[0]]!r}, which is no number."
    )
    return [None if is_odd else value for value, is_odd in zip(values, odd, strict=True)]


def _column(name: str, values: list[Any]) -> pl.Series:
    """The values with one type. Numbers and text that is none are words; text alone is read as in a CSV file."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if kinds and kinds <= {int, float}:
        return pl.Series(name, np.array([np.nan if value is None else float(value) for value in values])).fill_nan(None)
    found = typed(pl.Series(name, [_text(value) for value in values], dtype=pl.String))
    if found.dtype != pl.String:
        return found
    return pl.Series(name, [_text(value, exact=True) for value in values], dtype=pl.String)


def _text(value: Any, *, exact: bool = False) -> str | None:
    """As a cell of a CSV file. A number in JSON is one however many digits it has; exact: as it was posted."""
    if value is None or isinstance(value, str):
        return value or None
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return msgspec.json.encode(float(value) if is_whole and not exact else value).decode()
