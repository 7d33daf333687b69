"""The recipes of a table that names none: they learn, take what is missing, and give the same bytes again."""

from pathlib import Path

import numpy as np
import pytest

from evertrain import runtime
from evertrain.config.training import Run, TrainingSet
from evertrain.core.identity import Digest, ServiceName, digest_of_bytes
from evertrain.core.model import Manifest, Output
from evertrain.core.schema import Input, Schema
from evertrain.model import boosting
from evertrain.model.trainer import Recipe, make

RECIPES = [boosting.histograms, boosting.trees]
FEW = {"max_iter": 40, "rounds": 40}
VALUE = Output(kind="value", low=None, high=None)


def rows(*, value: bool = False, plans: int = 4) -> TrainingSet:
    draws = np.random.default_rng(11)
    plan = draws.integers(0, plans, 1_000).astype(float)
    amount = draws.normal(size=1_000)
    odds = 2.0 * (plan % 4 == 1) + amount
    label = odds + draws.normal(size=1_000) * 0.1 if value else (odds > 0.5).astype(float)
    amount[::7], plan[::11] = np.nan, np.nan
    texts = tuple(f"plan {number:04d}" for number in range(plans))
    inputs = (Input(name="plan of mine", categories=texts), Input(name='a "b": c'))
    return TrainingSet(X=np.column_stack([plan, amount]), y=label, at=np.arange(1_000), inputs=inputs)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("value", [False, True])
def test_a_model_is_made_that_serves_and_is_the_same_again(recipe: Recipe, value: bool, tmp_path: Path) -> None:
    data = rows(value=value)
    digests = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        made = make("default", recipe, data, Run(folder=tmp_path / name, parameters=FEW))
        digests.append(made.digest)
    assert digests[0] == digests[1] == digest_of_bytes(made.path.read_bytes())
    manifest = Manifest(
        service=ServiceName("s"),
        format=made.format,
        model=made.digest,
        bundle=None,
        features=Digest(""),
        inputs=Schema(()),
        vector=data.inputs,
        output=VALUE if value else Output(),
    )
    model = runtime.load(manifest, made.path, None)
    scores = model.predict(data.X)
    assert np.corrcoef(scores, data.y)[0, 1] > 0.7
    seen, missing, unseen = model.score([("plan 0001", -0.5), (None, -0.5), ("never seen", -0.5)])
    assert missing == unseen != seen


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_category_of_more_values_than_a_histogram_has_is_taken(recipe: Recipe, tmp_path: Path) -> None:
    made = make("default", recipe, rows(plans=900), Run(folder=tmp_path, parameters=FEW))
    assert made.path.stat().st_size > 0


@pytest.mark.parametrize("recipe", RECIPES)
def test_classes_get_a_probability_each_also_one_that_never_came(recipe: Recipe, tmp_path: Path) -> None:
    two = rows()
    names = ("air", "rail", "road")
    data = TrainingSet(X=two.X, y=two.y * 2.0, at=two.at, inputs=two.inputs, classes=names)
    made = make("default", recipe, data, Run(folder=tmp_path, parameters=FEW))
    manifest = Manifest(
        service=ServiceName("s"),
        format=made.format,
        model=made.digest,
        bundle=Digest("b"),
        features=Digest(""),
        inputs=Schema(()),
        vector=data.inputs,
        output=Output.of_classes(names),
    )
    scores = runtime.load(manifest, made.path, tmp_path).predict(data.X)
    assert scores.shape == (1_000, 3)
    assert np.allclose(scores.sum(axis=1), 1.0)
    assert scores[:, 1].max() < 0.01
    assert (scores.argmax(axis=1) == data.y).mean() > 0.9
