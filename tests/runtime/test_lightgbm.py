"""LightGBM through its C interface: the same numbers as its own package, without importing it."""

import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from evertrain.core.schema import Input
from evertrain.errors import ModelError
from evertrain.runtime.lightgbm import LightGBMModel
from evertrain.runtime.protocol import encode

WIDTH = 6
VECTOR = tuple(Input(name=f"x{number}") for number in range(WIDTH))


def _booster(objective: str, **parameters: object) -> lightgbm.Booster:
    random = np.random.default_rng(5)
    rows = random.normal(size=(800, WIDTH))
    rows[random.random(rows.shape) < 0.1] = np.nan
    target = (np.nan_to_num(rows[:, 0]) * np.nan_to_num(rows[:, 1]) > 0).astype(float)
    settings = {"objective": objective, "num_threads": 1, "verbose": -1, "deterministic": True, **parameters}
    return lightgbm.train(settings, lightgbm.Dataset(rows, label=target), num_boost_round=50)


@pytest.mark.parametrize("objective", ["binary", "regression", "poisson", "cross_entropy"])
def test_scores_equal_those_of_the_package_bit_for_bit(tmp_path: Path, objective: str) -> None:
    booster, path = _booster(objective), tmp_path / "model.txt"
    booster.save_model(path)
    model = LightGBMModel(path, VECTOR)
    rows = np.random.default_rng(9).normal(scale=3, size=(500, WIDTH))
    rows[::7, 2] = np.nan
    expected = np.asarray(booster.predict(rows, num_threads=1))
    assert np.array_equal(model.predict(rows), expected)
    assert [float(model.predict(row[None])[0]) for row in rows] == expected.tolist()


def test_classes_are_refused_where_one_score_is_declared(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    data = lightgbm.Dataset(random.normal(size=(300, WIDTH)), label=random.integers(0, 3, 300))
    booster = lightgbm.train({"objective": "multiclass", "num_class": 3, "verbose": -1}, data, num_boost_round=2)
    booster.save_model(tmp_path / "model.txt")
    with pytest.raises(ModelError, match="3 scores a row, and its service answers with one"):
        LightGBMModel(tmp_path / "model.txt", VECTOR)


def test_another_number_of_inputs_than_the_manifest_names_is_refused(tmp_path: Path) -> None:
    _booster("binary").save_model(tmp_path / "model.txt")
    with pytest.raises(ModelError, match="takes 6 inputs, but its manifest names 5"):
        LightGBMModel(tmp_path / "model.txt", VECTOR[:5])


@pytest.mark.parametrize(
    "content", [b"tree\n", b"tree\nversion=v4\n", b"tree\nnot a model\n\0", b"tree\n" + b"x" * 999]
)
def test_a_text_that_is_no_model_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.txt").write_bytes(content)
    with pytest.raises(ModelError):
        LightGBMModel(tmp_path / "model.txt", VECTOR)


def test_half_a_model_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    _booster("binary").save_model(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelError):
        LightGBMModel(path, VECTOR)


def test_text_where_no_categories_are_pinned_is_an_error() -> None:
    with pytest.raises(ModelError, match="no number"):
        encode(VECTOR, ["12", 0, 0, 0, 0, 0])


SERVE = """
import sys
from pathlib import Path
from evertrain.core.schema import Input
from evertrain.runtime.lightgbm import LightGBMModel
model = LightGBMModel(Path(sys.argv[1]), tuple(Input(name=f"x{n}") for n in range(6)))
model.score([(1.0, 2, None, True, 0.5, -1)])
print(sorted({"lightgbm", "scipy", "pandas", "sklearn", "polars"} & set(sys.modules)))
"""


def test_serving_imports_no_heavy_package(tmp_path: Path) -> None:
    _booster("binary").save_model(tmp_path / "model.txt")
    done = subprocess.run(
        [sys.executable, "-c", SERVE, tmp_path / "model.txt"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
