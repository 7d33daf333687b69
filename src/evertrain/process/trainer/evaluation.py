"""An evaluator: `python -m evertrain.process.trainer.evaluation --task FOLDER --dir DIR` judges a version.

The versions run in check servers of their own; this process composes what they need: rows of the holdout, with the
features of each version's own declaration and bundle where they differ from the challenger's.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from pathlib import Path

import msgspec
import polars as pl

from evertrain.config.declaration import ServiceSpec
from evertrain.core.agreement import Agreement
from evertrain.core.card import Card
from evertrain.core.gate import NOT_WORSE, Judgement
from evertrain.core.identity import Digest, VersionId, canonical, short
from evertrain.core.likeness import LostCategories, Retyped
from evertrain.core.model import Manifest
from evertrain.core.stage import Assembled, Check, Evaluate, Evaluated, StageTask
from evertrain.core.wording import say_many
from evertrain.data.logged import LabelledRequests, labelled_requests
from evertrain.errors import EvertrainError, ModelError, PackageError, UserError
from evertrain.model.assemble import FEATURE, REQUEST, read_parquet
from evertrain.model.evaluate import check, evaluate
from evertrain.model.likeness import changes_of_inputs
from evertrain.process.trainer.plausibility import doubted, doubts_of
from evertrain.process.trainer.stage import run_stage
from evertrain.process.trainer.tablegate import grounds_on_table, labelled_table, told_beside
from evertrain.process.trainer.trafficgate import judge_on, judge_on_traffic, lacking_in
from evertrain.store.artifact import Artifacts
from evertrain.store.state import State

__all__ = ["LoggedRows", "check_version", "do", "evaluate_challenger", "holdout_for", "how_often"]


def do(task: StageTask, state: State, folder: Path) -> msgspec.Struct:
    """Do one of an evaluator's stages. That a package is missing here is an answer, and no verdict."""
    try:
        return _do(task, state, folder)
    except PackageError as error:
        version = task.challenger if isinstance(task, Evaluate) else task.version if isinstance(task, Check) else None
        if version is None:
            raise
        return Evaluated(version=version, verdict="error", reasons=(), card=Digest(""), unchecked=str(error))


@singledispatch
def _do(task: object, state: State, folder: Path) -> msgspec.Struct:  # noqa: ARG001
    raise UserError(
        f"An evaluator does not do {type(task).__name__}.", "Run it with evertrain.process.trainer.training."
    )


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
    if judgement.verdict in ("fail", "error"):
        return _answer(task.challenger, judgement, card, state)
    doubts = doubts_of(task, card, artifacts)
    judgement, card = doubted(judgement, card, doubts)
    return msgspec.structs.replace(_answer(task.challenger, judgement, card, state), hold=doubts.hold)


@_do.register
def check_version(task: Check, state: State, folder: Path) -> Evaluated:
    """Judge whether a version that came as a file loads and answers, and how well where that can be told."""
    artifacts = Artifacts.at(state.artifacts)
    spec = msgspec.json.decode(artifacts.blobs.get(task.declaration), type=ServiceSpec)
    logged = labelled_requests(state.tables, spec, task.tables)
    if task.champion is None:
        judgement, card, _ = check(task, spec, state=state, folder=folder)
        return _answer(task.version, judgement, card, state)
    lacking = lacking_in(logged, spec)
    rows_for = LoggedRows(state, spec, logged.asked if lacking else logged.rows, task.tables)
    manifests = artifacts.manifest(task.version), artifacts.manifest(task.champion)
    obstacle = rows_for.obstacle(manifests)
    changes = changes_of_inputs(artifacts, *manifests)
    if not lacking and not obstacle:
        judgement, card = judge_on_traffic(
            task, task.champion, spec, logged, state=state, folder=folder, rows_for=rows_for
        )
        judgement, card = _with_cautions(judgement, card, artifacts, changes, rows_for)
        done = _answer(task.version, judgement, card, state)
        return msgspec.structs.replace(done, evidence={**done.evidence, "labelled": float(logged.rows.height)})
    judgement, card, agreement = check(task, spec, state=state, folder=folder, asked=None if obstacle else rows_for)
    hold = ""
    if judgement.verdict == "health only":
        judgement, card = _asked_of_table(task, task.champion, spec, judgement, card, state=state, folder=folder)
    if judgement.verdict == "health only":
        hold = "" if agreement is None else agreement.objection
        hold = hold or next((one.words for one in changes if isinstance(one, LostCategories) and one.whole), "")
        words = (
            obstacle or lacking,
            *((f"{hold}: it gets no traffic before labels or a person speak",) if hold else ()),
        )
        judgement = msgspec.structs.replace(judgement, reasons=(*words, *judgement.reasons))
        card = msgspec.structs.replace(card, reasons=judgement.reasons)
    judgement, card = _with_cautions(judgement, card, artifacts, changes, None if obstacle else rows_for)
    done = _answer(task.version, judgement, card, state)
    return msgspec.structs.replace(
        done, evidence=done.evidence | _counted(logged, agreement, obstacle, card), hold=hold
    )


def _counted(logged: LabelledRequests, agreement: Agreement | None, obstacle: str, card: Card) -> dict[str, float]:
    """What a verdict on health rests on, and how many labels have come that do not count yet."""
    found = {
        "labelled": 0.0 if obstacle else float(logged.rows.height),
        "compared": 0.0 if agreement is None else float(agreement.rows),
    }
    if logged.matures is not None:
        found |= {"early": float(logged.early), "matures": float(logged.matures)}
    if card.figures:
        found["table"] = float(card.holdout_rows)
    return found


def _asked_of_table(
    task: Check,
    champion: VersionId,
    spec: ServiceSpec,
    judgement: Judgement,
    card: Card,
    *,
    state: State,
    folder: Path,
) -> tuple[Judgement, Card]:
    """The verdict on a healthy file with what the declared table says: it may refuse it, and admits nothing."""
    try:
        rows = labelled_table(task, champion, spec, state)
    except EvertrainError as error:
        rows = f"the declared table cannot be asked: {error.what}"
    if isinstance(rows, str):
        words = (rows,) if rows else ()
        return msgspec.structs.replace(judgement, reasons=(*words, *judgement.reasons)), card
    artifacts = Artifacts.at(state.artifacts)
    asked = LoggedRows(state, spec, rows.holdout, task.tables, "the rows of the declared table")
    obstacle = asked.obstacle(map(artifacts.manifest, (task.version, champion)))
    if obstacle:
        return msgspec.structs.replace(judgement, reasons=(obstacle, *judgement.reasons)), card
    told, full = judge_on(task, champion, spec, grounds_on_table(rows, spec, asked), state=state, folder=folder)
    if told.verdict in ("fail", "error"):
        return told, full
    card = told_beside(judgement, card, full, rows, spec)
    return msgspec.structs.replace(judgement, reasons=card.reasons), card


def _with_cautions(
    judgement: Judgement,
    card: Card,
    artifacts: Artifacts,
    changes: Sequence[LostCategories | Retyped],
    rows_for: "LoggedRows | None",
) -> tuple[Judgement, Card]:
    """The judgement and its card with what the file takes in otherwise, and how many of the requests that concerns."""
    if not changes:
        return judgement, card
    rows = None if rows_for is None else rows_for(artifacts.manifest(card.version))
    cautions = tuple(one.words + how_often(one, rows) for one in changes)
    reasons = (*judgement.reasons, *(f"caution: {words}" for words in cautions))
    return (
        msgspec.structs.replace(judgement, reasons=reasons),
        msgspec.structs.replace(card, reasons=reasons, cautions=cautions),
    )


def how_often(change: LostCategories | Retyped, rows: pl.DataFrame | None) -> str:
    """How many of the logged requests carry what is not known any more; nothing where there are none."""
    if isinstance(change, Retyped) or rows is None or not rows.height or FEATURE + change.column not in rows.columns:
        return ""
    carry = int(rows[FEATURE + change.column].is_in(change.texts).sum())
    return f"; {carry:,} of {say_many(rows.height, 'logged request')} carry that, and it takes it for missing"


class LoggedRows:
    """Logged requests as each version takes them: by its own declaration and bundle, as known at their times.

    what: they are called so where they are other rows of requests.
    """

    def __init__(
        self,
        state: State,
        spec: ServiceSpec,
        rows: pl.DataFrame,
        tables: Mapping[str, int],
        what: str = "the logged requests",
    ) -> None:
        self._what = what
        self._state, self._spec, self._rows, self._tables = state, spec, rows, tables
        self._made: dict[Digest, pl.DataFrame] = {}

    def __call__(self, manifest: Manifest) -> pl.DataFrame:
        """The same requests in the same order; an EvertrainError says why their features cannot be computed."""
        if manifest.features not in self._made:
            self._made[manifest.features] = self._make(manifest)
        return self._made[manifest.features]

    def obstacle(self, manifests: Iterable[Manifest]) -> str:
        """Why the requests cannot be put to all of these versions, "" when they can."""
        try:
            for manifest in manifests:
                self(manifest)
        except EvertrainError as error:
            return f"{self._what} cannot be scored, so nothing is said of its quality: {error.what}"
        return ""

    def _make(self, manifest: Manifest) -> pl.DataFrame:
        from evertrain.process.trainer.assembly import bundle_folder, with_features

        if manifest.inputs != self._spec.inputs:
            raise ModelError(f"Version {short(manifest.version)} takes another request than the service does now.")
        blobs = Artifacts.at(self._state.artifacts).blobs
        spec = self._spec
        if manifest.declaration is not None:
            spec = msgspec.json.decode(blobs.get(manifest.declaration), type=ServiceSpec)
        if not spec.features:
            return self._rows.with_columns(pl.col(REQUEST + name).alias(FEATURE + name) for name in spec.inputs.names)
        if spec.reads_any(self._spec.hidden):
            raise ModelError(
                f"Features of version {short(manifest.version)} need {', '.join(self._spec.hidden)}: that is personal, "
                "and the log holds pseudonyms of it only."
            )
        folder = bundle_folder(self._state, blobs, manifest.bundle)
        return with_features(self._state, spec, folder, manifest.bundle, rows=self._rows, tables=self._tables)


def holdout_for(manifest: Manifest, assembled: Assembled, rows: pl.DataFrame, state: State) -> pl.DataFrame:
    """The same rows with the features of another version: its own code, on the same tables, as of the same cut."""
    if manifest.features == assembled.features:
        return rows
    from evertrain.process.trainer.assembly import bundle_folder, mature_rows

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


def _answer(version: VersionId, judgement: Judgement, card: Card, state: State) -> Evaluated:
    artifacts = Artifacts.at(state.artifacts)
    manifest = artifacts.manifest(version)
    built = state.environments.built(manifest.runs_in) if manifest.runs_in else None
    packages = manifest.environment if built is None else built.packages
    card = msgspec.structs.replace(card, environment=manifest.runs_in, packages=packages)
    return Evaluated(
        version=version,
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        card=artifacts.blobs.put(canonical(card)),
        evidence={} if card.measured is None or not card.measured.decides else {"stall_ms": card.measured.stall_ms},
        worse=any(one.name == NOT_WORSE and one.status == "fail" for one in judgement.criteria),
    )


if __name__ == "__main__":
    sys.exit(run_stage(do, sys.argv[1:]))
