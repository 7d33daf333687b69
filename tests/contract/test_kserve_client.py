"""The Open Inference Protocol as KServe's own client speaks it, from an environment that has nothing of evertrain."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from evertrain.core.model import Output
from evertrain.core.routing import Route
from evertrain.core.schema import Column, Kind, Schema
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.worker import RunningWorker, until

CLIENTS = Path(__file__).parent / "clients"
KINDS: dict[str, Kind] = {"text": "string", "real": "float64", "whole": "int64", "flag": "bool"}
SCHEMA = Schema(
    (
        Column(name="asked", type="string"),
        *(Column(name=name, type=kind, nullable=True) for name, kind in KINDS.items()),
    )
)
ECHO = """
def predict(rows):
    found = [row[row["asked"]] for row in rows]
    return [float(len(value.encode()) if isinstance(value, str) else value) for value in found]
"""
SEEN = {
    "text": [0.0, 7.0, 6.0, 1000.0],
    "real": [1.5, -0.0, 1e300, 5e-324],
    "whole": [0.0, -(2.0**53), 2.0**53, 7.0],
    "flag": [1.0, 0.0, 1.0, 0.0],
}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with KServe's client, by its lock."""
    folder = tmp_path_factory.mktemp("kserve") / "environment"
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    by = ("--python", str(python), "--require-hashes", "-r", str(CLIENTS / "kserve.lock"))
    subprocess.run([uv, "pip", "install", "-q", *by], check=True)
    return python


@pytest.fixture(scope="module")
def told(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the client got from a service that answers with the value of the column that a row asks for."""
    installation = Installation(tmp_path_factory.mktemp("inference") / "state")
    version = installation.add(ECHO, output=Output.of_values(), inputs=SCHEMA)
    installation.route(Route(service=SHOP, champion=version))
    worker = RunningWorker(installation, EVERTRAIN_SEGMENT_MB="8")
    until(lambda: worker.serves(version))
    asked = [str(python), str(CLIENTS / "ask_kserve.py"), worker.base, SHOP]
    done = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=300)
    worker.close()
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def test_it_finds_a_live_ready_server(told: dict[str, Any]) -> None:
    assert (told["live"], told["ready"], told["model"]) == (True, True, True)


@pytest.mark.parametrize("form", ["json", "binary"])
@pytest.mark.parametrize("column", sorted(SEEN))
def test_each_value_comes_as_it_was_sent(told: dict[str, Any], form: str, column: str) -> None:
    answer = told[form][column]
    assert (answer["id"], answer["service"]) == (f"{column}-1", SHOP)
    assert [str(score) for score in answer["outputs"]["score"]] == [str(score) for score in SEEN[column]]
    assert len(set(answer["outputs"]["prediction_id"])) == len(SEEN[column])


def test_a_refusal_names_the_column(told: dict[str, Any]) -> None:
    assert "There is no column 'nothing'" in told["refused"]
