"""A rehearsal: trained on older rows, scored on newer ones, and nothing of it kept."""

from pathlib import Path
from typing import Any

import pytest

from evertrain.config.training import Run, TrainingSet
from evertrain.core.identity import CycleId
from evertrain.core.rehearsal import Rehearsed
from evertrain.core.stage import Rehearse
from evertrain.errors import ModelError
from evertrain.model.rehearsal import divide, rehearse
from evertrain.store.artifact import Artifacts
from evertrain.testing.orders import SERVICE, assembled_orders, boosted, order_examples, order_service


def rehearsed(folder: Path, recipe: Any, count: int = 6_000) -> Rehearsed:
    artifacts, spec = Artifacts.at(folder / "artifacts"), order_service()
    work = assembled_orders(order_examples(count), spec, artifacts.blobs)
    task = Rehearse(service=SERVICE, cycle=CycleId("late-orders/c1"), assembled=work, recipe="gbm")
    return rehearse(task, spec, recipe, blobs=artifacts.blobs, bundle_folder=None, folder=folder)


def test_older_rows_are_mature_before_the_first_newer_one() -> None:
    frame = order_examples()
    parts = divide(frame)
    assert parts is not None
    assert int(parts.older["mature_at"].max()) <= parts.boundary < int(parts.newer["at"].min())  # type: ignore[arg-type]
    assert 0.15 < parts.newer.height / frame.height < 0.25
    assert divide(frame.head(100)) is None
    assert divide(frame.head(0)) is None


def test_a_recipe_learns_from_older_rows_and_is_scored_on_newer_ones(tmp_path: Path) -> None:
    seen: list[TrainingSet] = []

    def spy(data: TrainingSet, run: Run) -> object:
        seen.append(data)
        return boosted(data, run)

    fared = rehearsed(tmp_path, spy)
    assert fared.boundary is not None
    assert int(seen[0].at.max()) < fared.boundary
    assert len(seen[0]) == fared.training_rows
    assert set(fared.metrics) == {"log_loss", "auc"}
    assert 0.5 < fared.metrics["auc"] < 1.0
    assert not list((tmp_path / "artifacts").glob("manifests/*"))


def test_too_few_rows_are_no_figure_and_no_fault(tmp_path: Path) -> None:
    assert rehearsed(tmp_path, boosted, count=120) == Rehearsed(recipe="gbm")


def test_a_model_that_could_not_serve_is_out(tmp_path: Path) -> None:
    def constant(data: TrainingSet, run: Run) -> Path:
        path = run.path("model.py")
        path.write_text("def predict(rows):\n    return [0.5] * len(rows)\n")
        return path

    with pytest.raises(ModelError, match=r"Recipe 'gbm' made a model that gives the same score"):
        rehearsed(tmp_path, constant)
