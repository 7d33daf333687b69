"""Serve only, as the tutorial tells it: an XGBoost file, labels posted, a worse and a better successor.

The real command, its real processes, real HTTP; each block of the page is done as it stands there, on other ports.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import xgboost

from evertrain.core.card import Card
from evertrain.core.identity import ServiceName, VersionId
from evertrain.store.artifact import Artifacts
from evertrain.testing.served import Served
from evertrain.testing.tree import wait_until
from evertrain.testing.walk import Walk, pages_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tutorial" / "serve.md").read_text()
HOW_TO = ROOT / "docs" / "how-to"
MLMODEL = """\
flavors:
  xgboost:
    data: model.ubj
    xgb_version: 3.1.0
"""
MODEL = ServiceName("model")
NAMES, KINDS = ["tenure", "visits", "paid"], ["float", "int", "float"]


class Tutorial:
    """The page's commands in its order, each done once."""

    def __init__(self, folder: Path) -> None:
        for name in ("make.py", "ask.py"):
            (folder / name).write_text((ROOT / "examples" / "serve" / name).read_text())
        self.served = Served(folder, "model.ubj", columns=(), service=MODEL)
        blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
        self.left = [line for block in blocks for line in block.strip().splitlines()]

    def next(self, beginning: str) -> str:
        """Do the next command, which begins like this; returns what it printed."""
        command = self.left.pop(0)
        assert command.startswith(beginning), command
        words = shlex.split(command)
        match words[0]:
            case "python":
                return self._python(words[1])
            case "curl":
                return self._curl(words)
            case "evertrain" if words[1] == "serve":
                assert words[2:] == ["model.ubj"]
                self.served.serve()
                return ""
            case _:
                done = self.served.run(*words[1:])
                assert done.returncode == 0, done.stderr
                return done.stdout

    def _python(self, file: str) -> str:
        words = [sys.executable, "-W", "error", file, f"http://127.0.0.1:{self.served.port}"]
        done = subprocess.run(words, cwd=self.served.folder, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _curl(self, words: list[str]) -> str:
        address = httpx.URL(words[-1]).copy_with(port=self.served.port)
        header, _, value = words[words.index("-H") + 1].partition(": ")
        answer = httpx.post(address, content=words[words.index("-d") + 1], headers={header: value}, timeout=90)
        assert answer.status_code == 200, answer.text
        return answer.text

    def card(self, version: VersionId) -> Card:
        """The card of the version's verdict, when there is one."""

        def judged() -> bool:
            known = self.served.record().versions.get(version)
            return known is not None and known.card is not None

        wait_until(judged, "a verdict")
        found = self.served.record().versions[version].card
        assert found is not None
        return msgspec.json.decode(Artifacts.at(self.served.state.artifacts).blobs.get(found), type=Card)

    def newest(self) -> VersionId:
        return list(self.served.record().versions)[-1]


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tutorial]:
    made = Tutorial(tmp_path_factory.mktemp("someone's models"))
    try:
        made.next("python make.py")
        made.next("evertrain serve")
        yield made
    finally:
        made.served.end()


@pytest.fixture(scope="module")
def walk(tutorial: Tutorial) -> Walk:
    """Other pages, followed in the folder of the tutorial."""
    served = tutorial.served
    ports = {"8080": served.port, "8081": served.control_port}
    return Walk(served.folder, {f"127.0.0.1:{named}": f"127.0.0.1:{port}" for named, port in ports.items()})


def test_the_first_answer_is_that_of_the_model(tutorial: Tutorial) -> None:
    [told] = msgspec.json.decode(tutorial.next("curl"))["predictions"]
    booster = xgboost.Booster(model_file=tutorial.served.folder / "model.ubj")
    row = xgboost.DMatrix(np.array([[5.5, 1, 0.2]]), feature_names=NAMES, feature_types=KINDS)
    assert told["score"] == float(booster.predict(row)[0])


def test_the_columns_are_those_of_the_model(tutorial: Tutorial) -> None:
    told: Mapping[str, Any] = httpx.get(f"http://127.0.0.1:{tutorial.served.port}/v2/models/model", timeout=60).json()
    assert [one["name"] for one in told["inputs"]] == NAMES
    assert [one["datatype"] for one in told["inputs"]] == ["FP64", "INT64", "FP64"]


def test_without_labels_the_verdict_says_health_only(tutorial: Tutorial) -> None:
    assert tutorial.card(tutorial.newest()).claim == "health only"


def test_a_worse_successor_is_refused_on_the_logged_requests(tutorial: Tutorial) -> None:
    assert "1500" in tutorial.next("python ask.py")
    before = tutorial.newest()
    tutorial.next("evertrain push worse.ubj")
    wait_until(lambda: tutorial.newest() != before, "the version")
    version = tutorial.newest()
    card = tutorial.card(version)
    assert (card.claim, card.verdict) == ("traffic", "fail"), card.reasons
    assert card.holdout_rows == 1500
    assert any("shown to be worse" in reason for reason in card.reasons)
    assert any("training rows of a file are unknown" in reason for reason in card.reasons)
    record = tutorial.served.settle(version)
    assert record.versions[version].refused
    assert [one for one in record.rollouts.values() if one.version == version] == []
    assert "shown to be worse" in " ".join(tutorial.next("evertrain decisions").split())


def test_a_better_successor_passes_and_is_taken_back_out_of_its_canary(tutorial: Tutorial) -> None:
    champion, before = tutorial.served.record().champion, tutorial.newest()
    tutorial.next("evertrain push better.ubj")
    wait_until(lambda: tutorial.newest() != before, "the version")
    version = tutorial.newest()
    card = tutorial.card(version)
    assert (card.claim, card.verdict) == ("traffic", "pass"), card.reasons
    assert [one.who for one in card.figures] == ["challenger", "champion", "constant"]
    challenger, old = (one.metrics["log_loss"] for one in card.figures[:2])
    assert challenger < old
    wait_until(lambda: tutorial.served.record().open_rollout is not None, "its canary")
    tutorial.next("evertrain status")
    assert "back from its trial with 1% of the requests; version 1 goes on" in tutorial.next("evertrain rollback")
    record = tutorial.served.record()
    assert record.champion == champion
    assert not record.versions[version].refused
    assert tutorial.left == []


@pytest.mark.parametrize("name", pages_of("a served file"))
def test_a_how_to_page_does_what_it_says(tutorial: Tutorial, walk: Walk, name: str) -> None:
    if name == "mlflow":
        (tutorial.served.folder / "churn-7").mkdir()
        (tutorial.served.folder / "churn-7" / "MLmodel").write_text(MLMODEL)
        booster = xgboost.Booster(model_file=tutorial.served.folder / "model.ubj")
        booster[:2].save_model(tutorial.served.folder / "churn-7" / "model.ubj")
    assert walk.follow(HOW_TO / f"{name}.md") > 0


def test_ctrl_c_ends_it(tutorial: Tutorial) -> None:
    assert tutorial.served.supervisor is not None
    os.kill(tutorial.served.supervisor.pid, signal.SIGINT)
    assert tutorial.served.supervisor.wait(180) == 0


def test_what_was_backed_up_is_proven_and_goes_on(walk: Walk) -> None:
    assert walk.follow(HOW_TO / "back-up.md") > 0
