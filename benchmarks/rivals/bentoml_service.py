"""BentoML: one worker of a service."""

import bentoml
import lightgbm
import numpy as np


@bentoml.service(workers=1)
class Boosted:
    def __init__(self):
        self.booster = lightgbm.Booster(model_file="model.txt")

    @bentoml.api
    def predict(self, rows: list[list[float]]) -> list[float]:
        return self.booster.predict(np.array(rows), num_threads=1).tolist()
