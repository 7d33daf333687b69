"""Which files are models, and which are refused before anything in them is run."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from evertrain.core.identity import Digest, ServiceName
from evertrain.core.model import Manifest, Output
from evertrain.core.schema import Input, Schema
from evertrain.errors import ModelError, TrustError, UserError
from evertrain.runtime import load, recognise
from evertrain.runtime.artifact import describe
from evertrain.runtime.callable import CallableModel
from evertrain.runtime.description import Description
from evertrain.runtime.pickle_file import look_into
from evertrain.runtime.sklearn import SklearnModel

VECTOR = (Input(name="x"),)


class _Planted:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_told_apart_and_never_run(tmp_path: Path, protocol: int) -> None:
    path, mark = tmp_path / "model.pkl", tmp_path / "planted"
    path.write_bytes(pickle.dumps(_Planted(mark), protocol=protocol))
    assert recognise(path) == "pickle"
    assert describe(path, "pickle") == Description()
    contents = look_into(path.read_bytes())
    assert contents.whole
    assert [name for name in contents.dangerous if name.startswith("pathlib.")]
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.txt", b""),
        ("model.txt", b"hello"),
        ("model.zip", b"PK\x03\x04broken"),
        ("model.py", b"def predict(rows"),
        ("model.py", b"def score(rows): return []"),
    ],
)
def test_what_is_no_model_is_refused_with_its_name(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=name):
        recognise(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        recognise(tmp_path / "model.txt")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('on import')", "on import"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        ("predict = 3", "no function predict"),
    ],
)
def test_code_that_cannot_be_loaded_is_charged_to_the_model(tmp_path: Path, source: str, reason: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(source)
    with pytest.raises(ModelError, match=reason):
        CallableModel(path, VECTOR)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise KeyError('x')", "KeyError"),
        ("raise SystemExit(1)", "SystemExit"),
        ("return 3", "no sequence of numbers"),
        ("return ['a']", "no sequence of numbers"),
        ("return [1.0, 2.0]", "scores for 1 rows"),
        ("return []", "scores for 1 rows"),
    ],
)
def test_code_that_cannot_answer_is_charged_to_the_model(tmp_path: Path, body: str, reason: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(f"def predict(rows):\n    {body}\n")
    with pytest.raises(ModelError, match=reason):
        CallableModel(path, VECTOR).score([(1.0,)])


def test_a_null_score_is_not_a_number(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text("def predict(rows):\n    return [None for row in rows]\n")
    [score] = CallableModel(path, VECTOR).score([(1.0,)])
    assert np.isnan(score)


def test_text_without_pinned_categories_reaches_the_function(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text("def predict(rows):\n    return [len(row['x']) for row in rows]\n")
    assert CallableModel(path, VECTOR).score([("café",)]).tolist() == [4.0]


def test_an_estimator_of_another_scikit_learn_is_refused(tmp_path: Path) -> None:
    import skops.io

    path = tmp_path / "model.skops"
    skops.io.dump(HistGradientBoostingClassifier().fit([[0.0], [1.0]], [0, 1]), path)
    manifest = Manifest(
        service=ServiceName("shop"),
        format="sklearn",
        model=Digest("0" * 64),
        bundle=None,
        features=Digest("1" * 64),
        inputs=Schema(()),
        vector=VECTOR,
        output=Output(),
        environment={"scikit-learn": "0.1"},
    )
    with pytest.raises(ModelError, match=r"trained with scikit-learn 0\.1"):
        load(manifest, path, None)


class _Stranger(HistGradientBoostingClassifier):  # type: ignore[misc]
    """An estimator whose class is not scikit-learn's."""


def test_an_estimator_with_foreign_code_is_refused(tmp_path: Path) -> None:
    import skops.io

    path = tmp_path / "model.skops"
    skops.io.dump(_Stranger().fit([[0.0], [1.0]], [0, 1]), path)
    with pytest.raises(TrustError, match="_Stranger"):
        SklearnModel(path, VECTOR, Output(), {})
