"""Running a recipe on the older part of the training rows and scoring the newer part, as it would be served."""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from evertrain.config.declaration import ServiceSpec
from evertrain.core.metric import metric
from evertrain.core.policy import MetricName
from evertrain.core.rehearsal import Rehearsed
from evertrain.core.stage import Rehearse
from evertrain.core.time import Instant
from evertrain.model.assemble import FEATURE, read_parquet
from evertrain.model.contest import column_of
from evertrain.model.matrix import values_of
from evertrain.model.trainer import Recipe, check_scores, pack
from evertrain.store.blob import Blobs

__all__ = ["Parts", "divide", "rehearse"]

_NEWER: Final = 0.2
_FEWEST: Final = 50
_TOLD: Final[dict[str, tuple[MetricName, ...]]] = {
    "probability": ("log_loss", "auc"),
    "value": ("rmse", "mae"),
    "classes": ("log_loss", "accuracy"),
}


class Parts(NamedTuple):
    """Training rows, divided at an instant."""

    older: pl.DataFrame
    newer: pl.DataFrame
    boundary: Instant


def divide(training: pl.DataFrame) -> Parts | None:
    """The newest fifth of the rows, and the rows that were mature before the first of them; None for too few rows.

    training: in order of prediction time. Rows of one instant stay together.
    """
    last = int(training.height * (1.0 - _NEWER)) - 1
    if last < 0:
        return None
    boundary = Instant(int(training["at"][last]))
    older, newer = training.filter(pl.col("mature_at") <= boundary), training.filter(pl.col("at") > boundary)
    return None if min(older.height, newer.height) < _FEWEST else Parts(older, newer, boundary)


def rehearse(
    task: Rehearse, spec: ServiceSpec, recipe: Recipe, *, blobs: Blobs, bundle_folder: Path | None, folder: Path
) -> Rehearsed:
    """Train, load, score. Nothing of it is kept. Raises ModelError as a training does."""
    parts = divide(read_parquet(blobs.get(task.assembled.training)))
    if parts is None:
        return Rehearsed(recipe=task.recipe)
    packed = pack(task, spec, recipe, parts.older, bundle_folder=bundle_folder, folder=folder)
    scores = packed.model.score(values_of(parts.newer, [FEATURE + item.name for item in packed.manifest.vector]))
    check_scores(scores, spec.output, f"Recipe {task.recipe!r} made a model that")
    label = parts.newer["label"].to_numpy()
    weight = None
    if spec.gate.weight is not None:
        weight = column_of(parts.newer, spec.gate.weight, "Weight").cast(pl.Float64).fill_null(float("nan")).to_numpy()
    figures = {name: metric(name, label, scores, weight) for name in (spec.gate.primary, *_TOLD[spec.output.kind])}
    return Rehearsed(
        recipe=task.recipe,
        training_rows=parts.older.height,
        validation_rows=parts.newer.height,
        boundary=parts.boundary,
        metrics={name: figure for name, figure in figures.items() if np.isfinite(figure)},
    )
