"""An evaluator: `python -m evertrain.process.evaluation --task FOLDER --dir DIR` judges a version.

The versions run in check servers of their own; this process composes what they need: rows of the holdout, with the
features of each version's own declaration and bundle where they differ from the challenger's.
"""

import sys
from functools import singledispatch
from pathlib import Path

import msgspec
import polars as pl

from evertrain.config.declaration import ServiceSpec
from evertrain.core.card import Card
from evertrain.core.gate import NOT_WORSE, Judgement
from evertrain.core.identity import VersionId, canonical
from evertrain.core.model import Manifest
from evertrain.core.stage import Assembled, Check, Evaluate, Evaluated, StageTask
from evertrain.data.logged import labelled_requests
from evertrain.errors import ModelError, UserError
from evertrain.model.assemble import FEATURE, read_parquet
from evertrain.model.evaluate import check, evaluate
from evertrain.process.stage import run_stage
from evertrain.process.trafficgate import judge_on_traffic, lacking_in
from evertrain.store.artifact import Artifacts
from evertrain.store.blob import Blobs
from evertrain.store.state import State

__all__ = ["check_version", "do", "evaluate_challenger", "holdout_for"]


def do(task: StageTask, state: State, folder: Path) -> msgspec.Struct:
    """Do one of an evaluator's stages."""
    return _do(task, state, folder)


@singledispatch
def _do(task: object, state: State, folder: Path) -> msgspec.Struct:  # noqa: ARG001
    raise UserError(f"An evaluator does not do {type(task).__name__}.", "Run it with evertrain.process.training.")


@_do.register
def evaluate_challenger(task: Evaluate, state: State, folder: Path) -> Evaluated:
    """Judge a challenger on the holdout rows. What its training says of it is told beside the verdict."""
    artifacts = Artifacts.at(state.artifacts)
    blobs = artifacts.blobs
    spec = msgspec.json.decode(blobs.get(task.assembled.declaration), type=ServiceSpec)
    rows = read_parquet(blobs.get(task.assembled.holdout))
    judgement, card = evaluate(
        task,
        spec,
        state=state,
        holdout_of=lambda manifest: holdout_for(manifest, task.assembled, rows, state),
        folder=folder,
    )
    caution = artifacts.manifest(task.challenger).caution
    if caution:
        judgement = msgspec.structs.replace(judgement, reasons=(*judgement.reasons, f"caution: {caution}"))
        card = msgspec.structs.replace(card, reasons=judgement.reasons)
    return _answer(task.challenger, judgement, card, blobs)


@_do.register
def check_version(task: Check, state: State, folder: Path) -> Evaluated:
    """Judge whether a version that came as a file loads and answers, and how well where that can be told."""
    blobs = Artifacts.at(state.artifacts).blobs
    spec = msgspec.json.decode(blobs.get(task.declaration), type=ServiceSpec)
    # With features of its own, a service's model takes something else than the request; its log cannot tell.
    logged = None if spec.features else labelled_requests(state.tables, spec, task.tables)
    lacking = "" if logged is None else lacking_in(logged.rows, spec.output)
    if task.champion is not None and logged is not None and not lacking:
        judgement, card = judge_on_traffic(task, task.champion, spec, logged, state=state, folder=folder)
        done = _answer(task.version, judgement, card, blobs)
        return msgspec.structs.replace(done, evidence={"labelled": float(logged.rows.height)})
    judgement, card, agreement = check(
        task, spec, state=state, folder=folder, asked=None if logged is None else logged.asked
    )
    hold = "" if agreement is None or judgement.verdict != "health only" else agreement.objection
    if judgement.verdict == "health only" and task.champion is not None:
        told = "the log does not hold what its model takes" if logged is None else lacking
        words = (told, *((f"{hold}: a person has to look before it gets more traffic",) if hold else ()))
        judgement = msgspec.structs.replace(judgement, reasons=(*words, *judgement.reasons))
        card = msgspec.structs.replace(card, reasons=judgement.reasons)
    evidence = {"labelled": float(logged.rows.height) if logged is not None else 0.0}
    evidence["compared"] = float(agreement.rows) if agreement is not None else 0.0
    done = _answer(task.version, judgement, card, blobs)
    return msgspec.structs.replace(done, evidence=evidence, hold=hold)


def holdout_for(manifest: Manifest, assembled: Assembled, rows: pl.DataFrame, state: State) -> pl.DataFrame:
    """The same rows with the features of another version: its own code, on the same tables, as of the same cut."""
    if manifest.features == assembled.features:
        return rows
    from evertrain.process.assembly import bundle_folder, mature_rows

    if manifest.declaration is None:
        raise ModelError(
            f"Version {manifest.version} came as a file and says nothing of its features.",
            "Promote a version that was trained here first.",
        )
    blobs = Artifacts.at(state.artifacts).blobs
    spec = msgspec.json.decode(blobs.get(manifest.declaration), type=ServiceSpec)
    folder = bundle_folder(state, blobs, manifest.bundle)
    own = mature_rows(state, spec, folder, manifest.bundle, tables=assembled.dataset.tables, cut=assembled.dataset.cut)
    features = [name for name in own.columns if name.startswith(FEATURE)]
    kept = rows.select(name for name in rows.columns if not name.startswith(FEATURE))
    return kept.join(own.select("key", *features), on="key", how="left", maintain_order="left")


def _answer(version: VersionId, judgement: Judgement, card: Card, blobs: Blobs) -> Evaluated:
    return Evaluated(
        version=version,
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        card=blobs.put(canonical(card)),
        worse=any(one.name == NOT_WORSE and one.status == "fail" for one in judgement.criteria),
    )


if __name__ == "__main__":
    sys.exit(run_stage(do, sys.argv[1:]))
