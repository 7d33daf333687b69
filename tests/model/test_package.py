"""A trained model becomes the same bytes each time, in a format that is no pickle."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from evertrain.core.identity import digest_of_bytes
from evertrain.errors import ModelError
from evertrain.model.package import environment_of, native
from evertrain.runtime import recognise

FITTED = """
import sys
import numpy as np
from evertrain.core.identity import digest_of_bytes
from evertrain.model.package import native
{imports}
draws = np.random.default_rng(7)
X = draws.normal(size=(400, 3))
y = (X[:, 0] + draws.normal(size=400) > 0).astype(float)
model = {model}
sys.stdout.write(digest_of_bytes(native(model)))
"""


def fit_in_a_new_process(imports: str, model: str) -> str:
    source = textwrap.dedent(FITTED).format(imports=imports, model=model)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize(
    ("imports", "model"),
    [
        (
            "from sklearn.ensemble import HistGradientBoostingClassifier as H",
            "H(max_iter=5, random_state=0).fit(X, y)",
        ),
        (
            "import sklearn.pipeline as p, sklearn.preprocessing as s, sklearn.linear_model as m",
            "p.make_pipeline(s.StandardScaler(), m.LogisticRegression()).fit(X, y)",
        ),
        (
            "import lightgbm as g",
            "g.train(dict(objective='binary', num_threads=1, verbose=-1), g.Dataset(X, y), 5)",
        ),
        (
            "import xgboost as g",
            "g.XGBClassifier(n_estimators=5, n_jobs=1).fit(X, y)",
        ),
    ],
    ids=["boosting", "pipeline", "lightgbm", "xgboost"],
)
def test_two_processes_make_the_same_file(imports: str, model: str) -> None:
    assert fit_in_a_new_process(imports, model) == fit_in_a_new_process(imports, model)


def test_a_saved_estimator_answers_as_before() -> None:
    import numpy as np
    import skops.io
    from sklearn.ensemble import HistGradientBoostingClassifier

    draws = np.random.default_rng(3)
    rows = draws.normal(size=(300, 2))
    model = HistGradientBoostingClassifier(max_iter=5).fit(rows, rows[:, 0] > 0)
    content = native(model)
    assert isinstance(content, bytes)
    again = skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))
    assert (again.predict_proba(rows) == model.predict_proba(rows)).all()


def test_an_xgboost_estimator_is_saved_up_to_its_best_round(tmp_path: Path) -> None:
    import numpy as np
    import xgboost

    draws = np.random.default_rng(3)
    rows = draws.normal(size=(300, 2))
    label = (rows[:, 0] + draws.normal(size=300) > 0).astype(int)
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, learning_rate=1.0, n_jobs=1)
    model.fit(rows[:150], label[:150], eval_set=[(rows[150:], label[150:])], verbose=False)
    content = native(model)
    assert isinstance(content, bytes)
    (tmp_path / "model.ubj").write_bytes(content)
    again = xgboost.Booster(model_file=tmp_path / "model.ubj")
    assert again.num_boosted_rounds() == model.best_iteration + 1
    assert again.inplace_predict(rows).tolist() == model.predict_proba(rows)[:, 1].tolist()
    assert recognise(tmp_path / "model.ubj") == "xgboost"


def test_an_onnx_model_and_its_bytes_are_the_same_file() -> None:
    from onnx import TensorProto, helper

    row = helper.make_tensor_value_info("row", TensorProto.FLOAT, [None, 1])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph([helper.make_node("Sigmoid", ["row"], ["score"])], "graph", [row], [score])
    model = helper.make_model(graph, ir_version=8)
    assert native(model) == native(model.SerializeToString())
    with pytest.raises(ModelError, match=r"builtins\.bytes"):
        native(b"no model")


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert native(str(tmp_path / "model.txt")) == tmp_path / "model.txt"


def test_what_no_runtime_serves_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"builtins\.dict, which no runtime serves.*Return a LightGBM or XGBoost"):
        native({"weights": [1]})


def test_the_environment_names_what_loading_needs() -> None:
    assert set(environment_of("lightgbm")) == {"lightgbm", "numpy"}
    assert {"numpy"} < set(environment_of("xgboost")) <= {"xgboost", "xgboost-cpu", "numpy"}
    assert set(environment_of("onnx")) == {"onnxruntime", "numpy"}
    assert set(environment_of("sklearn")) == {"scikit-learn", "skops", "numpy", "scipy"}


def test_bytes_and_not_addresses_make_the_digest() -> None:
    from sklearn.linear_model import LogisticRegression

    rows, label = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
    first, second = (LogisticRegression().fit(rows, label) for _ in range(2))
    contents = [native(model) for model in (first, second)]
    assert all(isinstance(content, bytes) for content in contents)
    assert len({digest_of_bytes(content) for content in contents if isinstance(content, bytes)}) == 1
