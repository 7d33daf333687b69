"""What model files say of themselves, without being loaded: LightGBM texts, skops files, pickles."""

import bz2
import gzip
import io
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from evertrain.core.model import Output
from evertrain.core.schema import Input
from evertrain.errors import ModelError
from evertrain.runtime.artifact import describe, recognise
from evertrain.runtime.lightgbm_file import describe_lightgbm
from evertrain.runtime.pickle_file import look_into
from evertrain.runtime.pickled import PickledModel

ROWS = np.random.default_rng(2).normal(size=(300, 2))
VALUE = Output(kind="value", low=None, high=None)


def booster_text(names: list[str], **settings: Any) -> str:
    label = np.arange(300) % (settings.get("num_class") or 2)
    data = lightgbm.Dataset(ROWS, label, feature_name=names)
    text: str = lightgbm.train({"verbose": -1, "num_threads": 1, **settings}, data, 2).model_to_string()
    return text


# LightGBM -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "kind"), [("binary", "probability"), ("cross_entropy", "probability"), ("regression", "value")]
)
def test_the_objective_says_what_a_score_is(objective: str, kind: str) -> None:
    told = describe_lightgbm("m", booster_text(["a", "b"], objective=objective).encode())
    assert told.output is not None
    assert told.output.kind == kind
    assert [(one.name, one.type, one.nullable) for one in told.columns or ()] == [
        ("a", "float64", True),
        ("b", "float64", True),
    ]
    assert not told.generic


def test_classes_one_against_the_rest_are_refused() -> None:
    with pytest.raises(ModelError, match=r"3 outputs a row.*multiclassova.*objective=\"multiclass\""):
        describe_lightgbm("m", booster_text(["a", "b"], objective="multiclassova", num_class=3).encode())


def test_the_categories_of_pandas_are_told_by_name() -> None:
    text = booster_text(["shop", "n"], objective="binary")
    infos = next(line for line in text.splitlines() if line.startswith("feature_infos="))
    text = text.replace(infos, "feature_infos=0:1 " + infos.split(" ")[1])
    text = text[: text.index("pandas_categorical:")] + 'pandas_categorical:[["a", "b"]]\n'
    told = describe_lightgbm("m", text.encode())
    assert [one.type for one in told.columns or ()] == ["string", "float64"]
    assert [one.categories for one in told.vector or ()] == [("a", "b"), None]


# skops ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        (LogisticRegression(), "probability"),
        (make_pipeline(SimpleImputer(), LogisticRegression()), "probability"),
        (make_pipeline(SimpleImputer(), LinearRegression()), "value"),
        (HistGradientBoostingRegressor(max_iter=2), "value"),
    ],
)
def test_a_skops_file_says_its_width_and_what_a_score_is(tmp_path: Path, estimator: Any, kind: str) -> None:
    skops.io.dump(estimator.fit(ROWS, np.arange(300) % 2), tmp_path / "m")
    told = describe(tmp_path / "m", "sklearn")
    assert told.output is not None
    assert (told.width, told.output.kind, told.columns, told.text) == (2, kind, None, False)


@pytest.mark.parametrize("fills", [True, False])
def test_names_are_told_and_whether_numbers_may_be_missing(tmp_path: Path, fills: bool) -> None:
    steps = [SimpleImputer(), LogisticRegression()] if fills else [LogisticRegression()]
    model = make_pipeline(*steps).fit(ROWS, np.arange(300) % 2)
    model.steps[0][1].feature_names_in_ = np.array(["a", "b"], dtype=object)
    skops.io.dump(model, tmp_path / "m")
    told = describe(tmp_path / "m", "sklearn")
    assert [(one.name, one.nullable) for one in told.columns or ()] == [("a", fills), ("b", fills)]


def test_an_encoder_of_text_is_told(tmp_path: Path) -> None:
    rows = np.array([["Ulm", 1.0], ["Bonn", 2.0]], dtype=object)
    columns = make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough")
    skops.io.dump(make_pipeline(columns, LogisticRegression()).fit(rows, [0, 1]), tmp_path / "m")
    assert describe(tmp_path / "m", "sklearn").text


def test_a_skops_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    skops.io.dump(LogisticRegression().fit(ROWS, np.arange(300) % 2), tmp_path / "m")
    content = (tmp_path / "m").read_bytes()
    (tmp_path / "m").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="not a whole skops file"):
        describe(tmp_path / "m", "sklearn")


# Pickles --------------------------------------------------------------------------------------------------------------


class Ordinary:
    """A model of somebody's own."""

    def predict(self, rows: Any) -> Any:
        return rows[:, 0] * 2


class Planted:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


@pytest.mark.parametrize("pack", [lambda raw: raw, zlib.compress, gzip.compress, bz2.compress])
def test_what_a_pickle_imports_is_read_through_its_compression(pack: Any) -> None:
    contents = look_into(pack(pickle.dumps([Planted(), LogisticRegression()])))
    assert contents.whole
    assert contents.dangerous == ("posix.system",)
    assert contents.libraries == ("sklearn",)
    assert contents.strange == ()


def test_code_of_somebody_is_called_strange() -> None:
    contents = look_into(pickle.dumps(Ordinary()))
    assert contents.dangerous == ()
    assert len(contents.strange) == 1
    assert contents.strange[0].endswith("Ordinary")


@pytest.mark.parametrize("content", [b"\x80\x04", b"x\x9cbroken", b"\x1f\x8b\x08", b"\x80\x04\x95\xff\xff"])
def test_what_is_cut_is_not_whole(content: bytes) -> None:
    assert not look_into(content).whole


def test_an_object_with_predict_gives_a_value(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(pickle.dumps(Ordinary()))
    model = PickledModel(tmp_path / "m", [Input(name="a"), Input(name="b")], VALUE, {})
    assert model.score([(1.5, 0.0), (2.0, 1.0)]).tolist() == [3.0, 4.0]
    with pytest.raises(ModelError, match=r"Ordinary, which has no predict_proba.*--output value"):
        PickledModel(tmp_path / "m", [Input(name="a")], Output(), {})


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("lzma", 3)])
def test_a_joblib_file_with_an_array_of_objects_answers_as_its_estimator(tmp_path: Path, compress: Any) -> None:
    model = LogisticRegression().fit(ROWS, np.array(["no", "yes"] * 150, dtype=object))
    joblib.dump(model, tmp_path / "m", compress=compress)
    assert recognise(tmp_path / "m") == "pickle"
    served = PickledModel(tmp_path / "m", [Input(name="a"), Input(name="b")], Output(), {})
    assert served.score(ROWS[:9].tolist()).tolist() == model.predict_proba(ROWS[:9])[:, 1].tolist()


@pytest.mark.parametrize(
    ("environment", "reason"),
    [({"scikit-learn": "0.1"}, r"scikit-learn 0\.1"), ({"no-such-package": "1"}, "needs the package no-such-package")],
)
def test_a_pickle_of_other_libraries_is_refused(tmp_path: Path, environment: dict[str, str], reason: str) -> None:
    (tmp_path / "m").write_bytes(pickle.dumps(Ordinary()))
    with pytest.raises(ModelError, match=reason):
        PickledModel(tmp_path / "m", [Input(name="a")], VALUE, environment)


def test_a_pickle_that_cannot_be_loaded_is_charged_to_the_model(tmp_path: Path) -> None:
    out = io.BytesIO()
    pickle.dump(Ordinary(), out)
    (tmp_path / "m").write_bytes(out.getvalue().replace(b"Ordinary", b"Nothing!"))
    with pytest.raises(ModelError, match="cannot be loaded: AttributeError"):
        PickledModel(tmp_path / "m", [Input(name="a")], VALUE, {})
