"""A real worker process, over real HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from evertrain.core.identity import VersionId
from evertrain.core.prediction import Failed, Labelled, Predicted
from evertrain.core.routing import Arm, Route
from evertrain.store.access import token
from evertrain.store.log import LogReader
from evertrain.store.process import Heartbeat, heartbeats
from evertrain.testing.installation import SHOP, Installation

MODEL = "def predict(rows):\n    return [0.5 if row['vip'] else row['amount'] / 1000 for row in rows]\n"
BETTER = "def predict(rows):\n    return [0.25 for row in rows]\n"
RECORD = {"shop": "s1", "amount": 10.5, "n": 3, "vip": False}


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for a condition; the value that fulfilled it."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, "the condition never came true"
        os.sched_yield()


class Running:
    """A worker of an installation, and its clients' view."""

    def __init__(self, installation: Installation, name: str = "w0") -> None:
        self.installation = installation
        self.name = name
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.process = self.start()
        self.client = httpx.Client(base_url=self.base, timeout=20)

    def start(self) -> subprocess.Popen[bytes]:
        handle = self._listener.fileno()
        state = self.installation.state.path
        command = [sys.executable, "-m", "evertrain.process.serving", "--dir", str(state)]
        command += ["--name", self.name, "--fd", str(handle)]
        return subprocess.Popen(
            command, pass_fds=[handle], env=os.environ | {"EVERTRAIN_SEGMENT_MB": "1", "EVERTRAIN_BODY_TIMEOUT_S": "1"}
        )

    def heartbeat(self) -> Heartbeat | None:
        found = [beat for beat in heartbeats(self.installation.state) if beat.name == self.name]
        return found[0] if found and found[0].pid == self.process.pid else None

    def serves(self, version: VersionId) -> bool:
        beat = self.heartbeat()
        table = json.loads(self.installation.state.routing.read_bytes())
        return beat is not None and version in beat.ready and beat.generation == table["generation"]

    def predict(self, **named: Any) -> httpx.Response:
        return self.client.post(f"/predict/{SHOP}", json={**RECORD, **named})

    def records(self) -> list[Any]:
        with LogReader(self.installation.state.log) as reader:
            return [record for _, record in reader.tail({})]

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self._listener.close()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "state")


@pytest.fixture
def champion(installation: Installation) -> VersionId:
    version = installation.add(MODEL)
    installation.route(Route(service=SHOP, champion=version))
    return version


@pytest.fixture
def worker(installation: Installation, champion: VersionId) -> Iterator[Running]:
    running = Running(installation)
    until(lambda: running.serves(champion))
    yield running
    running.close()


def test_a_prediction_names_its_version_and_is_in_the_log_when_it_arrives(worker: Running, champion: VersionId) -> None:
    response = worker.predict()
    assert response.status_code == 200
    [answer] = response.json()["predictions"]
    assert answer["score"] == 0.0105
    assert answer["version"] == response.headers["x-evertrain-version"] == champion
    [record] = worker.records()
    assert isinstance(record, Predicted)
    assert (record.id, record.score, record.row) == (answer["id"], 0.0105, ("s1", 10.5, 3, False))
    assert record.id == response.headers["x-evertrain-prediction"]


def test_a_retry_is_the_same_prediction(worker: Running) -> None:
    first = worker.client.post(f"/predict/{SHOP}", json=RECORD, headers={"x-request-id": "r-1"})
    again = worker.client.post(f"/predict/{SHOP}", json=RECORD, headers={"x-request-id": "r-1"})
    assert first.json() == again.json()
    assert [(record.retry, record.id) for record in worker.records()] == [
        (False, first.json()["predictions"][0]["id"]),
        (True, first.json()["predictions"][0]["id"]),
    ]


def test_a_swap_takes_two_phases_and_fails_no_request(
    worker: Running, installation: Installation, champion: VersionId
) -> None:
    better = installation.add(BETTER)
    installation.route(Route(service=SHOP, champion=champion, prepare=(better,)))
    until(lambda: worker.serves(better))
    assert worker.predict().json()["predictions"][0]["version"] == champion
    installation.route(Route(service=SHOP, champion=better, previous=champion))
    seen: list[httpx.Response] = []

    def flipped() -> bool:
        seen.append(worker.predict())
        return bool(seen[-1].headers["x-evertrain-version"] == better)

    until(flipped)
    assert {response.status_code for response in seen} == {200}
    assert seen[-1].json()["predictions"][0]["score"] == 0.25
    until(lambda: worker.serves(champion))  # it stays, so that going back is one flip


def test_a_version_that_nobody_judged_is_not_served(
    worker: Running, installation: Installation, champion: VersionId
) -> None:
    unjudged = installation.add(BETTER, verdict=None)
    installation.route(Route(service=SHOP, champion=unjudged, previous=champion))
    beat = until(lambda: (found := worker.heartbeat()) and unjudged in found.failed and found)
    assert "not judged" in beat.failed[unjudged]
    assert worker.predict().json()["predictions"][0]["version"] == champion


def test_a_canary_that_does_not_answer_is_answered_for_by_the_champion(
    worker: Running, installation: Installation, champion: VersionId
) -> None:
    canary = installation.add(BETTER)
    arm = Arm(version=canary, share=1.0, deadline_s=5)
    installation.route(Route(service=SHOP, champion=champion, canary=arm))
    until(lambda: worker.serves(champion))
    response = worker.predict()
    assert (response.status_code, response.headers["x-evertrain-version"]) == (200, champion)
    failed, predicted = worker.records()[-2:]
    assert isinstance(failed, Failed)
    assert (failed.version, failed.arm, failed.cause) == (canary, "canary", "crash")
    assert (predicted.arm, predicted.assigned) == ("champion", "canary")


def test_labels_need_the_token_and_reach_the_log(worker: Running, installation: Installation) -> None:
    body = {"labels": [{"key": "k", "value": 1, "known_at": "2024-01-01T00:00:00Z"}]}
    refused = worker.client.post(f"/labels/{SHOP}", json=body)
    assert (refused.status_code, refused.json()["field"]) == (401, "authorization")
    headers = {"authorization": f"Bearer {token('data', installation.state.keys)}"}
    assert worker.client.post(f"/labels/{SHOP}", json=body, headers=headers).json() == {"taken": 1}
    [label] = worker.records()
    assert isinstance(label, Labelled)
    assert (label.key, label.value) == ("k", 1.0)


def test_a_stopping_worker_answers_what_is_in_hand_and_closes(worker: Running) -> None:
    worker.predict()
    worker.process.send_signal(signal.SIGTERM)
    statuses = []

    def closed() -> bool:
        response = worker.predict()
        statuses.append(response.status_code)
        return bool(response.headers.get("connection") == "close")

    until(closed)
    assert set(statuses) == {200}
    assert worker.process.wait(20) == 0
    assert len(worker.records()) == len(statuses) + 1
    assert list((worker.installation.state.log / "w0").glob(".next")) == []


def test_a_killed_worker_loses_nothing_that_it_answered(worker: Running, champion: VersionId) -> None:
    answered = [worker.predict(n=number).json()["predictions"][0]["id"] for number in range(50)]
    worker.process.kill()
    worker.process.wait()
    worker.client.close()
    worker.client = httpx.Client(base_url=worker.base, timeout=20)
    assert [record.id for record in worker.records()] == answered
    worker.process = worker.start()
    until(lambda: worker.serves(champion))
    assert worker.predict().status_code == 200
    assert len(worker.records()) == 51
