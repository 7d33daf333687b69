"""XGBoost through its C interface: the same numbers as its own package, without importing it."""

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evertrain.core.schema import Input
from evertrain.errors import ModelError
from evertrain.runtime.artifact import describe, recognise
from evertrain.runtime.ubjson import read_ubjson
from evertrain.runtime.xgboost import XGBoostModel
from evertrain.runtime.xgboost_file import describe_xgboost, read_xgboost

WIDTH = 4
VECTOR = tuple(Input(name=f"x{number}") for number in range(WIDTH))


def rows_of(seed: int, count: int = 400) -> NDArray[np.float64]:
    draws = np.random.default_rng(seed)
    rows = draws.normal(size=(count, WIDTH))
    rows[draws.random(rows.shape) < 0.1] = np.nan
    return rows


def booster(objective: str, **settings: Any) -> xgboost.Booster:
    rows = rows_of(5)
    label = (np.nan_to_num(rows[:, 0]) > 0).astype(float)
    given = {"objective": objective, "nthread": 1, "max_depth": 3, **settings}
    return xgboost.train(given, xgboost.DMatrix(rows, label), num_boost_round=8)


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
@pytest.mark.parametrize("objective", ["binary:logistic", "reg:squarederror", "count:poisson", "binary:logitraw"])
def test_scores_equal_those_of_the_package_bit_for_bit(tmp_path: Path, name: str, objective: str) -> None:
    model, path = booster(objective), tmp_path / name
    model.save_model(path)
    assert recognise(path) == "xgboost"
    rows = rows_of(9)
    expected = model.predict(xgboost.DMatrix(rows)).astype(np.float64)
    assert XGBoostModel(path, VECTOR).predict(rows).tolist() == expected.tolist()


def test_an_estimator_answers_with_its_best_round_and_a_booster_with_all(tmp_path: Path) -> None:
    rows = rows_of(5)
    label = (np.nan_to_num(rows[:, 0]) + np.random.default_rng(1).normal(size=len(rows)) > 0).astype(int)
    estimator = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, learning_rate=1.0, n_jobs=1)
    estimator.fit(rows[:200], label[:200], eval_set=[(rows[200:], label[200:])], verbose=False)
    assert estimator.best_iteration + 1 < estimator.get_booster().num_boosted_rounds()
    estimator.save_model(tmp_path / "estimator.json")
    estimator.get_booster().save_model(tmp_path / "booster.json")
    asked = rows_of(3)
    answers = {
        name: XGBoostModel(tmp_path / name, VECTOR).predict(asked) for name in ("estimator.json", "booster.json")
    }
    assert answers["estimator.json"].tolist() == estimator.predict_proba(asked)[:, 1].astype(float).tolist()
    assert answers["booster.json"].tolist() == estimator.get_booster().inplace_predict(asked).astype(float).tolist()


def test_classes_without_probabilities_are_refused(tmp_path: Path) -> None:
    data = xgboost.DMatrix(rows_of(1, 90), np.arange(90) % 3)
    xgboost.train({"objective": "multi:softmax", "num_class": 3}, data, 2).save_model(tmp_path / "model.ubj")
    with pytest.raises(ModelError, match=r"3 outputs a row.*no probabilities.*multi:softprob"):
        describe(tmp_path / "model.ubj", "xgboost")


def test_a_linear_booster_is_refused(tmp_path: Path) -> None:
    data = xgboost.DMatrix(np.nan_to_num(rows_of(1)), np.ones(400))
    xgboost.train({"booster": "gblinear"}, data, 2).save_model(tmp_path / "model.json")
    with pytest.raises(ModelError, match="linear booster"):
        describe(tmp_path / "model.json", "xgboost")


def test_names_types_and_output_are_those_of_the_file(tmp_path: Path) -> None:
    data = xgboost.DMatrix(
        np.nan_to_num(rows_of(1)).round(),
        np.arange(400) % 2,
        feature_names=["a", "b", "c", "d"],
        feature_types=["float", "int", "i", "q"],
    )
    path = tmp_path / "model.ubj"
    xgboost.train({"objective": "binary:logistic"}, data, 2).save_model(path)
    told = describe(path, "xgboost")
    assert told.columns is not None
    assert [(one.name, one.type) for one in told.columns] == [
        ("a", "float64"),
        ("b", "int64"),
        ("c", "bool"),
        ("d", "float64"),
    ]
    assert told.output is not None
    assert told.output.kind == "probability"
    booster("reg:squarederror").save_model(path)
    told = describe(path, "xgboost")
    assert told.generic
    assert [item.name for item in told.vector or ()] == ["f0", "f1", "f2", "f3"]
    assert told.output is not None
    assert (told.output.kind, told.output.low) == ("value", None)


def test_texts_of_categories_are_read(tmp_path: Path) -> None:
    booster("binary:logistic").save_model(tmp_path / "model.json")
    whole = msgspec.json.decode((tmp_path / "model.json").read_bytes())
    texts = ["Köln", "Ulm"]
    run = [byte - 256 if byte > 127 else byte for text in texts for byte in text.encode()]
    whole["learner"]["gradient_booster"]["model"]["cats"] = {
        "enc": [{"offsets": [0, 5, 8], "values": run}, *({"offsets": [], "values": []} for _ in range(3))],
        "feature_segments": [0, 2, 2, 2, 2],
        "sorted_idx": [0, 1],
    }
    told = describe_xgboost("model.json", msgspec.json.encode(whole))
    assert told.columns is not None
    assert told.columns[0].type == "string"
    assert told.vector is not None
    assert told.vector[0].categories == ("Köln", "Ulm")


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, name: str, share: float) -> None:
    booster("binary:logistic").save_model(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match="not a whole XGBoost model"):
        XGBoostModel(tmp_path / name, VECTOR)


def test_another_number_of_inputs_than_the_manifest_names_is_refused(tmp_path: Path) -> None:
    booster("binary:logistic").save_model(tmp_path / "model.ubj")
    with pytest.raises(ModelError, match="takes 4 inputs, but its manifest names 3"):
        XGBoostModel(tmp_path / "model.ubj", VECTOR[:3])


def test_both_forms_of_a_file_say_the_same(tmp_path: Path) -> None:
    model = booster("binary:logistic")
    told = [read_xgboost(kind, bytes(model.save_raw(kind))) for kind in ("ubj", "json")]
    assert told[0] == told[1]


def test_loading_does_not_import_the_package(tmp_path: Path) -> None:
    booster("binary:logistic").save_model(tmp_path / "model.ubj")
    source = (
        "import sys; from pathlib import Path; from evertrain.core.schema import Input\n"
        "from evertrain.runtime.xgboost import XGBoostModel\n"
        f"model = XGBoostModel(Path({str(tmp_path / 'model.ubj')!r}), [Input(name=str(n)) for n in range(4)])\n"
        "assert 0 < model.score([(1.0, 2.0, None, 0.5)])[0] < 1\n"
        "assert not {'xgboost', 'scipy', 'pandas', 'sklearn'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_an_error(content: bytes) -> None:
    with contextlib.suppress(ModelError):
        read_ubjson(content)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"[i\x01U\xffI\x01\x00l\x00\x01\x00\x00L\x00\x00\x00\x01\x00\x00\x00\x00]", [1, 255, 256, 65536, 2**32]),
        (b"[d\x3f\xc0\x00\x00D\x3f\xf8\x00\x00\x00\x00\x00\x00]", [1.5, 1.5]),
        (b"[ZTFCa]", [None, True, False, "a"]),
        (b"[#i\x02Si\x01xSi\x01y", ["x", "y"]),
        (b"{$i#i\x02i\x01a\x07i\x01b\x08", {"a": 7, "b": 8}),
        (b"[[][{}]]", [[], [{}]]),
    ],
)
def test_values_of_the_format(content: bytes, value: object) -> None:
    assert read_ubjson(content) == value


def test_a_length_that_lies_makes_nothing() -> None:
    with pytest.raises(ModelError, match="cut off"):
        read_ubjson(b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff")
    with pytest.raises(ModelError, match="deeper"):
        read_ubjson(b"[" * 1000)
