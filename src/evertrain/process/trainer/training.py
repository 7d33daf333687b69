"""A trainer does the stages that make a version.

    python -m evertrain.process.trainer.training --task FOLDER --dir DIR

It runs the user's recipe and feature code, so it runs alone, within limits that its executor set before it started,
and it has no signing key.
"""

import sys
from functools import singledispatch
from pathlib import Path

import msgspec

from evertrain.config.bundle import closure, read_folder
from evertrain.config.declaration import ServiceSpec
from evertrain.config.function import declared_estimator
from evertrain.config.namespace import entry_of, import_entry, module_of
from evertrain.config.wording import suggestion
from evertrain.core.identity import Digest, digest_of
from evertrain.core.model import DatasetRef
from evertrain.core.rehearsal import Rehearsed
from evertrain.core.score import constant_of
from evertrain.core.stage import Assemble, Assembled, Rehearse, Reproduce, Reproduced, StageTask, Train, Trained
from evertrain.core.time import Span
from evertrain.errors import NotFoundError, UserError
from evertrain.model.assemble import parquet, split
from evertrain.model.lean import import_lightgbm_alone, uses_lightgbm_alone
from evertrain.model.recipe import Fitting
from evertrain.model.script import Script
from evertrain.model.trainer import Recipe
from evertrain.model.trainer import train as run_training
from evertrain.process.trainer.assembly import bundle_folder, features_digest, mature_rows, resolver
from evertrain.process.trainer.stage import run_stage
from evertrain.store.artifact import Artifacts
from evertrain.store.state import State
from evertrain.store.table import digest

__all__ = ["assemble", "do", "rehearse", "reproduce", "train"]


def do(task: StageTask, state: State, folder: Path) -> msgspec.Struct:
    """Do one of a trainer's stages."""
    return _do(task, state, folder)


@singledispatch
def _do(task: object, state: State, folder: Path) -> msgspec.Struct:  # noqa: ARG001
    raise UserError(
        f"A trainer does not do {type(task).__name__}.", "Run it with evertrain.process.trainer.evaluation."
    )


@_do.register
def assemble(task: Assemble, state: State, folder: Path) -> Assembled:  # noqa: ARG001
    """Training and holdout rows as blobs; the dataset's digest is that of their content, however they are written."""
    blobs = Artifacts.at(state.artifacts).blobs
    spec = msgspec.json.decode(blobs.get(task.declaration), type=ServiceSpec)
    code = bundle_folder(state, blobs, task.bundle)
    rows = mature_rows(state, spec, code, task.bundle, tables=task.tables, cut=task.cut)
    parts = split(rows, cut=task.cut, holdout=Span(spec.gate.holdout))
    content = digest_of([digest(part, ["at", "key"]) for part in (parts.training, parts.holdout)])
    return Assembled(
        dataset=DatasetRef(
            digest=content, tables=task.tables, cut=task.cut, rows=parts.training.height + parts.holdout.height
        ),
        declaration=task.declaration,
        bundle=task.bundle,
        features=features_digest(spec, code),
        training=blobs.put(parquet(parts.training)),
        holdout=blobs.put(parquet(parts.holdout)),
        training_rows=parts.training.height,
        holdout_rows=parts.holdout.height,
        boundary=parts.boundary,
        end=parts.end,
        missing_labels=parts.missing,
        base_rate=constant_of(parts.training["label"].to_numpy(), spec.output),
    )


@_do.register
def train(task: Train, state: State, folder: Path) -> Trained:
    """Run the recipe that the declaration names, from the bundle."""
    artifacts = Artifacts.at(state.artifacts)
    blobs = artifacts.blobs
    spec = msgspec.json.decode(blobs.get(task.assembled.declaration), type=ServiceSpec)
    code = bundle_folder(state, blobs, task.assembled.bundle)
    function = _function(spec, task.recipe, code, task.assembled.bundle)
    return run_training(task, spec, function, artifacts=artifacts, bundle_folder=code, folder=folder)


@_do.register
def rehearse(task: Rehearse, state: State, folder: Path) -> Rehearsed:
    """See how a recipe fares on training rows, beside others."""
    from evertrain.model.rehearsal import rehearse as run

    blobs = Artifacts.at(state.artifacts).blobs
    spec = msgspec.json.decode(blobs.get(task.assembled.declaration), type=ServiceSpec)
    code = bundle_folder(state, blobs, task.assembled.bundle)
    function = _function(spec, task.recipe, code, task.assembled.bundle)
    return run(task, spec, function, blobs=blobs, bundle_folder=code, folder=folder)


@_do.register
def reproduce(task: Reproduce, state: State, folder: Path) -> Reproduced:
    """Run the training of a version again, from its record and its bundle."""
    from evertrain.model.reproduce import recorded
    from evertrain.model.reproduce import reproduce as run

    artifacts = Artifacts.at(state.artifacts)
    record = recorded(artifacts, task.version)
    spec = msgspec.json.decode(artifacts.blobs.get(record.declaration), type=ServiceSpec)
    code = bundle_folder(state, artifacts.blobs, record.bundle)
    function = _function(spec, record.recipe, code, record.bundle)
    return run(task.version, function, artifacts=artifacts, folder=folder, bundle_folder=code, threads=task.threads)


def _function(spec: ServiceSpec, name: str, code: Path | None, bundle: Digest | None) -> Recipe:
    recipe = spec.recipes.get(name)
    if recipe is None:
        raise NotFoundError(f"Service {spec.name!r} has no recipe {name!r}.", suggestion(name, spec.recipes))
    if recipe.script is not None:
        return Script(recipe.script, folder=_checked(code, bundle), label=_label(spec), memory_mb=recipe.memory_mb)
    if recipe.estimator is not None:
        return Fitting(_estimator(spec, name, code, bundle), spec.output)
    if recipe.train is None:
        raise NotFoundError(f"Recipe {name!r} of service {spec.name!r} names nothing to run.", "Declare it anew.")
    if code is not None:
        files = closure(code, module_of(recipe.train.module))
        if uses_lightgbm_alone((code / file).read_bytes() for file in files):
            import_lightgbm_alone()
    return resolver(code, bundle)(recipe.train)


def _checked(code: Path | None, bundle: Digest | None) -> Path:
    """The folder of the unpacked bundle, with every file as it was frozen."""
    if code is None or bundle is None:
        raise NotFoundError("A script stands in a declaration that has no bundle.", "Declare it with its code.")
    read_folder(code, bundle)
    return code


def _label(spec: ServiceSpec) -> str:
    return "label" if spec.label is None else spec.label.value


def _estimator(spec: ServiceSpec, name: str, code: Path | None, bundle: Digest | None) -> object:
    """The estimator of a recipe: the declaration is imported from its bundle, and holds it."""
    if code is None or bundle is None:
        raise NotFoundError(f"Recipe {name!r} stands in a declaration that has no bundle.", "Declare it with its code.")
    module = import_entry(code, bundle, entry_of(code))
    services = [one for one in vars(module).values() if isinstance(one, ServiceSpec)]
    return declared_estimator(services, spec.name, name)


if __name__ == "__main__":
    sys.exit(run_stage(do, sys.argv[1:]))
