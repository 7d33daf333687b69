"""Ask for several rows at once; send the same request again when the line breaks; read what a refusal says."""

import json
import sys
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"


def predict(rows: list[dict[str, Any]], attempts: int = 3) -> list[dict[str, Any]]:
    headers = {"Content-Type": "application/json", "X-Request-Id": str(uuid.uuid4())}
    request = urllib.request.Request(f"{address}/predict/model", json.dumps({"rows": rows}).encode(), headers)
    for left in reversed(range(attempts)):
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                predictions: list[dict[str, Any]] = json.load(answer)["predictions"]
                return predictions
        except urllib.error.HTTPError as refused:
            told = json.load(refused)
            if refused.code < 500 or not left:
                raise SystemExit(f"{told['code']} {told.get('field', '')}: {told['error']}") from refused
        except OSError:
            if not left:
                raise
        time.sleep(0.1)
    return []


for row in predict([{"tenure": 5.5, "visits": 1, "paid": 0.2}, {"tenure": 50.0, "visits": 3, "paid": 0.9}]):
    print(row["id"], round(row["score"], 3))
