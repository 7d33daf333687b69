"""Three XGBoost models of customers who leave: one to serve, one that is worse, one that is better."""

import numpy as np
import xgboost
from numpy.typing import NDArray

NAMES, KINDS = ["tenure", "visits", "paid"], ["float", "int", "float"]
draws = np.random.default_rng(1)
rows = np.column_stack([draws.uniform(0, 60, 3000), draws.poisson(4, 3000), draws.uniform(0, 1, 3000)])
chance = 1 / (1 + np.exp(0.08 * rows[:, 0] + 0.7 * rows[:, 1] - 5))
left = (draws.uniform(size=3000) < chance).astype(float)


def save(name: str, label: NDArray[np.float64], rounds: int) -> None:
    data = xgboost.DMatrix(rows, label, feature_names=NAMES, feature_types=KINDS)
    xgboost.train({"objective": "binary:logistic", "max_depth": 3}, data, num_boost_round=rounds).save_model(name)


save("model.ubj", left, rounds=4)
save("worse.ubj", 1 - left, rounds=30)
save("better.ubj", left, rounds=30)
