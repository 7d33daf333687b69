"""From an empty environment to the first answer: how long it takes, what is typed, and what has to be written.

    python benchmarks/firstmile.py [--quick] [--json FILE]

Each door of evertrain, and what people use instead, starts with the same trained scikit-learn model (or, for the door
of one table, with the table that it was trained on). *set-up* is a new environment and the installation from the
package index, whose cache is as warm as it is; *first answer* runs from the first command after that to the first
prediction over HTTP (for the door that only watches: to the finished report). Rivals are installed by `make rivals`
into environments of their own; one that is not installed is a row that says so. --quick measures no set-up.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from evertrain.testing.report import Row, main
from evertrain.testing.rival import RIVALS, build, running
from evertrain.testing.tree import free_port

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = ROOT / ".rivals"
DEADLINE_S = 300.0
ROW = {"visits": 3, "spent": 20.5, "plan": 1}

FASTAPI = """\
import joblib
import pandas as pd
from fastapi import FastAPI

model = joblib.load("model.joblib")
app = FastAPI()


@app.post("/predict")
def predict(row: dict):
    return {"score": float(model.predict_proba(pd.DataFrame([row]))[0, 1])}
"""
BENTOML = """\
import bentoml
import joblib
import pandas as pd


@bentoml.service
class Churn:
    def __init__(self):
        self.model = joblib.load("model.joblib")

    @bentoml.api
    def predict(self, row: dict) -> float:
        return float(self.model.predict_proba(pd.DataFrame([row]))[0, 1])
"""
SAVE_MLFLOW = "import joblib, mlflow.sklearn; mlflow.sklearn.save_model(joblib.load('model.joblib'), 'model')"


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to a first answer. rival: whose it is, "" for our own. files: what the user writes, by name.

    commands: typed one after the other, the last one stays when `path` names what is asked then.
    """

    name: str
    rival: str = ""
    commands: tuple[tuple[str, ...], ...]
    files: Mapping[str, str] = {}
    path: str = ""
    body: object = None

    @property
    def lines(self) -> int:
        """Of the user's own code, without empty ones."""
        return sum(bool(line.strip()) for text in self.files.values() for line in text.splitlines())


def ways(port: int, control_port: int) -> list[Way]:
    """evertrain's doors, then the rivals. Commands are run in a folder with churn.csv, log.csv and a model."""
    ports = ("--port", str(port), "--control-port", str(control_port))
    serve = ("evertrain", "serve", "model.skops", "--sample", "sample.csv", *ports)
    init = ("evertrain", "init", "churn", "--data", "churn.csv", "--key", "customer", "--at", "day")
    watch = ("evertrain", "watch", "log.csv", "--score", "score", "--label", "churned", "--time", "day")
    up = ("evertrain", "up", "service.py", *ports)
    return [
        Way(name="evertrain serve", commands=(serve,), path="/predict/model", body=ROW),
        Way(
            name="evertrain init, up",
            commands=((*init, "--label", "churned", "--horizon", "30d"), up),
            path="/predict/churn",
            body={"customer": "c1", "day": "2025-07-01T00:00:00Z", **ROW},
        ),
        Way(name="evertrain watch", commands=((*watch, "--out", "report.html"),)),
        Way(
            name="FastAPI + joblib",
            rival="FastAPI",
            files={"app.py": FASTAPI},
            commands=(("uvicorn", "app:app", "--port", str(port)),),
            path="/predict",
            body=ROW,
        ),
        Way(
            name="MLflow serving",
            rival="MLflow",
            files={"save.py": SAVE_MLFLOW},
            commands=(
                ("python", "save.py"),
                ("mlflow", "models", "serve", "-m", "model", "-p", str(port), "--env-manager", "local"),
            ),
            path="/invocations",
            body={"dataframe_records": [ROW]},
        ),
        Way(
            name="BentoML",
            rival="BentoML",
            files={"service.py": BENTOML},
            commands=(("bentoml", "serve", "service:Churn", "--port", str(port)),),
            path="/predict",
            body={"row": ROW},
        ),
    ]


def prepare(folder: Path) -> None:
    """The table, a log of somebody's predictions, a sample of requests, and one model trained on them, saved twice."""
    import joblib
    import pandas as pd
    import skops.io
    from sklearn.linear_model import LogisticRegression

    chance = np.random.default_rng(7)
    count = 4_000
    frame = pl.DataFrame(
        {
            "customer": [f"c{number}" for number in range(count)],
            "day": [f"2025-{1 + number * 6 // count:02d}-{1 + number % 28:02d}T00:00:00Z" for number in range(count)],
            "visits": chance.poisson(3.0, count),
            "spent": chance.gamma(2.0, 20.0, count).round(2),
            "plan": chance.integers(0, 3, count),
        }
    )
    leaning = 0.6 * frame["visits"].to_numpy() - 0.02 * frame["spent"].to_numpy() - 1.0
    score = 1.0 / (1.0 + np.exp(-leaning))
    churned = (chance.random(count) < score).astype(int)
    frame.with_columns(pl.Series("churned", churned)).write_csv(folder / "churn.csv")
    log = frame.with_columns(pl.Series("score", score), pl.Series("churned", churned))
    log.drop("customer").write_csv(folder / "log.csv")
    frame.select(*ROW).head(50).write_csv(folder / "sample.csv")
    inputs = pd.DataFrame({name: frame[name].to_numpy() for name in ROW})
    model = LogisticRegression(max_iter=1_000).fit(inputs, churned)
    joblib.dump(model, folder / "model.joblib")
    skops.io.dump(model, folder / "model.skops")


def answered(way: Way, port: int) -> bool:
    """Whether a prediction comes back."""
    body = json.dumps(way.body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{way.path}", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return bool(reply.status == 200 and reply.read())
    except urllib.error.HTTPError as error:
        if error.code in (400, 422):
            raise SystemExit(f"{way.name} does not take the request: {error.read().decode()}") from error
        return False
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def first_answer(way: Way, bin_folder: Path, given: Path, port: int) -> float:
    """Seconds from the first command to the first answer, in a copy of the folder with the model."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "project"
        shutil.copytree(given, folder)
        for name, text in way.files.items():
            (folder / name).write_text(text)
        environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
        begun = time.perf_counter()
        *before, last = way.commands
        for command in before if way.path else way.commands:
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        if not way.path:
            return time.perf_counter() - begun
        with running(last, folder, environment) as process:
            while not answered(way, port):
                if process.poll() is not None or time.perf_counter() - begun > DEADLINE_S:
                    raise SystemExit(f"{way.name} gives no answer:\n{(folder / 'log.txt').read_text()[-3_000:]}")
                time.sleep(0.05)
            return time.perf_counter() - begun


def row_of(way: Way, took_s: float, setup_s: float | None) -> Row:
    """The line of one way."""
    setup = "" if setup_s is None else f", set-up {setup_s:.0f} s"
    said = f"{len(way.commands)} commands, {way.lines} lines of own code{setup}"
    return Row(measure=f"{way.name}: first answer", value=took_s, unit="s", rival=said)


def measure(quick: bool) -> list[Row]:
    """All ways, one after the other."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        given = Path(scratch) / "given"
        given.mkdir()
        prepare(given)
        setup_s: float | None = None
        own = Path(sys.executable).parent
        if not quick:
            setup_s = build((f"{ROOT}[sklearn]",), Path(scratch) / "own")
            own = Path(scratch) / "own" / "bin"
        port = free_port()
        for way in ways(port, free_port()):
            rival = RIVALS.get(way.rival)
            if rival is not None and rival.version(INSTALLED) is None:
                absent = Row(measure=way.name, value=float("nan"), unit="s", rival="not installed: make rivals")
                rows.append(absent)
                continue
            folder = own if rival is None else rival.home(INSTALLED) / "bin"
            rows.append(row_of(way, first_answer(way, folder, given, port), setup_s if rival is None else None))
    return rows


if __name__ == "__main__":
    sys.exit(main("firstmile", measure))
