"""Evaluating a challenger: queried in the real check server, scored beside champion and anchor, judged, and told.

Whatever the challenger does while it is looked at (crash, hang, take all memory) ends its check server and is the
verdict *error* with the cause; the champion and the anchor are only scored. A fault of theirs is nobody's verdict and
fails the stage.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.config.declaration import ServiceSpec
from evertrain.core.agreement import Agreement, agreement_of
from evertrain.core.card import Bin, Card, Measured, SegmentFigures, calibration
from evertrain.core.gate import Criterion, GateEvidence, Health, Judgement, constants, judge
from evertrain.core.golden import Golden
from evertrain.core.identity import VersionId
from evertrain.core.metric import weights_of
from evertrain.core.model import Manifest
from evertrain.core.policy import MetricName
from evertrain.core.score import RowScore
from evertrain.core.stage import Check, Evaluate, TrainingRecord
from evertrain.errors import ModelError, PackageError
from evertrain.model.checkserver import CheckServer
from evertrain.model.contest import (
    Contender,
    column_of,
    figures_of,
    launched,
    score_rows,
    segment_figures,
    segments_of,
)
from evertrain.model.inspection import Inspection, inspect
from evertrain.store.artifact import Artifacts
from evertrain.store.state import State

__all__ = ["Examined", "HoldoutOf", "check", "evaluate", "examine"]

Floats = NDArray[np.float64]

HoldoutOf = Callable[[Manifest], pl.DataFrame]
"""The holdout rows with the features that a version needs, always the same rows in the same order."""

_PATIENCE_S: Final = 2.0
"""How long a version may take over a batch of logged requests that it is only compared on."""

_METRICS: Final[dict[str, tuple[MetricName, ...]]] = {
    "probability": ("log_loss", "auc", "brier", "accuracy"),
    "value": ("rmse", "mae"),
    "classes": ("log_loss", "accuracy", "brier"),
}


class Examined(msgspec.Struct, frozen=True, kw_only=True):
    """What the check server showed of a version. cause: why it could not be examined, "" when it could.

    scores: of the holdout rows, in order; None when there were none to score, or it could not. tried: the same of
    logged requests that it was asked besides, or why it could not. stall_ms: for how long its loading held up others.
    """

    health: Health
    cause: str = ""
    inspection: Inspection | None = None
    scores: Floats | None = None
    tried: Floats | str | None = None
    stall_ms: float = 0.0

    @property
    def category_scores(self) -> tuple[RowScore | None, RowScore | None]:
        """What a missing and what an unseen category score, for the card."""
        if self.inspection is None:
            return None, None
        return _finite(self.inspection.null_score), _finite(self.inspection.unseen_score)


def evaluate(
    task: Evaluate, spec: ServiceSpec, *, state: State, holdout_of: HoldoutOf, folder: Path
) -> tuple[Judgement, Card]:
    """The verdict on a challenger and the card that tells it. folder: for the check servers' logs."""
    artifacts = Artifacts.at(state.artifacts)
    manifests = {
        who: artifacts.manifest(version)
        for who, version in (("challenger", task.challenger), ("champion", task.champion), ("anchor", task.anchor))
        if version is not None and not (who == "anchor" and version == task.champion)
    }
    servers = {who: _server(state, spec, one.version, task.deadline_s, folder) for who, one in manifests.items()}
    rows = holdout_of(manifests["challenger"])
    with launched(servers):
        examined = examine(servers["challenger"], manifests["challenger"], artifacts, rows, timed=task.timed)
        others = {} if examined.cause else _scores_of_others(servers, manifests, holdout_of)
    label = rows["label"].to_numpy()
    nothing = np.full(len(label), np.nan)
    weight = None if spec.gate.weight is None else column_of(rows, spec.gate.weight, "Weight").cast(pl.Float64)
    evidence = GateEvidence(
        health=examined.health,
        label=label,
        at=rows["at"].to_numpy(),
        challenger=nothing if examined.scores is None else examined.scores,
        base_rate=task.assembled.base_rate,
        champion=others.get("champion", None if task.champion is None else nothing),
        anchor=others.get("anchor"),
        weight=None if weight is None else weight.fill_null(float("nan")).to_numpy(),
        segments=segments_of(rows, (*spec.segments, *spec.gate.protect)),
    )
    judgement = _with_faults(judge(evidence, spec.gate, seed=task.seed), examined)
    manifest = manifests["challenger"]
    card = _card(task, spec, evidence=evidence, judgement=judgement, examined=examined, manifest=manifest)
    return judgement, _with_rehearsals(card, manifest, artifacts)


def check(
    task: Check, spec: ServiceSpec, *, state: State, folder: Path, asked: HoldoutOf | None = None
) -> tuple[Judgement, Card, Agreement | None]:
    """The verdict on a version that came as a file: it loads and answers, or not. Nothing is said of its quality.

    asked: logged requests, labelled or not, on which its scores are held beside the champion's, as a version takes
    them. What fails on them is told and decides nothing here: the champion answers in the place of a canary that fails.
    """
    artifacts = Artifacts.at(state.artifacts)
    manifests = {"challenger": artifacts.manifest(task.version)}
    rows: dict[str, pl.DataFrame] = {}
    if task.champion is not None and asked is not None and asked(manifests["challenger"]).height:
        manifests["champion"] = artifacts.manifest(task.champion)
        rows = {who: asked(manifest) for who, manifest in manifests.items()}
    servers = {who: _server(state, spec, one.version, task.deadline_s, folder) for who, one in manifests.items()}
    with launched(servers):
        examined = examine(
            servers["challenger"],
            manifests["challenger"],
            artifacts,
            None,
            timed=task.timed,
            asked=rows.get("challenger"),
        )
        tried = {"challenger": examined.tried}
        if rows and examined.tried is not None:
            with servers["champion"] as server:
                tried["champion"] = _try_to_score(server, manifests["champion"], rows["champion"])
    criterion, agreement = _agreement(tried)
    judgement = _health_only(examined.health, spec, () if criterion is None else (criterion,))
    judgement = _with_faults(judgement, examined)
    card = Card(
        service=task.service,
        version=task.version,
        cycle=None,
        claim="health only",
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        champion=task.champion,
        criteria=judgement.criteria,
        null_score=examined.category_scores[0],
        unseen_score=examined.category_scores[1],
        measured=_measured(examined),
    )
    return judgement, card, agreement


def _try_to_score(server: CheckServer, manifest: Manifest, rows: pl.DataFrame) -> Floats | str:
    """Scores of logged requests, or why there are none."""
    try:
        return score_rows(server, manifest, rows, within_s=_PATIENCE_S)
    except ModelError as error:
        return error.what


def _agreement(tried: Mapping[str, Floats | str | None]) -> tuple[Criterion | None, Agreement | None]:
    """What the two say of the same requests."""
    challenger, champion = tried["challenger"], tried.get("champion")
    if isinstance(challenger, str):
        return _informative(f"it was not compared with the champion: {challenger}"), None
    if challenger is None or champion is None or isinstance(champion, str):
        return (None if champion is None else _informative(f"the champion has no scores to compare: {champion}")), None
    finite, known = (np.isfinite(scores).reshape(len(scores), -1).all(axis=1) for scores in (challenger, champion))
    both = finite & known
    found = agreement_of(challenger[both], champion[both])
    lacking = np.count_nonzero(~finite)
    words = f"; it gives no finite score to {lacking} of them" if lacking else ""
    return _informative(found.words + words, found.correlation), found


def _informative(words: str, figure: float | None = None) -> Criterion:
    return Criterion(name="agreement", status="informative", words=words, figure=figure)


def examine(
    server: CheckServer,
    manifest: Manifest,
    artifacts: Artifacts,
    rows: pl.DataFrame | None,
    *,
    timed: bool,
    asked: pl.DataFrame | None = None,
) -> Examined:
    """Load, query and, where there are rows, score a version; its faults become words and stop here."""
    golden = Golden(requests=())
    if manifest.golden is not None:
        golden = msgspec.json.decode(artifacts.blobs.get(manifest.golden), type=Golden)
    tried = None
    try:
        with server:
            inspection = inspect(server, manifest, golden)
            scores = None if rows is None or inspection.faults else score_rows(server, manifest, rows)
            server.ping()
            peak, stall = server.peak_mb, server.stall_ms
            if asked is not None and not inspection.faults:
                tried = _try_to_score(server, manifest, asked)
    except PackageError:
        raise  # it says nothing about the version
    except ModelError as error:
        return Examined(health=Health(cause=error.what, timed=timed), cause=error.what)
    health = Health(
        golden=len(golden.requests),
        golden_failed=max(inspection.failed, 1) if inspection.faults else 0,
        p99_ms=inspection.p99_ms,
        own_p99_ms=inspection.own_p99_ms,
        memory_mb=peak,
        timed=timed,
    )
    cause = inspection.faults[0] if inspection.faults else ""
    return Examined(health=health, cause=cause, inspection=inspection, scores=scores, tried=tried, stall_ms=stall)


def _server(state: State, spec: ServiceSpec, version: VersionId, deadline_s: float, folder: Path) -> CheckServer:
    log = folder / f"check-{version[:10]}.log"
    return CheckServer(state, version, log=log, deadline_s=deadline_s, memory_mb=spec.gate.max_memory_mb)


def _scores_of_others(
    servers: Mapping[str, CheckServer], manifests: Mapping[str, Manifest], holdout_of: HoldoutOf
) -> dict[str, Floats]:
    found = {}
    for who in [name for name in manifests if name != "challenger"]:
        with servers[who] as server:
            found[who] = score_rows(server, manifests[who], holdout_of(manifests[who]))
    return found


def _health_only(health: Health, spec: ServiceSpec, besides: tuple[Criterion, ...]) -> Judgement:
    """The gate's criteria of health, and no other: there are no rows to say anything else about."""
    nothing = np.zeros(0)
    evidence = GateEvidence(
        health=health, label=nothing, at=np.zeros(0, dtype=np.int64), challenger=nothing, base_rate=0.0
    )
    unlabelled = msgspec.structs.replace(spec.gate, protect=())
    criteria = (*(one for one in judge(evidence, unlabelled).criteria if one.name != "constant"), *besides)
    broken = [one for one in criteria if one.status in ("error", "fail")]
    return Judgement(
        verdict="error" if any(one.status == "error" for one in broken) else "fail" if broken else "health only",
        reasons=tuple(f"{one.name}: {one.words}" for one in broken or criteria),
        criteria=criteria,
    )


def _with_faults(judgement: Judgement, examined: Examined) -> Judgement:
    """The judgement with what exactly the check server found, beside the count that decides."""
    faults = examined.inspection.faults if examined.inspection is not None else ()
    return msgspec.structs.replace(judgement, reasons=(*judgement.reasons, *(one.removesuffix(".") for one in faults)))


# The card ------------------------------------------------------------------------------------------------------------


def _card(
    task: Evaluate,
    spec: ServiceSpec,
    *,
    evidence: GateEvidence,
    judgement: Judgement,
    examined: Examined,
    manifest: Manifest,
) -> Card:
    assembled = task.assembled
    contenders = _contenders(task, evidence)
    scored = bool(contenders)
    metrics = _METRICS[spec.output.kind]
    weight = None if evidence.weight is None or not scored else weights_of(evidence.weight, len(evidence.label))
    return Card(
        service=task.service,
        version=task.challenger,
        cycle=task.cycle,
        claim="health only" if judgement.verdict == "health only" else "digest",
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        champion=task.champion,
        anchor=task.anchor,
        dataset=manifest.dataset,
        training_rows=assembled.training_rows,
        holdout_rows=len(evidence.label),
        boundary=assembled.boundary,
        end=assembled.end,
        missing_labels=assembled.missing_labels,
        base_rate=assembled.base_rate,
        weight=spec.gate.weight,
        criteria=judgement.criteria,
        figures=figures_of(contenders, evidence.label, metrics, weight),
        segments=(
            *segment_figures(contenders, evidence.label, evidence.segments, (spec.gate.primary,), weight),
            *_by_class(contenders, evidence, spec, weight),
        ),
        calibration=_calibration(evidence) if scored and spec.output.kind != "value" else (),
        null_score=examined.category_scores[0],
        unseen_score=examined.category_scores[1],
        measured=_measured(examined),
    )


def _by_class(
    contenders: Sequence[Contender], evidence: GateEvidence, spec: ServiceSpec, weight: Floats | None
) -> tuple[SegmentFigures, ...]:
    """Figures on the rows of each class that came; the accuracy of these is the recall of the class."""
    if not spec.output.names or not contenders:
        return ()
    came = [spec.output.names[int(place)] for place in evidence.label]
    return segment_figures(contenders, evidence.label, {"class": came}, (spec.gate.primary, "accuracy"), weight)


def _calibration(evidence: GateEvidence) -> tuple[Bin, ...]:
    """Of a probability; of classes, whether the most probable one was right, by its probability."""
    label, scores = evidence.label, evidence.challenger
    if scores.ndim == 2:
        label, scores = (scores.argmax(axis=1) == label).astype(np.float64), scores.max(axis=1)
    return calibration(label, scores)


def _with_rehearsals(card: Card, manifest: Manifest, artifacts: Artifacts) -> Card:
    """The card with what its training record says of the recipes that competed."""
    if manifest.record is None:
        return card
    record = msgspec.json.decode(artifacts.blobs.get(manifest.record), type=TrainingRecord)
    return msgspec.structs.replace(card, recipe=record.recipe, chosen=record.chosen, rehearsals=record.rehearsals)


def _contenders(task: Evaluate, evidence: GateEvidence) -> list[Contender]:
    """Everybody with finite scores of the rows; nobody when the challenger has none."""
    if not len(evidence.label) or not np.isfinite(evidence.challenger).all():
        return []
    everybody = (
        ("challenger", task.challenger, evidence.challenger),
        ("champion", task.champion, evidence.champion),
        ("anchor", task.anchor, evidence.anchor),
        ("constant", None, constants(evidence.base_rate, len(evidence.label))),
    )
    return [
        Contender(who=who, version=version, scores=scores) for who, version, scores in everybody if scores is not None
    ]


def _measured(examined: Examined) -> Measured | None:
    if examined.inspection is None:
        return None
    return Measured(
        p50_ms=examined.inspection.p50_ms,
        p99_ms=examined.inspection.p99_ms,
        memory_mb=examined.health.memory_mb or 0.0,
        requests=examined.inspection.requests,
        stall_ms=examined.stall_ms,
        decides=examined.health.timed,
    )


def _finite(score: RowScore | None) -> RowScore | None:
    return score if score is not None and bool(np.isfinite(score).all()) else None
