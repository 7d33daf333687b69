"""What the declared table says of a model file, where too few logged requests have a label to judge it on.

A champion that was trained here learned from none of these rows. What the file learned from nobody knows, and it may
well have been the whole table. So they speak against it only: a file that is shown to be worse even on rows that it may
have seen fails; of one that is not shown to be worse the figures are told, and its verdict stays "health only".
"""

from typing import Final, NamedTuple

import msgspec
import polars as pl

from evertrain.config.declaration import ServiceSpec
from evertrain.control.review import FEWEST_ROWS
from evertrain.core.card import Card
from evertrain.core.gate import Judgement
from evertrain.core.identity import VersionId
from evertrain.core.score import constant_of
from evertrain.core.stage import Check, TrainingRecord
from evertrain.core.time import Instant, Span, say_instant
from evertrain.core.wording import say_many
from evertrain.data.batch import KNOWN
from evertrain.data.example import mature_examples
from evertrain.errors import EvertrainError
from evertrain.model.assemble import read_parquet, split
from evertrain.process.trainer.trafficgate import Grounds, RowsFor, one_sided
from evertrain.store.artifact import Artifacts
from evertrain.store.state import State
from evertrain.store.table import Table

__all__ = ["TableRows", "grounds_on_table", "labelled_table", "told_beside"]

_ONLY_AGAINST: Final = "it may have been trained on them, so they speak against it only"


class TableRows(NamedTuple):
    """The newest labelled rows of the declared table: a holdout without features, and the training rows before it.

    learned: how many of the holdout's rows the champion was trained on, and that are left out; None where that is not
    known, since it came as a file too.
    """

    holdout: pl.DataFrame
    training: pl.DataFrame
    missing: float
    learned: int | None


def labelled_table(task: Check, champion: VersionId, spec: ServiceSpec, state: State) -> TableRows | str:
    """The rows to ask; why there are none, "" where the declaration has no labelled table."""
    if spec.label is None or spec.examples is None:
        return ""
    names = {source.name: f"source.{source.name}" for source in spec.sources}
    if any(name not in task.tables for name in names.values()):
        return "the declared table has no rows yet"
    tables = {source: Table(state.tables, name).read(task.tables[name]) for source, name in names.items()}
    artifacts = Artifacts.at(state.artifacts)
    manifest = artifacts.manifest(champion)
    # No clock is asked: the same tables give the same rows, and never older ones than the champion was judged on.
    known = (int(table[KNOWN].dt.epoch("us").max() or 0) for table in tables.values())  # type: ignore[arg-type]
    cut = Instant(max(*known, 0 if manifest.dataset is None else manifest.dataset.cut))
    parts = split(mature_examples(spec, tables, cut).rows, cut=cut, holdout=Span(spec.gate.holdout))
    holdout, learned = parts.holdout, None
    seen = _learned(champion, artifacts)
    if seen is not None:
        holdout = holdout.filter(~pl.col("key").is_in(seen.implode()))
        learned = parts.holdout.height - holdout.height
    if holdout.height < FEWEST_ROWS or not parts.training.height:
        count = say_many(holdout.height, "labelled row")
        return f"the declared table has {count} to judge it on, {FEWEST_ROWS} are needed"
    if lacking := one_sided(holdout["label"], spec):
        return f"the declared table does not judge it: {lacking}"
    return TableRows(holdout, parts.training, parts.missing, learned)


def _learned(champion: VersionId, artifacts: Artifacts) -> pl.Series | None:
    """The keys that a version was trained on; None where nobody knows."""
    record = artifacts.manifest(champion).record
    if record is None:
        return None
    try:
        told = msgspec.json.decode(artifacts.blobs.get(record), type=TrainingRecord)
        return read_parquet(artifacts.blobs.get(told.training))["key"]
    except EvertrainError:
        return None


def grounds_on_table(rows: TableRows, spec: ServiceSpec, rows_for: RowsFor) -> Grounds:
    """The grounds of a verdict on these rows."""
    return Grounds(
        rows_for=rows_for,
        gate=spec.gate,
        base_rate=constant_of(rows.training["label"].to_numpy(), spec.output),
        missing=rows.missing,
        claim="table",
        words=(_which(rows, spec), f"what the file was trained on is unknown: {_ONLY_AGAINST}"),
    )


def told_beside(judgement: Judgement, card: Card, table: Card, rows: TableRows, spec: ServiceSpec) -> Card:
    """The card of a file that is known to be healthy, with what the table says and does not decide."""
    primary = {one.who: one.metrics[spec.gate.primary] for one in table.figures if spec.gate.primary in one.metrics}
    beside = "; ".join(f"{spec.gate.primary} {value:.4f} of the {who}" for who, value in primary.items())
    reasons = (f"{_which(rows, spec)}: {beside or 'no figures'}; {_ONLY_AGAINST}", *judgement.reasons)
    return msgspec.structs.replace(
        table, claim=card.claim, verdict=judgement.verdict, reasons=reasons, criteria=card.criteria, dataset=None
    )


def _which(rows: TableRows, spec: ServiceSpec) -> str:
    source = "" if spec.label is None else spec.label.source
    first, last = (say_instant(Instant(int(rows.holdout["at"][place])))[:10] for place in (0, -1))
    learned = (
        "whether the champion was trained on them is not known either"
        if rows.learned is None
        else "the champion was trained on none of them"
    )
    many = say_many(rows.holdout.height, "labelled row")
    return f"judged on the newest {many} of {source}, of {first} to {last}; {learned}"
