"""The gate on logged requests, for a model file whose training nobody knows.

The challenger and the champion score the same labelled requests, whoever answered them at the time. Two settings of the
gate are fitted to what was logged, and the card says so: blocks are requests in a row where the traffic does not hold
enough blocks of time, and the margin of an error in units of the label is a share of the labels' spread.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.config.declaration import GateSpec, ServiceSpec
from evertrain.control.review import FEWEST_ROWS
from evertrain.core.card import Card
from evertrain.core.comparison import MIN_BLOCKS
from evertrain.core.gate import Judgement
from evertrain.core.identity import CycleId, Digest, VersionId, digest_of_bytes
from evertrain.core.model import DatasetRef, Manifest, Output
from evertrain.core.score import RowScore, constant_of
from evertrain.core.stage import Assembled, Check, Evaluate
from evertrain.core.time import Instant, say_instant, say_span
from evertrain.core.wording import say_many
from evertrain.data.logged import LabelledRequests
from evertrain.model.assemble import parquet
from evertrain.model.evaluate import evaluate
from evertrain.store.artifact import Artifacts
from evertrain.store.state import State

__all__ = ["Grounds", "RowsFor", "judge_on", "judge_on_traffic", "lacking_in", "one_sided"]

FEWEST_OF_EACH: Final = 10
"""With fewer labels of one kind a log loss is a matter of luck."""

_BLOCKS: Final = 2 * MIN_BLOCKS
"""Into how many blocks the requests are cut, where time does not cut them into enough."""


RowsFor = Callable[[Manifest], pl.DataFrame]
"""Logged requests with what a version takes: always the same requests in the same order."""


class Grounds(NamedTuple):
    """What a file is judged on: how each version takes the rows, by which gate, and what the card says of it.

    base_rate: the constant to beat. missing: the share of rows of that time without a label. at: the times that the
    gate takes in place of the rows' own, None for these.
    """

    rows_for: RowsFor
    gate: GateSpec
    base_rate: RowScore
    missing: float
    claim: str
    words: tuple[str, ...]
    at: pl.Series | None = None

    def taken(self, manifest: Manifest) -> pl.DataFrame:
        """The rows as a version takes them, with the times of the gate."""
        rows = self.rows_for(manifest)
        return rows if self.at is None else rows.with_columns(self.at)


def judge_on_traffic(
    task: Check,
    champion: VersionId,
    spec: ServiceSpec,
    logged: LabelledRequests,
    *,
    state: State,
    folder: Path,
    rows_for: RowsFor,
) -> tuple[Judgement, Card]:
    """The verdict of the gate and its card, whose claim is "traffic". rows_for: gives the labelled requests."""
    fitted = _fitted(spec.gate, logged.rows)
    many, none = say_many(logged.rows.height, "logged request"), f"{logged.unlabelled:.0%}"
    grounds = Grounds(
        rows_for=rows_for,
        gate=fitted.gate,
        base_rate=_known_before(logged.rows["label"].to_numpy(), spec.output),
        missing=logged.unlabelled,
        claim="traffic",
        words=(
            f"judged on {many} with a label ({none} of the requests since the first of them have none)",
            "the training rows of a file are unknown, so it may have seen these",
            *fitted.words,
        ),
        at=fitted.at,
    )
    return judge_on(task, champion, spec, grounds, state=state, folder=folder)


def judge_on(
    task: Check, champion: VersionId, spec: ServiceSpec, grounds: Grounds, *, state: State, folder: Path
) -> tuple[Judgement, Card]:
    """The verdict of the gate on these grounds, and its card."""
    artifacts = Artifacts.at(state.artifacts)
    manifest = artifacts.manifest(task.version)
    rows = grounds.rows_for(manifest)
    content = parquet(rows)
    dataset = DatasetRef(
        digest=digest_of_bytes(content), tables=task.tables, cut=Instant(int(rows["at"][-1])), rows=rows.height
    )
    evaluation = Evaluate(
        service=task.service,
        cycle=CycleId(""),
        assembled=Assembled(
            dataset=dataset,
            declaration=task.declaration,
            bundle=None,
            features=manifest.features,
            training=Digest(""),
            holdout=artifacts.blobs.put(content),
            training_rows=0,
            holdout_rows=rows.height,
            boundary=Instant(int(rows["at"][0]) - 1),
            end=Instant(int(rows["at"][-1])),
            missing_labels=grounds.missing,
            base_rate=grounds.base_rate,
        ),
        challenger=task.version,
        champion=champion,
        timed=task.timed,
        deadline_s=task.deadline_s,
    )
    judgement, card = evaluate(
        evaluation,
        msgspec.structs.replace(spec, gate=grounds.gate),
        state=state,
        holdout_of=grounds.taken,
        folder=folder,
    )
    judgement = msgspec.structs.replace(judgement, reasons=(*judgement.reasons, *grounds.words))
    claim = card.claim if judgement.verdict == "health only" else grounds.claim
    return judgement, msgspec.structs.replace(card, cycle=None, claim=claim, dataset=dataset, reasons=judgement.reasons)


def lacking_in(logged: LabelledRequests, spec: ServiceSpec) -> str:
    """Why labelled requests do not suffice to judge on, "" where they do."""
    rows = logged.rows
    if rows.height < FEWEST_ROWS:
        return f"{_counted(logged, spec)}, {FEWEST_ROWS} are needed to say more than that it is healthy"
    return one_sided(rows["label"], spec)


def one_sided(label: pl.Series, spec: ServiceSpec) -> str:
    """Why at least one label is too few of its kind to judge on, "" where there is enough of each."""
    if spec.output.kind == "value":
        return ""
    commonest = int(np.unique(label.to_numpy(), return_counts=True)[1].max())
    if len(label) - commonest >= FEWEST_OF_EACH:
        return ""
    return (
        f"of {len(label)} labels {len(label) - commonest} are not of the commonest kind, {FEWEST_OF_EACH} are needed "
        "to say more than that it is healthy"
    )


def _counted(logged: LabelledRequests, spec: ServiceSpec) -> str:
    """How many requests have a label. Those that came before they are certain are told: whoever posted them asks."""
    mature = logged.rows.height
    if spec.label is None or logged.matures is None:
        return f"{mature} logged requests have a label"
    ripe = f"{mature} of them mature" if mature else "none is mature"
    after = "the next matures" if mature else "the first matures"
    return (
        f"{say_many(mature + logged.early, 'logged request')} have a label and {ripe} yet (a label is certain from "
        f"{spec.label.mature_at} on; {after} on {say_instant(logged.matures)[:10]})"
    )


def _known_before(label: NDArray[np.float64], output: Output) -> RowScore:
    """The constant to beat: what the older half of the labels said, with one of each kind added.

    The mean of all of them would be the best constant in hindsight, which nobody could have answered.
    """
    older = label[: max(len(label) // 2, 1)]
    if output.kind == "value":
        return constant_of(older, output)
    kinds = np.arange(len(output.names) if output.kind == "classes" else 2, dtype=np.float64)
    return constant_of(np.concatenate([older, kinds]), output)


class _Fitted(NamedTuple):
    """The gate for these rows, their times as it takes them (`at`), and what was changed, in words."""

    gate: GateSpec
    at: pl.Series
    words: tuple[str, ...]


def _fitted(gate: GateSpec, rows: pl.DataFrame) -> _Fitted:
    words, at = [], rows["at"]
    if gate.primary in ("rmse", "mae"):
        spread = float(np.std(rows["label"].to_numpy()))
        words.append(f"the margin is {gate.margin:g} of the labels' spread, {spread:.4g}")
        gate = msgspec.structs.replace(gate, margin=max(gate.margin * spread, np.finfo(float).tiny))
    held = (rows["at"] // gate.block).n_unique()
    if held < MIN_BLOCKS:
        size = max(rows.height // _BLOCKS, 1)
        words.append(
            f"blocks are {say_many(size, 'request')} in a row, since the traffic holds {say_many(held, 'block')} of "
            f"{say_span(gate.block)}"
        )
        gate = msgspec.structs.replace(gate, block=size)
        at = pl.int_range(rows.height, dtype=pl.Int64, eager=True).alias("at")
    return _Fitted(gate, at, tuple(words))
