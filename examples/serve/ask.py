"""Ask for 1,500 customers, and post what came of them: who left, by the id that each prediction has."""

import json
import math
import random
import sys
import urllib.request
from pathlib import Path
from typing import Any

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
token = Path(".evertrain/control/keys/token-data").read_text()


def post(path: str, body: object, **headers: str) -> Any:
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(address + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def leaves(row: dict[str, float]) -> bool:
    return random.random() < 1 / (1 + math.exp(0.08 * row["tenure"] + 0.7 * row["visits"] - 5))


random.seed(7)
rows = [{"tenure": random.uniform(0, 60), "visits": random.randint(0, 8), "paid": random.random()} for _ in range(1500)]
predictions = post("/predict/model", {"rows": rows})["predictions"]
labels = [{"prediction_id": one["id"], "value": leaves(row)} for one, row in zip(predictions, rows, strict=True)]
print(post("/labels/model", {"labels": labels}, Authorization=f"Bearer {token}"))
