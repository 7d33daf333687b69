"""What every runtime promises, checked on every runtime."""

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from evertrain.core.identity import Digest, ServiceName
from evertrain.core.model import Format, Manifest, Output
from evertrain.core.schema import Column, Input, Schema, Value
from evertrain.errors import ModelError
from evertrain.runtime import Model, encode, load, recognise

SHOPS = ("s1", "s2", "s3")
CLASSES = ("bus", "car", "tram")
VECTOR = (Input(name="shop", categories=SHOPS), Input(name="amount"), Input(name="n"), Input(name="vip"))
SCHEMA = Schema(
    (
        Column(name="shop", type="string", nullable=True),
        Column(name="amount", type="float64", nullable=True),
        Column(name="n", type="int64"),
        Column(name="vip", type="bool"),
    )
)


def _training(rows: int = 600) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    random = np.random.default_rng(7)
    matrix = np.column_stack(
        [
            random.integers(0, 3, rows).astype(float),
            random.normal(50, 30, rows),
            random.integers(0, 9, rows).astype(float),
            random.integers(0, 2, rows).astype(float),
        ]
    )
    matrix[random.random(rows) < 0.1, 1] = np.nan
    matrix[random.random(rows) < 0.1, 0] = np.nan
    target = (matrix[:, 0] == 1) ^ (np.nan_to_num(matrix[:, 1]) + random.normal(0, 10, rows) > 55)
    return matrix, target.astype(np.int64)


def _in_three(matrix: NDArray[np.float64], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """Three classes of the same rows."""
    return np.where(matrix[:, 2] > 5, 2, target)


def _lightgbm(folder: Path) -> Path:
    lightgbm = pytest.importorskip("lightgbm", exc_type=ImportError)
    matrix, target = _training()
    data = lightgbm.Dataset(matrix, label=target, categorical_feature=[0])
    parameters = {"objective": "binary", "num_threads": 1, "deterministic": True, "verbose": -1, "seed": 3}
    path = folder / "model.txt"
    lightgbm.train(parameters, data, num_boost_round=40).save_model(path)
    return path


def _lightgbm_classes(folder: Path) -> Path:
    import lightgbm

    matrix, target = _training()
    data = lightgbm.Dataset(matrix, label=_in_three(matrix, target), categorical_feature=[0])
    parameters = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbose": -1, "seed": 3}
    path = folder / "model.txt"
    lightgbm.train(parameters, data, num_boost_round=20).save_model(path)
    return path


def _xgboost(folder: Path) -> Path:
    import xgboost

    matrix, target = _training()
    data = xgboost.DMatrix(matrix, target, feature_types=["c", "q", "int", "i"], enable_categorical=True)
    path = folder / "model.ubj"
    xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, num_boost_round=20).save_model(path)
    return path


def _xgboost_classes(folder: Path) -> Path:
    import xgboost

    matrix, target = _training()
    label = _in_three(matrix, target)
    data = xgboost.DMatrix(matrix, label, feature_types=["c", "q", "int", "i"], enable_categorical=True)
    path = folder / "model.ubj"
    settings = {"objective": "multi:softprob", "num_class": 3, "nthread": 1}
    xgboost.train(settings, data, num_boost_round=10).save_model(path)
    return path


def _onnx(folder: Path, *, classes: int = 1) -> Path:
    """A logistic regression on a matrix, in which what is missing counts as 0."""
    from onnx import TensorProto, helper, numpy_helper

    one = np.array([[0.4], [-0.02], [0.1], [0.7]], dtype=np.float32)
    weights = np.hstack([one * (place + 1) for place in range(classes)])
    last = helper.make_node("Softmax", ["sum"], ["score"], axis=1)
    nodes = [
        helper.make_node("IsNaN", ["rows"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "rows"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["sum"]),
        last if classes > 1 else helper.make_node("Sigmoid", ["sum"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "logistic",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, classes])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _onnx_classes(folder: Path) -> Path:
    return _onnx(folder, classes=3)


def _pickle(folder: Path) -> Path:
    from sklearn.ensemble import HistGradientBoostingClassifier

    matrix, target = _training()
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(HistGradientBoostingClassifier(max_iter=30, random_state=0).fit(matrix, target)))
    return path


def _joblib(folder: Path) -> Path:
    import joblib
    from sklearn.ensemble import HistGradientBoostingClassifier

    matrix, target = _training()
    path = folder / "model.joblib"
    joblib.dump(HistGradientBoostingClassifier(max_iter=30, random_state=0).fit(matrix, target), path, compress=3)
    return path


def _sklearn(folder: Path) -> Path:
    import skops.io
    from sklearn.ensemble import HistGradientBoostingClassifier

    matrix, target = _training()
    path = folder / "model.skops"
    skops.io.dump(HistGradientBoostingClassifier(max_iter=30, random_state=0).fit(matrix, target), path)
    return path


def _sklearn_pipeline(folder: Path) -> Path:
    import skops.io
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    matrix, target = _training()
    path = folder / "model.skops"
    pipeline = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    skops.io.dump(pipeline.fit(matrix, target), path)
    return path


def _sklearn_classes(folder: Path) -> Path:
    import skops.io
    from sklearn.ensemble import HistGradientBoostingClassifier

    matrix, target = _training()
    path = folder / "model.skops"
    names = np.array(CLASSES)[_in_three(matrix, target)]
    skops.io.dump(HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(matrix, names), path)
    return path


def _callable_classes(folder: Path) -> Path:
    path = folder / "model.py"
    path.write_text(
        "def predict(rows):\n"
        "    shares = [(0.1 if row['shop'] else 0.2, (row['amount'] or 0.0) % 90 / 100) for row in rows]\n"
        "    return [[one, (1 - one) * two, (1 - one) * (1 - two)] for one, two in shares]\n"
    )
    return path


def _callable(folder: Path) -> Path:
    path = folder / "model.py"
    path.write_text(
        "WEIGHTS = {'s1': 0.1, 's2': 0.2, 's3': 0.3}\n"
        "def predict(rows):\n"
        "    return [WEIGHTS.get(row['shop'], 0.05) + (row['amount'] or 0.0) / 1e4 + 0.01 * row['n'] for row in rows]\n"
    )
    return path


MAKERS: dict[str, tuple[Format, Callable[[Path], Path]]] = {
    "lightgbm": ("lightgbm", _lightgbm),
    "sklearn trees": ("sklearn", _sklearn),
    "sklearn pipeline": ("sklearn", _sklearn_pipeline),
    "xgboost": ("xgboost", _xgboost),
    "onnx": ("onnx", _onnx),
    "pickle": ("pickle", _pickle),
    "joblib": ("pickle", _joblib),
    "callable": ("callable", _callable),
    "lightgbm classes": ("lightgbm", _lightgbm_classes),
    "sklearn classes": ("sklearn", _sklearn_classes),
    "xgboost classes": ("xgboost", _xgboost_classes),
    "onnx classes": ("onnx", _onnx_classes),
    "callable classes": ("callable", _callable_classes),
}


def test_no_kind_of_model_is_left_out() -> None:
    assert {kind for kind, _ in MAKERS.values()} == set(get_args(Format))


def manifest_of(kind: Format, *, output: Output | None = None, environment: dict[str, str] | None = None) -> Manifest:
    return Manifest(
        service=ServiceName("shop"),
        format=kind,
        model=Digest("0" * 64),
        bundle=None,
        features=Digest("1" * 64),
        inputs=SCHEMA,
        vector=VECTOR,
        output=output or Output(),
        environment=environment or {},
    )


@pytest.fixture(scope="module", params=sorted(MAKERS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path]:
    kind, make = MAKERS[request.param]
    output = Output.of_classes(CLASSES) if request.param.endswith("classes") else Output()
    return manifest_of(kind, output=output), make(tmp_path_factory.mktemp("model"))


@pytest.fixture
def model(made: tuple[Manifest, Path]) -> Model:
    return load(*made, None)


@pytest.fixture
def shape(made: tuple[Manifest, Path]) -> tuple[int, ...]:
    """Of what is answered to one row: a number, or one for each class."""
    manifest, _ = made
    return (len(CLASSES),) if manifest.output.names else ()


def _vectors(count: int = 200) -> list[tuple[Value, ...]]:
    random = np.random.default_rng(11)
    shops: list[str | None] = [*SHOPS, None, "never seen"]
    return [
        (
            shops[int(random.integers(0, len(shops)))],
            None if random.random() < 0.1 else float(random.normal(50, 40)),
            int(random.integers(0, 12)),
            bool(random.integers(0, 2)),
        )
        for _ in range(count)
    ]


def test_a_batch_is_answered_like_its_rows_one_by_one(model: Model, shape: tuple[int, ...]) -> None:
    vectors = _vectors()
    batch = model.score(vectors)
    assert batch.dtype == np.float64
    assert batch.shape == (len(vectors), *shape)
    assert batch.tolist() == [model.score([vector])[0].tolist() for vector in vectors]
    assert len(np.unique(batch, axis=0)) > 10
    assert not shape or np.allclose(batch.sum(axis=1), 1.0)


def test_encoded_rows_are_answered_like_values(model: Model) -> None:
    vectors = _vectors(50)
    rows = np.array([encode(VECTOR, vector) for vector in vectors])
    assert model.predict(rows).tolist() == model.score(vectors).tolist()
    assert model.predict(np.asfortranarray(rows)).tolist() == model.score(vectors).tolist()
    assert model.predict(rows[:1]).tolist() == model.score(vectors[:1]).tolist()


def test_an_unseen_category_is_answered_like_a_missing_one(model: Model) -> None:
    unseen, missing = ("never seen", 40.0, 3, True), (None, 40.0, 3, True)
    assert model.score([unseen]).tolist() == model.score([missing]).tolist()


def test_missing_numbers_are_answered_with_a_number(model: Model) -> None:
    assert np.isfinite(model.score([("s1", None, 3, False)])).all()
    assert np.isfinite(model.predict(np.array([[np.nan, np.nan, 1.0, 0.0]]))).all()


def test_no_rows_are_no_scores(model: Model, shape: tuple[int, ...]) -> None:
    assert model.predict(np.empty((0, 4))).shape == (0, *shape)
    assert model.score([]).shape == (0, *shape)


def test_a_wrong_width_is_refused(model: Model) -> None:
    for width in (3, 5):
        with pytest.raises(ModelError, match="4 inputs"):
            model.predict(np.zeros((2, width)))
    for vector in [("s1", 1.0, 2), ("s1", 1.0, 2, True, 5)]:
        with pytest.raises(ModelError, match="4 inputs"):
            model.score([vector])


def test_loading_again_gives_the_same_scores(made: tuple[Manifest, Path], model: Model) -> None:
    again = load(*made, None)
    assert again.score(_vectors()).tolist() == model.score(_vectors()).tolist()


def test_threads_do_not_disturb_each_other(model: Model) -> None:
    vectors = _vectors(60)
    expected = [model.score([vector]).tolist() for vector in vectors]
    wrong: list[int] = []

    def ask(offset: int) -> None:
        for step in range(len(vectors)):
            place = (step * 7 + offset) % len(vectors)
            if model.score([vectors[place]]).tolist() != expected[place]:
                wrong.append(place)

    threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_kind_is_recognised(made: tuple[Manifest, Path]) -> None:
    manifest, path = made
    assert recognise(path) == manifest.format
