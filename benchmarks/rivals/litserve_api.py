"""LitServe: one worker of an API.

python litserve_api.py PORT
"""

import sys

import lightgbm
import litserve
import numpy as np


class Boosted(litserve.LitAPI):
    def setup(self, device):
        self.booster = lightgbm.Booster(model_file="model.txt")

    def decode_request(self, request):
        return np.array(request["rows"])

    def predict(self, x):
        return self.booster.predict(x, num_threads=1)

    def encode_response(self, output):
        return {"scores": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Boosted(), accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[1]), generate_client_file=False, num_api_servers=1)
