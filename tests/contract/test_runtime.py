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


def _lightgbm(folder: Path) -> Path:
    lightgbm = pytest.importorskip("lightgbm", exc_type=ImportError)
    matrix, target = _training()
    data = lightgbm.Dataset(matrix, label=target, categorical_feature=[0])
    parameters = {"objective": "binary", "num_threads": 1, "deterministic": True, "verbose": -1, "seed": 3}
    path = folder / "model.txt"
    lightgbm.train(parameters, data, num_boost_round=40).save_model(path)
    return path


def _xgboost(folder: Path) -> Path:
    import xgboost

    matrix, target = _training()
    data = xgboost.DMatrix(matrix, target, feature_types=["c", "q", "int", "i"], enable_categorical=True)
    path = folder / "model.ubj"
    xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, num_boost_round=20).save_model(path)
    return path


def _onnx(folder: Path) -> Path:
    """A logistic regression on a matrix, in which what is missing counts as 0."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.array([[0.4], [-0.02], [0.1], [0.7]], dtype=np.float32)
    nodes = [
        helper.make_node("IsNaN", ["rows"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "rows"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "logistic",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array(0, dtype=np.float32), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


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
}


def test_no_kind_of_model_is_left_out() -> None:
    assert {kind for kind, _ in MAKERS.values()} == set(get_args(Format))


def manifest_of(kind: Format, *, environment: dict[str, str] | None = None) -> Manifest:
    return Manifest(
        service=ServiceName("shop"),
        format=kind,
        model=Digest("0" * 64),
        bundle=None,
        features=Digest("1" * 64),
        inputs=SCHEMA,
        vector=VECTOR,
        output=Output(),
        environment=environment or {},
    )


@pytest.fixture(scope="module", params=sorted(MAKERS))
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Format, Path]:
    kind, make = MAKERS[request.param]
    return kind, make(tmp_path_factory.mktemp("model"))


@pytest.fixture
def model(made: tuple[Format, Path]) -> Model:
    kind, path = made
    return load(manifest_of(kind), path, None)


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


def test_a_batch_is_answered_like_its_rows_one_by_one(model: Model) -> None:
    vectors = _vectors()
    batch = model.score(vectors)
    assert batch.dtype == np.float64
    assert batch.shape == (len(vectors),)
    assert [float(score) for score in batch] == [float(model.score([vector])[0]) for vector in vectors]
    assert len(set(batch.tolist())) > 10


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


def test_no_rows_are_no_scores(model: Model) -> None:
    assert model.predict(np.empty((0, 4))).shape == (0,)
    assert model.score([]).shape == (0,)


def test_a_wrong_width_is_refused(model: Model) -> None:
    for width in (3, 5):
        with pytest.raises(ModelError, match="4 inputs"):
            model.predict(np.zeros((2, width)))
    for vector in [("s1", 1.0, 2), ("s1", 1.0, 2, True, 5)]:
        with pytest.raises(ModelError, match="4 inputs"):
            model.score([vector])


def test_loading_again_gives_the_same_scores(made: tuple[Format, Path], model: Model) -> None:
    kind, path = made
    again = load(manifest_of(kind), path, None)
    assert again.score(_vectors()).tolist() == model.score(_vectors()).tolist()


def test_threads_do_not_disturb_each_other(model: Model) -> None:
    vectors = _vectors(60)
    expected = [float(model.score([vector])[0]) for vector in vectors]
    wrong: list[int] = []

    def ask(offset: int) -> None:
        for step in range(len(vectors)):
            place = (step * 7 + offset) % len(vectors)
            if float(model.score([vectors[place]])[0]) != expected[place]:
                wrong.append(place)

    threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_kind_is_recognised(made: tuple[Format, Path]) -> None:
    kind, path = made
    assert recognise(path) == kind
