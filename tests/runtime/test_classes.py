"""Models of several classes: the probabilities of each runtime, named and ordered as the service has them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import onnx
import pytest
import skops.io
import xgboost
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evertrain.core.identity import Digest
from evertrain.core.model import Output
from evertrain.core.schema import Input
from evertrain.errors import ModelError
from evertrain.runtime.artifact import describe, recognise
from evertrain.runtime.callable import CallableModel
from evertrain.runtime.classes import Arrangement
from evertrain.runtime.lightgbm import LightGBMModel
from evertrain.runtime.onnx import OnnxModel
from evertrain.runtime.pickled import PickledModel
from evertrain.runtime.protocol import Model
from evertrain.runtime.sklearn import SklearnModel
from evertrain.runtime.xgboost import XGBoostModel

NAMES = ("bus", "car", "tram")
OUTPUT = Output.of_classes(NAMES)
VECTOR = (Input(name="a"), Input(name="b"))
ROWS = np.random.default_rng(3).normal(size=(400, 2))
PLACES = (ROWS[:, 0] > 0).astype(np.int64) + (ROWS[:, 1] > 0)
ASKED = np.random.default_rng(4).normal(size=(20, 2))


def lightgbm_file(path: Path) -> Any:
    settings = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(ROWS, PLACES), 5)
    booster.save_model(path)
    return booster.predict(ASKED, num_threads=1)


def xgboost_file(path: Path) -> Any:
    xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(ROWS, PLACES).save_model(path)
    return xgboost.Booster(model_file=path).inplace_predict(ASKED)


@pytest.mark.parametrize(
    ("make", "load"), [(lightgbm_file, LightGBMModel), (xgboost_file, XGBoostModel)], ids=["lightgbm", "xgboost"]
)
def test_a_booster_answers_with_its_own_probabilities(
    tmp_path: Path, make: Callable[[Path], Any], load: Callable[[Path, Any, Output], Model]
) -> None:
    expected = np.asarray(make(tmp_path / "model.ubj"), dtype=np.float64)
    told = describe(tmp_path / "model.ubj", recognise(tmp_path / "model.ubj"))
    assert told.output == Output.of_classes(("0", "1", "2"))
    model = load(tmp_path / "model.ubj", VECTOR, OUTPUT)
    assert np.array_equal(model.predict(ASKED), expected)
    assert np.array_equal(np.vstack([model.score([tuple(row)]) for row in ASKED.tolist()]), expected)
    assert model.predict(ASKED[:0]).shape == (0, 3)
    for other in (Output(), Output.of_classes("wxyz")):
        with pytest.raises(ModelError, match=r"gives 3 scores a row, and its service"):
            load(tmp_path / "model.ubj", VECTOR, other)


ESTIMATORS = {
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    "search": GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2),
    "trees": HistGradientBoostingClassifier(max_iter=3),
}


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_an_estimators_classes_are_read_and_ordered_by_name(tmp_path: Path, kind: str) -> None:
    estimator = ESTIMATORS[kind].fit(ROWS, np.array(NAMES)[PLACES])
    path = tmp_path / "model.skops"
    skops.io.dump(estimator, path)
    assert describe(path, "sklearn").output == OUTPUT
    backwards = Output.of_classes(NAMES[::-1])
    model = SklearnModel(path, VECTOR, backwards, {})
    assert np.allclose(model.predict(ASKED), estimator.predict_proba(ASKED)[:, ::-1], rtol=0, atol=1e-12)
    with pytest.raises(ModelError, match=r"knows a class 'tram', which is none of the service's: bus, car, ferry"):
        SklearnModel(path, VECTOR, Output.of_classes(("bus", "car", "ferry")), {})


def test_a_class_that_was_never_seen_in_training_has_no_chance(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    kept = PLACES != 1
    skops.io.dump(LogisticRegression().fit(ROWS[kept], PLACES[kept].astype(np.float64)), path)
    numbers = Output.of_classes(("2", "3", "4"))
    trained_here = SklearnModel(path, VECTOR, numbers, {}, bundle=Digest("b"), folder=tmp_path)
    scores = trained_here.predict(ASKED)
    assert scores[:, 1].tolist() == [0.0] * len(ASKED)
    assert np.allclose(scores.sum(axis=1), 1.0)


def test_numbers_of_a_strange_file_are_names_first_and_places_else() -> None:
    assert Arrangement("it", [2, 3, 1], Output.of_classes("123")).spread(np.eye(3)[:1]).tolist() == [[0.0, 1.0, 0.0]]
    assert Arrangement("it", [2, 0, 1], OUTPUT).spread(np.eye(3)[:1]).tolist() == [[0.0, 0.0, 1.0]]


def test_a_trusted_pickle_answers_with_classes(tmp_path: Path) -> None:
    estimator = LogisticRegression().fit(ROWS, np.array(NAMES)[PLACES])
    joblib.dump(estimator, tmp_path / "model.joblib")
    model = PickledModel(tmp_path / "model.joblib", VECTOR, OUTPUT, {})
    assert np.allclose(model.predict(ASKED), estimator.predict_proba(ASKED), rtol=0, atol=1e-12)


def graph(path: Path, last: list[Any], outputs: list[Any]) -> Path:
    """A softmax of two columns by a matrix, and what a converter puts behind it."""
    nodes = [
        helper.make_node("MatMul", ["rows", "weights"], ["raw"]),
        helper.make_node("Softmax", ["raw"], ["probabilities"], axis=1),
        *last,
    ]
    weights = numpy_helper.from_array(np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 0.5]], dtype=np.float32), "weights")
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 2])
    made = helper.make_graph(nodes, "graph", [rows], outputs, [weights])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=8), path)
    return path


def test_a_graph_names_its_classes_or_numbers_them(tmp_path: Path) -> None:
    matrix = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 3])]
    plain = graph(tmp_path / "plain.onnx", [], matrix)
    assert describe(plain, "onnx").output == Output.of_classes(("0", "1", "2"))
    own = np.exp(np.array([[0.5, 1.0, 2.25]], dtype=np.float32))
    expected = (own / own.sum()).astype(np.float64)
    assert np.allclose(OnnxModel(plain, VECTOR, OUTPUT).score([(1.0, 0.5)]), expected, atol=1e-6)

    named = helper.make_node(
        "ZipMap", ["probabilities"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["car", "bus", "tram"]
    )
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, ()))
    maps = [helper.make_value_info("maps", helper.make_sequence_type_proto(kind))]
    zipped = graph(tmp_path / "zipped.onnx", [named], maps)
    told = describe(zipped, "onnx")
    assert told.output == Output.of_classes(("car", "bus", "tram"))
    assert np.allclose(OnnxModel(zipped, VECTOR, OUTPUT).score([(1.0, 0.5)]), expected[:, [1, 0, 2]], atol=1e-6)


def test_a_function_gives_a_list_in_order_or_a_dict_by_name(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        "def predict(rows):\n"
        "    return [[0.5, 0.25, 0.25] if row['a'] else {'tram': 1.0, 'bus': 0.0, 'car': 0.0} for row in rows]\n"
    )
    model = CallableModel(tmp_path / "model.py", VECTOR, OUTPUT)
    assert model.score([(1.0, 0.0), (0.0, 0.0)]).tolist() == [[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]
    assert model.score([]).shape == (0, 3)
    for body, said in (("[0.5 for _ in rows]", r"\(1,\) probabilities"), ("[{'bus': 1.0}]", "no probabilities")):
        (tmp_path / "model.py").write_text(f"def predict(rows):\n    return {body}\n")
        with pytest.raises(ModelError, match=said):
            CallableModel(tmp_path / "model.py", VECTOR, OUTPUT).score([(1.0, 0.0)])
