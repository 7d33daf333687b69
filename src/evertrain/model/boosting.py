"""Recipes for a table whose declaration names none: boosted trees, with defaults for small and middling tables.

The same rows give the same model. Missing values go their own way in the trees; so does a category that training
never saw. A category of more values than the library takes is given as the index of its text in sorted order.
"""

import importlib
from typing import Any, Final

import numpy as np

from evertrain.config.training import Run, TrainingSet
from evertrain.model.lean import import_lightgbm_alone

__all__ = ["histograms", "trees"]

_MOST_CATEGORIES: Final = 254


def histograms(data: TrainingSet, run: Run) -> Any:
    """scikit-learn's histogram gradient boosting: a classifier of classes or of labels 0 and 1, else a regressor."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    is_class = bool(data.classes) or _is_binary(data)
    kind = HistGradientBoostingClassifier if is_class else HistGradientBoostingRegressor
    small = [name for name, texts in data.categories.items() if 0 < len(texts) <= _MOST_CATEGORIES]
    estimator = kind(
        learning_rate=run.parameter("learning_rate", 0.06),
        max_iter=run.parameter("max_iter", 150),
        max_leaf_nodes=run.parameter("max_leaf_nodes", 15),
        min_samples_leaf=run.parameter("min_samples_leaf", 20),
        l2_regularization=run.parameter("l2_regularization", 1.0),
        categorical_features=[data.names.index(name) for name in small] or None,
        early_stopping=False,
        random_state=run.seed,
    )
    limits = importlib.import_module("threadpoolctl").threadpool_limits  # comes with scikit-learn
    with limits(limits=run.threads):
        return estimator.fit(data.X, data.y, sample_weight=data.weight)


def trees(data: TrainingSet, run: Run) -> Any:
    """LightGBM, with the same defaults."""
    import_lightgbm_alone()
    import lightgbm

    parameters = {
        **_objective(data),
        "learning_rate": run.parameter("learning_rate", 0.06),
        "num_leaves": run.parameter("num_leaves", 15),
        "min_data_in_leaf": run.parameter("min_data_in_leaf", 20),
        "lambda_l2": run.parameter("lambda_l2", 1.0),
        "num_threads": run.threads,
        "seed": run.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    rows = lightgbm.Dataset(
        data.X,
        label=data.y,
        weight=data.weight,
        categorical_feature=[data.names.index(name) for name in data.categories],
        params={"verbosity": -1},
    )
    return lightgbm.train(parameters, rows, num_boost_round=run.parameter("rounds", 150))


def _objective(data: TrainingSet) -> dict[str, Any]:
    if data.classes:
        return {"objective": "multiclass", "num_class": len(data.classes)}
    return {"objective": "binary" if _is_binary(data) else "regression"}


def _is_binary(data: TrainingSet) -> bool:
    return bool(np.isin(data.y, (0.0, 1.0)).all())
