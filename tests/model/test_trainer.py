"""A recipe becomes a version: checked, packaged, and the same from the same rows."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from evertrain import runtime
from evertrain.config.declaration import ServiceSpec
from evertrain.config.training import Run, TrainingSet
from evertrain.core.golden import Golden
from evertrain.core.schema import Schema
from evertrain.core.stage import TrainingRecord
from evertrain.errors import ModelError
from evertrain.model.trainer import Recipe
from evertrain.testing.orders import SHOPS, boosted, order_service, train_orders


def logistic(data: TrainingSet, run: Run) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(random_state=run.seed).fit(data.X, data.y)


def predicts(body: str) -> Recipe:
    def recipe(data: TrainingSet, run: Run) -> Path:
        path = run.path("model.py")
        path.write_text(f"def predict(rows):\n    return {body}\n")
        return path

    return recipe


def histogram(data: TrainingSet, run: Run) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=20, random_state=run.seed).fit(data.X, data.y)


def numbers_only() -> ServiceSpec:
    columns = order_service().inputs.columns
    return order_service(inputs=Schema(columns[1:]), categories=())


def test_a_version_names_everything_that_it_is(tmp_path: Path) -> None:
    artifacts, done = train_orders(tmp_path, boosted, parameters={"learning_rate": 0.2})
    manifest = artifacts.manifest(done.version)
    assert manifest.format == "lightgbm"
    assert [item.name for item in manifest.vector] == ["shop", "amount", "hour"]
    assert manifest.vector[0].categories == SHOPS
    assert manifest.parameters == {"learning_rate": 0.2}
    assert manifest.dataset is not None
    assert set(manifest.environment) == {"lightgbm", "numpy"}
    assert manifest.fingerprint == done.fingerprint
    assert manifest.record is not None
    record = msgspec.json.decode(artifacts.blobs.get(manifest.record), type=TrainingRecord)
    assert (record.seed, record.threads, record.parameters) == (0, 1, {"learning_rate": 0.2})


def test_a_loaded_copy_gives_the_golden_scores_again(tmp_path: Path) -> None:
    artifacts, done = train_orders(tmp_path, boosted)
    manifest = artifacts.manifest(done.version)
    assert manifest.golden is not None
    golden = msgspec.json.decode(artifacts.blobs.get(manifest.golden), type=Golden)
    assert len(golden.requests) == 24
    copy = runtime.load(manifest, artifacts.blobs.path(manifest.model))
    scores = copy.score([request.vector for request in golden.requests])
    assert scores.tolist() == [request.score for request in golden.requests]
    assert golden.null_score == golden.unseen_score


def test_another_order_of_arrival_gives_the_same_version(tmp_path: Path) -> None:
    versions = {train_orders(tmp_path, boosted, shuffled=seed)[1].version for seed in (None, 1, 2)}
    assert len(versions) == 1


def test_another_seed_gives_another_version(tmp_path: Path) -> None:
    assert train_orders(tmp_path, boosted, seed=1)[1].version != train_orders(tmp_path, boosted, seed=2)[1].version


@pytest.mark.parametrize(
    ("recipe", "kind"), [(logistic, "sklearn"), (predicts("[r['amount'] / 1e3 for r in rows]"), "callable")]
)
def test_other_kinds_of_model_are_packaged_too(tmp_path: Path, recipe: Recipe, kind: str) -> None:
    artifacts, done = train_orders(tmp_path, recipe, spec=numbers_only())
    assert artifacts.manifest(done.version).format == kind


def test_an_estimator_with_categories_is_the_same_version_each_time(tmp_path: Path) -> None:
    versions = {train_orders(tmp_path, histogram, shuffled=seed)[1].version for seed in (None, 3)}
    assert len(versions) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("[float('nan')] * len(rows)", "scores that are not finite"),
        ("[0.25] * len(rows)", "the same score, 0.25, to all of"),
        ("[r['amount'] for r in rows]", "outside of 0.0 to 1.0"),
        ("1 / 0", "ZeroDivisionError"),
        ("[0.5]", "scores for"),
    ],
)
def test_a_model_that_must_not_serve_is_no_version(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        train_orders(tmp_path, predicts(body))


def test_a_recipe_that_raises_is_named_with_its_line(tmp_path: Path) -> None:
    def broken(data: TrainingSet, run: Run) -> object:
        raise ValueError("no such column: colour")

    with pytest.raises(ModelError, match=r"Recipe 'default' raised ValueError at test_trainer.py:\d+: no such column"):
        train_orders(tmp_path, broken)


def test_a_model_that_cannot_answer_an_unseen_category_is_no_version(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"(?s)category that is missing or was never seen.*Impute"):
        train_orders(tmp_path, logistic)


def test_rows_reach_the_recipe_in_canonical_order(tmp_path: Path) -> None:
    seen = []

    def spy(data: TrainingSet, run: Run) -> object:
        seen.append(data.at)
        return logistic(data, run)

    train_orders(tmp_path, spy, spec=numbers_only(), shuffled=9)
    assert (np.diff(seen[0]) >= 0).all()
