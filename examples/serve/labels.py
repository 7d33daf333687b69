"""Ask one thing, and post what came of it."""

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
token = Path(".evertrain/control/keys/token-data").read_text()


def post(path: str, body: object, **headers: str) -> Any:
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(address + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


[answer] = post("/predict/model", {"tenure": 5.5, "visits": 1, "paid": 0.2})["predictions"]
label = {"prediction_id": answer["id"], "value": True, "known_at": "2026-03-01T12:00:00Z"}
print(post("/labels/model", {"labels": [label]}, Authorization=f"Bearer {token}"))
