"""Categories that only a script can have put into its rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from evertrain.config.training import TrainingSet
from evertrain.core.schema import Input
from evertrain.model.skew import invented

INPUTS = (Input(name="plan", categories=("basic", "pro")), Input(name="calls"))


def training_set(inputs: tuple[Input, ...] = INPUTS) -> TrainingSet:
    rows = np.column_stack([np.arange(40) % 2, np.arange(40) % 7]).astype(float)
    return TrainingSet(X=rows, y=np.tile([0.0, 1.0], 20), at=np.arange(40), inputs=inputs)


def fitted(encoder: Any, texts: Sequence[Any]) -> Any:
    rows = pd.DataFrame({"plan": [*texts] * 20, "calls": range(20 * len(texts))})
    columns = make_column_transformer((encoder, ["plan"]), remainder="passthrough")
    return make_pipeline(columns, LogisticRegression()).fit(rows, np.arange(len(rows)) % 2)


@pytest.mark.parametrize("encoder", [OneHotEncoder(), OrdinalEncoder()])
def test_a_category_that_no_row_holds_is_named(encoder: Any) -> None:
    assert invented(fitted(encoder, ["basic", "pro"]), training_set()) == ""
    assert "knows the category 'unknown', which no" in invented(fitted(encoder, ["basic", "unknown"]), training_set())


@pytest.mark.parametrize(("fill", "word"), [("unknown", "unknown"), (None, "missing_value")])
def test_what_a_step_of_the_pipeline_fills_in_is_no_invention(fill: str | None, word: str) -> None:
    imputer = SimpleImputer(strategy="constant", fill_value=fill)
    model = fitted(make_pipeline(imputer, OneHotEncoder()), ["basic", np.nan])
    assert word in model[0].transformers_[0][1][-1].categories_[0]
    assert invented(model, training_set()) == ""
    strange = fitted(make_pipeline(imputer, OneHotEncoder()), ["basic", "none", np.nan])
    assert "knows the category 'none', which no" in invented(strange, training_set())


def test_of_many_only_a_few_are_named() -> None:
    said = invented(fitted(OneHotEncoder(), ["e", "d", "c", "b", "a"]), training_set())
    assert "'a', 'b', 'c' and 2 more" in said


def test_the_categories_that_lightgbm_keeps_count_too(tmp_path: Path) -> None:
    rows = pd.DataFrame({"plan": pd.Categorical(["basic", "none"] * 60), "calls": range(120)})
    model = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1).fit(rows, np.arange(120) % 2)
    model.booster_.save_model(tmp_path / "model.txt")
    for left in (model, tmp_path / "model.txt"):
        assert "'none'" in invented(left, training_set())


def test_where_the_rows_hold_no_text_nothing_is_said() -> None:
    numbers = training_set((Input(name="plan"), Input(name="calls")))
    assert invented(fitted(OneHotEncoder(), ["basic", "unknown"]), numbers) == ""
