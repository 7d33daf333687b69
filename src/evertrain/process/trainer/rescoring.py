"""`python -m evertrain.process.trainer.rescoring --task FOLDER --dir DIR`: labelled requests, put to two versions.

Each version runs in a check server of its own: a private socket that no worker knows, with a deadline and a limit on
memory. What a version answered itself is taken from the log; what it would have answered is asked once. It gets the
vector that was logged, where its features are those of the version that answered, and else its own features of the
request, as they were known at its time.
"""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import Digest, VersionId
from evertrain.core.metric import losses
from evertrain.core.model import Manifest
from evertrain.core.paired import LoggedLabels, Paired, judged_metric
from evertrain.core.policy import MetricName
from evertrain.core.schema import Value
from evertrain.core.stage import Rescore, Rescored, StageTask
from evertrain.data.logged import ANSWERED, SCORES, VECTOR, requests_named
from evertrain.errors import EvertrainError, UserError
from evertrain.model.assemble import FEATURE
from evertrain.model.checkserver import CheckServer
from evertrain.model.matrix import values_of
from evertrain.process.trainer.evaluation import LoggedRows
from evertrain.process.trainer.stage import run_stage
from evertrain.store.artifact import Artifacts
from evertrain.store.state import State

__all__ = ["do", "rescore"]

Floats = NDArray[np.float64]
_ID_LENGTH: Final = 16
_HALF: Final = 0.5


def do(task: StageTask, state: State, folder: Path) -> Rescored:
    """Do the one stage that there is here."""
    if not isinstance(task, Rescore):
        raise UserError(f"Rescoring does not do {type(task).__name__}.", "Run it with another stage's module.")
    return rescore(task, state, folder)


def rescore(task: Rescore, state: State, folder: Path) -> Rescored:
    """The evidence after the rows that it does not hold yet."""
    blobs = Artifacts.at(state.artifacts).blobs
    spec = msgspec.json.decode(blobs.get(task.declaration), type=ServiceSpec)
    logged = msgspec.json.decode(blobs.get(task.rows), type=LoggedLabels)
    metric = judged_metric(spec.gate.primary)
    before = Rescored(metric=metric, evidence=Paired(), counted=())
    if task.before is not None:
        before = msgspec.json.decode(blobs.get(task.before), type=Rescored)
    held = set(before.counted)
    fresh = [row for row in zip(logged.ids, logged.label, strict=True) if row[0][:_ID_LENGTH] not in held]
    rows = requests_named(state.tables, spec, task.tables, dict(fresh))
    pairs = _Requests(task, spec, rows, state, folder).losses(metric) if rows.height else []
    known = {id_[:_ID_LENGTH] for id_ in rows["key"]} | held
    return Rescored(
        metric=metric,
        evidence=before.evidence.after(pairs, margin=spec.gate.margin),
        counted=tuple(short for id_ in logged.ids if (short := id_[:_ID_LENGTH]) in known),
    )


class _Requests:
    """Logged requests with labels, and what versions would have answered to them."""

    def __init__(self, task: Rescore, spec: ServiceSpec, rows: pl.DataFrame, state: State, folder: Path) -> None:
        self._task, self._rows, self._state, self._folder = task, rows, state, folder
        self._spec = spec
        self._artifacts = Artifacts.at(state.artifacts)
        self._asked = LoggedRows(state, spec, rows, task.tables)

    def losses(self, metric: MetricName) -> list[tuple[float, float]]:
        """Of both versions, row by row; a row on which one of them has no finite score is left out."""
        found = []
        for version in (self._task.version, self._task.against):
            manifest = self._artifacts.manifest(version)
            scores = self._scores(manifest)
            finite = np.isfinite(scores) if scores.ndim == 1 else np.isfinite(scores).all(axis=1)
            threshold = _HALF if manifest.threshold is None else manifest.threshold
            with np.errstate(invalid="ignore"):
                lost = losses(metric, self._rows["label"].to_numpy(), scores, threshold=threshold)
            found.append(np.where(finite, lost, np.nan))
        both = np.column_stack(found)
        return [(one, other) for one, other in both[np.isfinite(both).all(axis=1)].tolist()]

    def _scores(self, manifest: Manifest) -> Floats:
        """(n,), or (n, k) of classes: its own answers from the log, and the rest asked for."""
        version = manifest.version
        scores = [tuple(one) for one in self._rows[SCORES].to_list()]
        absent = np.flatnonzero((self._rows[ANSWERED] != version).to_numpy()).tolist()
        for place in self._lost(manifest, absent):
            absent.remove(place)
            scores[place] = tuple(np.nan for _ in scores[place])
        if absent:
            vectors = self._vectors(manifest, absent)
            log = self._folder / f"rescoring-{version[:10]}.log"
            with CheckServer(self._state, version, log=log, deadline_s=self._task.deadline_s) as server:
                for place, score in zip(absent, server.score(vectors), strict=True):
                    scores[place] = score if isinstance(score, tuple) else (score,)
        found = np.array(scores, dtype=np.float64)
        return found[:, 0] if found.shape[1] == 1 else found

    def _lost(self, manifest: Manifest, places: Sequence[int]) -> list[int]:
        """Where nobody can know what a version would have answered: its features need what is personal."""
        if not self._spec.hidden or manifest.declaration is None:
            return []
        spec = msgspec.json.decode(self._artifacts.blobs.get(manifest.declaration), type=ServiceSpec)
        if not spec.reads_any(self._spec.hidden):
            return []
        answered, same = self._rows[ANSWERED].to_list(), self._like(manifest)
        return [place for place in places if answered[place] not in same]

    def _vectors(self, manifest: Manifest, places: Sequence[int]) -> list[tuple[Value, ...]]:
        answered, logged, same = self._rows[ANSWERED].to_list(), self._rows[VECTOR].to_list(), self._like(manifest)
        own: list[tuple[Value, ...]] = []
        if any(answered[place] not in same for place in places):
            own = values_of(self._asked(manifest), [FEATURE + item.name for item in manifest.vector])
        decoder = msgspec.json.Decoder(list[Any])
        return [tuple(decoder.decode(logged[place])) if answered[place] in same else own[place] for place in places]

    def _like(self, manifest: Manifest) -> set[VersionId]:
        """Of the versions that answered, those whose vectors are just what this one takes."""
        same = set()
        for answered in map(VersionId, self._rows[ANSWERED].unique()):
            with contextlib.suppress(EvertrainError, OSError):  # one that is gone is like none
                if _shape(self._artifacts.manifest(answered)) == _shape(manifest):
                    same.add(answered)
        return same


def _shape(manifest: Manifest) -> tuple[Digest, tuple[str, ...]]:
    return manifest.features, tuple(item.name for item in manifest.vector)


if __name__ == "__main__":
    sys.exit(run_stage(do, sys.argv[1:]))
