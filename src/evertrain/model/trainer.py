"""Running a recipe on assembled rows, checking what it returns, and packaging it as a version.

Everything here runs in the trainer's own process, which has no signing key. The version that comes out is a pure
function of the task: rows in canonical order, pinned categories, recorded seed and threads, no clock.
"""

import platform
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from evertrain import runtime
from evertrain.config.declaration import ServiceSpec
from evertrain.config.training import Run, TrainingSet
from evertrain.core.identity import Digest, canonical, digest_of_bytes
from evertrain.core.model import Format, Manifest, Output
from evertrain.core.schema import Input
from evertrain.core.stage import Rehearse, Train, Trained, TrainingRecord
from evertrain.errors import ModelError, say_raised
from evertrain.model.assemble import FEATURE, read_parquet
from evertrain.model.golden import choose_golden
from evertrain.model.hint import hint_for
from evertrain.model.matrix import encode_frame, pin_vector, values_of
from evertrain.model.package import environment_of, native
from evertrain.model.recipe import Fitting
from evertrain.model.script import Script
from evertrain.store.artifact import Artifacts

__all__ = ["Made", "Packed", "Recipe", "check_scores", "machine", "make", "pack", "record_of", "train", "training_set"]

Recipe = Callable[[TrainingSet, Run], object]

_SAMPLE = 4_000
_OWN = str(Path(__file__).parents[1])
_LIBRARY = re.compile(r"/site-packages/|/dist-packages/|/lib/python3\.\d+/|<frozen ")


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a recipe made, as a file. parameters: what the recipe recorded."""

    path: Path
    format: Format
    digest: Digest
    parameters: dict[str, str | int | float | bool]


class Packed(NamedTuple):
    """A model that a recipe made, loaded as it would be served; its manifest is not whole yet."""

    made: Made
    manifest: Manifest
    model: runtime.Model


def train(
    task: Train,
    spec: ServiceSpec,
    recipe: Recipe,
    *,
    artifacts: Artifacts,
    bundle_folder: Path | None,
    folder: Path,
) -> Trained:
    """Train, check, package. Raises ModelError naming the recipe when it fails or its model cannot be served."""
    blobs = artifacts.blobs
    frame = read_parquet(blobs.get(task.assembled.training))
    packed = pack(task, spec, recipe, frame, bundle_folder=bundle_folder, folder=folder)
    record = blobs.put(canonical(record_of(task, packed.made.format)))
    golden = choose_golden(frame, spec.inputs, packed.manifest.vector, packed.model.score)
    manifest = msgspec.structs.replace(packed.manifest, record=record, golden=blobs.put(canonical(golden)))
    blobs.put_file(packed.made.path)
    artifacts.put_manifest(manifest)
    return Trained(version=manifest.version, fingerprint=manifest.fingerprint, record=record, recipe=task.recipe)


def pack(
    task: Train | Rehearse,
    spec: ServiceSpec,
    recipe: Recipe,
    frame: pl.DataFrame,
    *,
    bundle_folder: Path | None,
    folder: Path,
) -> Packed:
    """Run the recipe on the rows of `frame` and load what it made as it would be served, with its scores checked."""
    vector = pin_vector(frame, spec.vector, spec.categories)
    run = Run(seed=task.seed, threads=task.threads, parameters=task.parameters, folder=folder)
    made = make(task.recipe, recipe, training_set(frame, vector, spec.output.names), run, bundle_folder)
    if isinstance(recipe, Script):
        vector = recipe.vector(made.path, made.format, vector)
    manifest = Manifest(
        service=task.service,
        format=made.format,
        model=made.digest,
        bundle=task.assembled.bundle,
        features=task.assembled.features,
        inputs=spec.inputs,
        vector=vector,
        output=spec.output,
        environment=environment_of(made.format),
        lock=spec.lock,
        dataset=task.assembled.dataset,
        parameters=made.parameters,
        recipe=task.recipe,
        origin=task.cycle,
        declaration=task.assembled.declaration,
    )
    model = runtime.load(manifest, made.path, bundle_folder)
    sample = frame.gather_every(max(1, frame.height // _SAMPLE))
    try:
        scores = model.score(values_of(sample, [FEATURE + item.name for item in vector]))
    except ModelError as error:
        if isinstance(recipe, Script):
            raise recipe.blamed(error) from error
        raise
    check_scores(scores, spec.output, f"Recipe {task.recipe!r} made a model that")
    if isinstance(recipe, Fitting):
        recipe.compare(training_set(sample, vector, spec.output.names), scores)
    return Packed(made, manifest, model)


def training_set(frame: pl.DataFrame, vector: Sequence[Input], classes: Sequence[str] = ()) -> TrainingSet:
    """Assembled rows as a recipe gets them."""
    return TrainingSet(
        X=encode_frame(frame, vector),
        y=frame["label"].to_numpy(),
        at=frame["at"].to_numpy(),
        inputs=vector,
        classes=classes,
    )


def make(name: str, recipe: Recipe, data: TrainingSet, run: Run, bundle_folder: Path | None = None) -> Made:
    """Run the recipe of that name, of this bundle, and keep its model as a file in the run's folder."""
    try:
        model = recipe(data, run)
    except ModelError:
        raise
    except Exception as error:  # the user's code: whatever it raises is its answer
        said = say_raised(error)
        kind, *words = said.partition(": ")
        raise ModelError(
            f"Recipe {name!r} raised {kind} at {_place(error)}{''.join(words)}.",
            hint_for(said, data.categories) or "Mend the recipe.",
        ) from error
    content = native(model, bundle_folder)
    if isinstance(content, bytes):
        path = run.path("model")
        path.write_bytes(content)
    else:
        path = content
        content = path.read_bytes()
    return Made(
        path=path, format=runtime.recognise(path), digest=digest_of_bytes(content), parameters=dict(run.recorded)
    )


def _place(error: Exception) -> str:
    """The innermost line of the user's that it went through; of a library's, when none of theirs was run."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [one for one in frames if not one.filename.startswith(_OWN) and not _LIBRARY.search(one.filename)]
    last = (theirs or frames)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def check_scores(scores: NDArray[np.float64], output: Output, whose: str) -> None:
    """Refuse scores that are not finite, out of the declared range, or all the same.

    >>> check_scores(np.array([0.1, 0.7]), Output(), "The model")
    """
    bad = int(np.count_nonzero(~np.isfinite(scores)))
    if bad:
        raise ModelError(f"{whose} gives {bad} of {len(scores)} scores that are not finite.", "Mend the recipe.")
    low, high = float(scores.min()), float(scores.max())
    if (output.low is not None and low < output.low) or (output.high is not None and high > output.high):
        raise ModelError(
            f"{whose} gives scores from {low:g} to {high:g}, outside of {output.low} to {output.high}.",
            "Return what the service's output declares, or declare the range.",
        )
    if len(scores) > 1 and bool((scores == scores[0]).all()):
        same = f"the same score, {low:g}," if scores.ndim == 1 else "the same probabilities"
        raise ModelError(f"{whose} gives {same} to all of {len(scores)} rows.", "Mend the recipe.")


def record_of(task: Train, kind: Format) -> TrainingRecord:
    """What the training is run with, here and now."""
    assembled = task.assembled
    return TrainingRecord(
        service=task.service,
        cycle=task.cycle,
        declaration=assembled.declaration,
        bundle=assembled.bundle,
        recipe=task.recipe,
        seed=task.seed,
        threads=task.threads,
        parameters=task.parameters,
        dataset=assembled.dataset,
        training=assembled.training,
        features=assembled.features,
        environment=environment_of(kind),
        interpreter=platform.python_version(),
        platform=machine(),
        rehearsals=task.rehearsals,
        chosen=task.chosen,
    )


def machine() -> str:
    """The kind of machine, as a record names it: libraries may choose other instructions on another one."""
    return f"{sys.platform}-{platform.machine()}"
