"""KServe's Python SDK server with a model of its own, over the V1 protocol.

python kserve_model.py --http_port PORT --enable_grpc false
"""

import argparse

import kserve
import lightgbm
import numpy as np
from kserve import model_server


class Boosted(kserve.Model):
    def __init__(self):
        super().__init__("model")
        self.booster = lightgbm.Booster(model_file="model.txt")
        self.ready = True

    def predict(self, payload, headers=None):
        return {"predictions": self.booster.predict(np.array(payload["instances"]), num_threads=1).tolist()}


if __name__ == "__main__":
    argparse.ArgumentParser(parents=[model_server.parser]).parse_args()
    kserve.ModelServer(workers=1).start([Boosted()])
