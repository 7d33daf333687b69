"""Stages of a trainer, in real processes: the same rows give the same version, and no fault goes further."""

import threading
import time
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from evertrain.core.stage import Assembled, Reproduce, Reproduced, Train, Trained
from evertrain.model.executor import Crashed, Done, LocalExecutor, Running, Task
from evertrain.process.trainer.assembly import features_digest
from evertrain.testing.shop import DECLARATION, Shop

Answer = TypeVar("Answer", Assembled, Trained, Reproduced)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def run(shop: Shop, name: str, task: msgspec.Struct) -> Done | Crashed:
    executor = LocalExecutor(shop.state)
    work = msgspec.to_builtins(task)
    # At its own nice 19 it would get nothing beside the other tests.
    executor.submit(Task(id=name, module="evertrain.process.trainer.training", arguments=work, nice=0))
    tick, end = threading.Event(), time.monotonic() + 400
    while isinstance(outcome := executor.poll(name), Running):
        assert not tick.wait(0.02)
        assert time.monotonic() < end, f"{name} does not end"
    return outcome


def done(shop: Shop, name: str, task: msgspec.Struct, kind: type[Answer]) -> Answer:
    outcome = run(shop, name, task)
    assert isinstance(outcome, Done), outcome
    return msgspec.json.decode(outcome.result, type=kind)


def training(shop: Shop, assembled: Assembled, recipe: str = "default") -> Train:
    return Train(service=shop.spec.name, cycle=shop.assembling().cycle, assembled=assembled, recipe=recipe)


def test_order_and_files_of_arrival_do_not_change_the_version(shop: Shop, tmp_path: Path) -> None:
    other = Shop(tmp_path, shuffled=4, files=3)
    first, second = (done(one, "assemble", one.assembling(), Assembled) for one in (shop, other))
    assert first.dataset.digest == second.dataset.digest
    assert first.training == second.training
    assert isinstance(first.base_rate, float)
    assert 0.2 < first.base_rate < 0.6
    versions = [done(one, "train", training(one, work), Trained) for one, work in ((shop, first), (other, second))]
    manifests = [one.artifacts.manifest(made.version) for one, made in zip((shop, other), versions, strict=True)]
    assert manifests[0].model == manifests[1].model
    assert manifests[0].fingerprint == manifests[1].fingerprint
    assert [item.name for item in manifests[0].vector] == ["shop", "amount", "clock", "recent"]


def test_a_version_is_trained_again_from_its_record_bit_for_bit(shop: Shop) -> None:
    work = done(shop, "assemble-first", shop.assembling(), Assembled)
    made = done(shop, "train-first", training(shop, work), Trained)
    again = done(shop, "train-again", Reproduce(service=shop.spec.name, version=made.version), Reproduced)
    assert (again.sameness, again.causes) == ("bitwise", ())


def test_a_stage_that_is_run_again_gives_the_same_answer(shop: Shop) -> None:
    assert done(shop, "again1", shop.assembling(), Assembled) == done(shop, "again2", shop.assembling(), Assembled)


def test_a_recipe_that_dies_of_a_signal_is_a_named_crash(shop: Shop) -> None:
    work = done(shop, "assemble-crash", shop.assembling(), Assembled)
    outcome = run(shop, "crashing", training(shop, work, "crashing"))
    assert isinstance(outcome, Crashed)
    assert "SIGSEGV" in outcome.cause


def test_a_recipe_that_does_not_exist_is_named(shop: Shop) -> None:
    work = done(shop, "assemble-none", shop.assembling(), Assembled)
    outcome = run(shop, "missing", training(shop, work, "missing"))
    assert isinstance(outcome, Crashed)
    assert "has no recipe 'missing'. Known are: crashing, default" in outcome.cause


def test_a_source_without_rows_is_named(shop: Shop) -> None:
    task = shop.assembling()
    without = msgspec.structs.replace(task, tables={"source.orders": task.tables["source.orders"]})
    outcome = run(shop, "assemble-without", without)
    assert isinstance(outcome, Crashed)
    assert "Source 'deliveries' has no rows in the snapshot" in outcome.cause


def test_a_changed_feature_function_changes_the_features_digest_and_a_changed_recipe_in_another_file_would_not(
    tmp_path: Path,
) -> None:
    source = tmp_path / "one"
    source.mkdir()
    (source / "service.py").write_text(DECLARATION)
    spec = Shop(tmp_path / "shop").spec
    before = features_digest(spec, source)
    (source / "recipe.py").write_text("def train(data, run): ...")
    assert features_digest(spec, source) == before
    (source / "service.py").write_text(DECLARATION.replace("% 24", "% 12"))
    assert features_digest(spec, source) != before


LINEAR = """
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from clipping import Clipped


def squared(values):
    return values * values


text = OneHotEncoder(handle_unknown="ignore")
linear = make_pipeline(
    ColumnTransformer(
        [
            ("text", text, ["shop"]),
            ("numbers", make_pipeline(Clipped(highest=200.0), StandardScaler()), ["amount", "clock"]),
            ("squares", FunctionTransformer(squared), ["clock"]),
        ]
    ),
    LogisticRegression(),
)
no_such_column = make_pipeline(ColumnTransformer([("text", text, ["colour"])]), LogisticRegression())

service = et.Service("""

CLIPPED = """
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin


class Clipped(TransformerMixin, BaseEstimator):
    def __init__(self, highest=1.0):
        self.highest = highest

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.minimum(X, self.highest)
"""

LEARN = """
import sys

import lightgbm
import polars as pl

from settings import ROUNDS

rows = pl.read_parquet(sys.argv[1])
assert rows.columns == ["shop", "amount", "clock", "recent", "late"]
columns = ["recent", "amount"]
data = lightgbm.Dataset(rows.select(columns).to_numpy(), rows["late"].to_numpy(), feature_name=columns)
lightgbm.train({"objective": "binary", "num_threads": 1, "verbose": -1}, data, ROUNDS).save_model(sys.argv[2])
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Assembled]:
    """A shop whose recipes are estimators and scripts, and its assembled rows."""
    text = DECLARATION.replace("\nservice = et.Service(", LINEAR)
    recipes = """
        "default": et.Recipe(linear, memory_mb=2048),
        "mistaken": no_such_column,
        "script": et.script("learn.py"),
        "raising": et.script("broken.py"),
    """
    beside = {
        "learn.py": LEARN,
        "clipping.py": CLIPPED,
        "settings.py": "ROUNDS = 5",
        "broken.py": "import sys\n\nraise KeyError(len(sys.argv))",
    }
    shop = Shop(tmp_path_factory.mktemp("own"), text=text.replace('"default": train,', recipes), beside=beside)
    return shop, done(shop, "assemble", shop.assembling(), Assembled)


def test_an_estimator_with_steps_of_the_declaration_becomes_a_version_and_can_be_trained_again(
    own: tuple[Shop, Assembled],
) -> None:
    shop, work = own
    assert shop.spec.recipes["default"].estimator == "sklearn.pipeline.Pipeline"
    made = done(shop, "train", training(shop, work), Trained)
    manifest = shop.artifacts.manifest(made.version)
    assert (manifest.format, manifest.parameters["estimator"]) == ("sklearn", "Pipeline(LogisticRegression)")
    again = done(shop, "again", Reproduce(service=shop.spec.name, version=made.version), Reproduced)
    assert (again.sameness, again.causes) == ("bitwise", ())


def test_an_estimator_that_fails_shows_no_frame_of_evertrain(own: tuple[Shop, Assembled]) -> None:
    shop, work = own
    outcome = run(shop, "mistaken", training(shop, work, "mistaken"))
    assert isinstance(outcome, Crashed)
    assert "colour" in outcome.cause
    assert "Traceback" in outcome.tail
    assert "evertrain/model" not in outcome.tail
    assert "evertrain/process" not in outcome.tail


def test_a_script_of_the_bundle_becomes_a_version_and_can_be_run_again(own: tuple[Shop, Assembled]) -> None:
    shop, work = own
    made = done(shop, "script", training(shop, work, "script"), Trained)
    manifest = shop.artifacts.manifest(made.version)
    assert (manifest.format, [item.name for item in manifest.vector]) == ("lightgbm", ["recent", "amount"])
    again = done(shop, "script-again", Reproduce(service=shop.spec.name, version=made.version), Reproduced)
    assert (again.sameness, again.causes) == ("bitwise", ())


def test_a_script_that_raises_shows_its_own_frames_and_no_other(own: tuple[Shop, Assembled]) -> None:
    shop, work = own
    outcome = run(shop, "raising", training(shop, work, "raising"))
    assert isinstance(outcome, Crashed)
    assert "Script 'broken.py' failed. It exited with code 1: KeyError: 3" in outcome.cause
    assert 'broken.py", line 3, in <module>' in outcome.tail
    assert outcome.tail.count('File "') == 1
