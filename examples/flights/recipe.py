"""How the model is trained: gradient-boosted trees on native categories, the same bytes for the same rows."""

from typing import TYPE_CHECKING

import evertrain as et

if TYPE_CHECKING:
    import lightgbm


def train(data: et.TrainingSet, run: et.Run) -> "lightgbm.Booster":
    """100 trees of 31 leaves, each on a third of the features; every parameter can be set for a run and is recorded."""
    import lightgbm

    parameters = {
        "objective": "binary",
        "learning_rate": run.parameter("learning_rate", 0.1),
        "num_leaves": run.parameter("num_leaves", 31),
        "feature_fraction": run.parameter("feature_fraction", 0.3),
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
        feature_name=data.names,
        categorical_feature=list(data.categories),
        params={"max_bin": run.parameter("max_bin", 63), "verbosity": -1},
    )
    return lightgbm.train(parameters, rows, num_boost_round=run.parameter("trees", 100))
