"""Ray Serve: one replica behind its proxy.

python ray_app.py PORT
"""

import sys

import lightgbm
import numpy as np
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Boosted:
    def __init__(self):
        self.booster = lightgbm.Booster(model_file="model.txt")

    async def __call__(self, request: Request):
        rows = (await request.json())["rows"]
        return {"scores": self.booster.predict(np.array(rows), num_threads=1).tolist()}


if __name__ == "__main__":
    ray.init(include_dashboard=False, num_cpus=2, log_to_driver=False)
    serve.start(http_options={"port": int(sys.argv[1])})
    serve.run(Boosted.bind(), blocking=True)
