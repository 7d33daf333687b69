"""Training a version again from its record, and saying how alike the two are.

The three answers are kept apart: the same bytes, other bytes with the same scores, other scores. Whatever is not
bitwise comes with the causes that can be named: packages, interpreter, machine or threads that differ from the record.
"""

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain import runtime
from evertrain.config.declaration import ServiceSpec
from evertrain.config.training import Run
from evertrain.core.golden import Golden
from evertrain.core.identity import Digest, VersionId, short
from evertrain.core.score import RowScore
from evertrain.core.stage import Reproduced, TrainingRecord
from evertrain.errors import ModelError
from evertrain.model.assemble import read_parquet
from evertrain.model.matrix import pin_vector
from evertrain.model.package import environment_of
from evertrain.model.trainer import Recipe, machine, make, training_set
from evertrain.store.artifact import Artifacts

__all__ = ["compare", "differences", "recorded", "reproduce"]

UNEXPLAINED = "Everything on record is equal: the recipe depends on something that is not (a clock, unseeded draws)."


def recorded(artifacts: Artifacts, version: VersionId) -> TrainingRecord:
    """What a version's training was run with; ModelError for one that was not trained here."""
    digest = artifacts.manifest(version).record
    if digest is None:
        raise ModelError(f"Version {short(version)} has no training record: it came as a file.")
    return msgspec.json.decode(artifacts.blobs.get(digest), type=TrainingRecord)


def reproduce(
    version: VersionId,
    recipe: Recipe,
    *,
    artifacts: Artifacts,
    folder: Path,
    bundle_folder: Path | None = None,
    threads: int | None = None,
) -> Reproduced:
    """Run the training again from the blobs that its record names. threads: other than recorded, on purpose.

    recipe: the function that the record names, from the record's bundle, which lies unpacked in `bundle_folder`.
    """
    manifest, record = artifacts.manifest(version), recorded(artifacts, version)
    spec = msgspec.json.decode(artifacts.blobs.get(record.declaration), type=ServiceSpec)
    frame = read_parquet(artifacts.blobs.get(record.training))
    # What the recipe was given, of which its model may take a part only.
    data = training_set(frame, pin_vector(frame, spec.vector, spec.categories), spec.output.names)
    run = Run(seed=record.seed, threads=threads or record.threads, parameters=record.parameters, folder=folder)
    made = make(record.recipe, recipe, data, run, bundle_folder)
    now = msgspec.structs.replace(
        record,
        threads=run.threads,
        environment=environment_of(made.format),
        interpreter=platform.python_version(),
        platform=machine(),
    )
    golden = msgspec.json.decode(artifacts.blobs.get(manifest.golden or Digest("")), type=Golden)
    again = msgspec.structs.replace(manifest, format=made.format, model=made.digest, environment=now.environment)
    model = runtime.load(again, made.path, bundle_folder)
    scores = model.score([request.vector for request in golden.requests])
    return compare(
        version,
        model=(manifest.model, made.digest),
        scores=(_recorded([request.score for request in golden.requests], scores), scores),
        records=(record, now),
    )


def differences(record: TrainingRecord, now: TrainingRecord) -> tuple[str, ...]:
    """What the second run was given that the first was not, in words.

    >>> from evertrain.core.model import DatasetRef
    >>> first = TrainingRecord(service="s", cycle="s/c1", declaration="d", bundle=None, recipe="default", seed=0,
    ...     threads=1, parameters={}, dataset=DatasetRef(digest="d", tables={}, cut=0, rows=1), training="t",
    ...     features="f", environment={"lightgbm": "4.7.0"}, interpreter="3.11.2", platform="linux-x86_64")
    >>> import msgspec
    >>> differences(first, msgspec.structs.replace(first, threads=2, environment={"lightgbm": "4.6.0"}))
    ('threads: 1 on record, 2 now', 'package lightgbm: 4.7.0 on record, 4.6.0 now')
    """
    causes = [
        f"{name}: {getattr(record, name)} on record, {getattr(now, name)} now"
        for name in ("recipe", "seed", "threads", "interpreter", "platform", "bundle", "training")
        if getattr(record, name) != getattr(now, name)
    ]
    causes += _of_mapping("parameter", record.parameters, now.parameters)
    causes += _of_mapping("package", record.environment, now.environment)
    return tuple(causes)


def compare(
    version: VersionId,
    *,
    model: tuple[Digest, Digest],
    scores: tuple[NDArray[np.float64], NDArray[np.float64]],
    records: tuple[TrainingRecord, TrainingRecord],
) -> Reproduced:
    """Judge a second training. Each pair holds what is on record first, what came now second.

    scores: of the golden requests.
    """
    causes = differences(*records)
    if model[0] == model[1]:
        return Reproduced(version=version, sameness="bitwise", causes=causes, largest_difference=0.0)
    recorded, now = scores
    largest = float(np.abs(recorded - now).max(initial=0.0))
    return Reproduced(
        version=version,
        sameness="prediction" if np.array_equal(recorded, now) else "different",
        causes=causes or (UNEXPLAINED,),
        largest_difference=largest,
    )


def _recorded(scores: Sequence[RowScore | None], now: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores as an array of the shape of those that came now; zeros where there are none on record."""
    if any(score is None for score in scores):
        return np.zeros_like(now)
    return np.array(scores, dtype=np.float64)


def _of_mapping(what: str, record: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [
        f"{what} {name}: {record.get(name, 'absent')} on record, {now.get(name, 'absent')} now"
        for name in sorted({*record, *now})
        if record.get(name) != now.get(name)
    ]
