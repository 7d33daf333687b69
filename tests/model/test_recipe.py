"""Estimators as recipes: cloned, seeded, recorded, and in service what they were in training."""

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder

import evertrain as et
from evertrain import runtime
from evertrain.config.training import Run, TrainingSet
from evertrain.core.model import Manifest, Output
from evertrain.core.schema import Column, Input, Schema
from evertrain.errors import ModelError
from evertrain.model.recipe import Fitting, frame_of
from evertrain.model.script import Script
from evertrain.model.trainer import train
from evertrain.store.artifact import Artifacts
from evertrain.testing.orders import assembled_orders, order_examples, order_service, order_training, train_orders

NUMBERS = ["amount", "hour"]
ONE_HOT = OneHotEncoder(handle_unknown="ignore")
CODES = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def linear() -> Any:
    """What a tutorial has: text one-hot, numbers imputed and scaled, by name."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return make_pipeline(
        ColumnTransformer([("text", ONE_HOT, ["shop"]), ("numbers", numbers, NUMBERS)]), LogisticRegression()
    )


ESTIMATORS = {
    "linear by name": linear(),
    "trees on a passed-through rest": make_pipeline(
        ColumnTransformer([("text", CODES, ["shop"])], remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=4),
    ),
    "columns by their types": make_pipeline(
        ColumnTransformer(
            [
                ("text", ONE_HOT, make_column_selector(dtype_exclude=np.number)),
                ("numbers", "passthrough", make_column_selector(dtype_include=np.number)),
            ]
        ),
        RandomForestClassifier(10),
    ),
    "categories of the ensemble itself": HistGradientBoostingClassifier(max_iter=4, categorical_features=["shop"]),
    "a search over a slice of names": GridSearchCV(
        make_pipeline(
            ColumnTransformer(
                [("text", TargetEncoder(cv=2), ["shop"]), ("numbers", StandardScaler(), slice("amount", "hour"))]
            ),
            LogisticRegression(),
        ),
        {"logisticregression__C": [0.1, 1.0]},
        cv=2,
    ),
    "a matrix": make_pipeline(SimpleImputer(), HistGradientBoostingClassifier(max_iter=4)),
}


def manifest_of(folder: Path, recipe: Any, **changes: Any) -> tuple[Manifest, Path]:
    artifacts, done = train_orders(folder, recipe, **changes)
    manifest = artifacts.manifest(done.version)
    return manifest, artifacts.blobs.path(manifest.model)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_is_in_service_what_it_was_in_training(tmp_path: Path, name: str) -> None:
    fitting = Fitting(ESTIMATORS[name], Output())
    manifest, path = manifest_of(tmp_path, fitting)
    assert manifest.format == "sklearn"
    model = runtime.load(manifest, path)
    vectors = [(shop, 10.0 + number, number % 24) for number, shop in enumerate(["east", "south", "north", "west"] * 9)]
    together = model.score(vectors)
    assert together.tolist() == [float(model.score([vector])[0]) for vector in vectors]
    assert len(set(together.tolist())) > 4
    unseen, missing = model.score([("nowhere", 20.0, 3), (None, 20.0, 3)])
    assert unseen == missing


def test_the_same_rows_give_the_same_version(tmp_path: Path) -> None:
    forest = ESTIMATORS["columns by their types"]
    made = [train_orders(tmp_path, Fitting(forest, Output()), shuffled=seed)[1] for seed in (None, 3)]
    assert made[0].version == made[1].version


def test_the_object_of_the_declaration_stays_as_it_is(tmp_path: Path) -> None:
    estimator = LogisticRegression()
    Fitting(estimator, Output())(numbers_of(50), Run(folder=tmp_path))
    assert not hasattr(estimator, "coef_")
    assert estimator.get_params()["random_state"] is None


def test_what_is_set_and_what_is_left_open_is_recorded(tmp_path: Path) -> None:
    fitting = Fitting(make_pipeline(SimpleImputer(), RandomForestClassifier(10, n_jobs=-1)), Output())
    manifest, _ = manifest_of(tmp_path, fitting, seed=5, parameters={"randomforestclassifier__max_depth": 3})
    assert manifest.parameters == {
        "estimator": "Pipeline(RandomForestClassifier)",
        "randomforestclassifier__max_depth": 3,
        "randomforestclassifier__n_estimators": 10,
        "randomforestclassifier__random_state": 5,
    }


def test_a_parameter_that_it_does_not_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no parameter 'logisticregression__c'.*logisticregression__C"):
        train_orders(tmp_path, Fitting(linear(), Output()), parameters={"logisticregression__c": 2.0})


def test_a_regressor_is_no_classifier(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"LinearRegression gives no probabilities.*output=\"value\""):
        train_orders(tmp_path, Fitting(LinearRegression(), Output()))


def test_a_value_is_predicted(tmp_path: Path) -> None:
    numbers = make_pipeline(ColumnTransformer([("text", ONE_HOT, ["shop"])], remainder="passthrough"), Ridge())
    output = Output(kind="value", low=None, high=None)
    manifest, path = manifest_of(tmp_path, Fitting(numbers, output), spec=order_service(output=output))
    assert -0.5 < runtime.load(manifest, path).score([("south", 20.0, 3)])[0] < 1.5


def test_a_copy_that_would_score_otherwise_is_no_version(tmp_path: Path) -> None:
    fitting, data = Fitting(LogisticRegression(), Output()), numbers_of(50)
    fitting(data, Run(folder=tmp_path))
    with pytest.raises(ModelError, match=r"LogisticRegression scores 50 of 50 rows otherwise"):
        fitting.compare(data, np.full(50, -1.0))


def numbers_of(count: int) -> TrainingSet:
    draws = np.random.default_rng(3)
    rows = draws.normal(size=(count, 2))
    label = (rows[:, 0] > 0).astype(float)
    return TrainingSet(X=rows, y=label, at=np.arange(count), inputs=[Input(name="a"), Input(name="b")])


def test_a_column_of_thousands_of_texts(tmp_path: Path) -> None:
    frame = order_examples(4_000)
    names = tuple(f"shop {number:04d}" for number in range(5_000))
    data = TrainingSet(
        X=np.column_stack([np.arange(4_000) % 5_000, frame["feature.amount"].to_numpy()]),
        y=frame["label"].to_numpy(),
        at=frame["at"].to_numpy(),
        inputs=[Input(name="shop", categories=names), Input(name="amount")],
    )
    told = frame_of(data)
    assert told["shop"].tolist()[:2] == ["shop 0000", "shop 0001"]
    assert list(told.columns) == ["shop", "amount"]


def test_missing_values_reach_the_frame_as_pandas_has_them() -> None:
    data = TrainingSet(
        X=np.array([[0.0, np.nan], [np.nan, 2.0]]),
        y=np.array([0.0, 1.0]),
        at=np.array([0, 1]),
        inputs=[Input(name="shop", categories=("a",)), Input(name="n")],
    )
    told = frame_of(data)
    assert told.isna().to_numpy().tolist() == [[False, True], [True, False]]
    assert told["n"].dtype == np.float64


CLASSES = ("early", "good", "late", "lost")


def in_classes(*places: int) -> pl.DataFrame:
    """Orders of these classes: the later the hour and the larger the amount, the later in the list."""
    frame = order_examples(3_000)
    rank = (pl.col("feature.amount") / 40 + pl.col("feature.hour") / 12).rank("ordinal")
    place = (rank * len(places) / (frame.height + 1)).floor().cast(pl.Int64)
    return frame.with_columns(label=place.replace_strict(dict(enumerate(places)), return_dtype=pl.Float64))


def of_classes(folder: Path, recipe: Any, frame: pl.DataFrame) -> tuple[Manifest, Any]:
    spec = order_service(output=Output.of_classes(CLASSES))
    artifacts = Artifacts.at(folder / "artifacts")
    task = order_training(assembled_orders(frame, spec, artifacts.blobs, artifacts.blobs.put(b"code")))
    (folder / "task").mkdir()
    done = train(task, spec, recipe, artifacts=artifacts, bundle_folder=folder, folder=folder / "task")
    manifest = artifacts.manifest(done.version)
    return manifest, runtime.load(manifest, artifacts.blobs.path(manifest.model), folder)


@pytest.mark.parametrize(
    "estimator",
    [linear(), HistGradientBoostingClassifier(max_iter=4), lightgbm.LGBMClassifier(n_estimators=4, verbose=-1)],
    ids=["linear", "trees", "lightgbm"],
)
def test_an_estimator_of_classes_answers_as_it_was_fitted(tmp_path: Path, estimator: Any) -> None:
    manifest, model = of_classes(tmp_path, Fitting(estimator, Output.of_classes(CLASSES)), in_classes(0, 1, 2, 3))
    scores = model.score([("south", 1.0, 0), ("south", 400.0, 23)])
    assert scores.shape == (2, 4)
    assert scores[0].argmax() == 0
    assert scores[1].argmax() == 3
    assert manifest.golden is not None


def test_a_class_without_a_training_row_keeps_its_place(tmp_path: Path) -> None:
    estimator = HistGradientBoostingClassifier(max_iter=4)
    _, model = of_classes(tmp_path, Fitting(estimator, Output.of_classes(CLASSES)), in_classes(1, 2, 3))
    scores = model.score([("south", 1.0, 0), ("south", 400.0, 23)])
    assert scores[:, 0].tolist() == [0.0, 0.0]
    assert scores.argmax(axis=1).tolist() == [1, 3]


def test_a_booster_that_never_saw_a_class_is_refused(tmp_path: Path) -> None:
    estimator = lightgbm.LGBMClassifier(n_estimators=4, verbose=-1)
    with pytest.raises(ModelError, match=r"gives 3 scores a row, and its service has 4 classes"):
        of_classes(tmp_path, Fitting(estimator, Output.of_classes(CLASSES)), in_classes(1, 2, 3))


def test_a_script_finds_the_names_of_the_classes_in_its_rows(tmp_path: Path) -> None:
    (tmp_path / "learn.py").write_text(
        "import sys\n"
        "import joblib\n"
        "import polars as pl\n"
        "from sklearn.ensemble import HistGradientBoostingClassifier\n"
        "rows = pl.read_parquet(sys.argv[1])\n"
        "kinds = rows['kind'].to_numpy()\n"
        "model = HistGradientBoostingClassifier(max_iter=4).fit(rows.select('amount', 'hour').to_numpy(), kinds)\n"
        "assert sorted(model.classes_) == ['early', 'good', 'late', 'lost']\n"
        "joblib.dump(model, sys.argv[2])\n"
    )
    script = Script(et.script("learn.py"), folder=tmp_path, label="kind", memory_mb=2048)
    frame = in_classes(3, 2, 1, 0).drop("request.shop", "feature.shop")
    inputs = Schema((Column(name="amount", type="float64"), Column(name="hour", type="int64")))
    spec = order_service(output=Output.of_classes(CLASSES), inputs=inputs, categories=(), segments=())
    artifacts = Artifacts.at(tmp_path / "artifacts")
    task = order_training(assembled_orders(frame, spec, artifacts.blobs, artifacts.blobs.put(b"code")))
    (tmp_path / "task").mkdir()
    done = train(task, spec, script, artifacts=artifacts, bundle_folder=tmp_path, folder=tmp_path / "task")
    manifest = artifacts.manifest(done.version)
    scores = runtime.load(manifest, artifacts.blobs.path(manifest.model), tmp_path).score([(1.0, 0), (400.0, 23)])
    assert scores.argmax(axis=1).tolist() == [3, 0]
