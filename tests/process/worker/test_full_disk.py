"""A worker on a disk that fills up: who gives way, in which order, and that it all comes back by itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from evertrain.core.identity import VersionId
from evertrain.core.prediction import Predicted
from evertrain.core.routing import Arm, Route
from evertrain.monitor.health import expose_room
from evertrain.process.view.advice import Advice, advise
from evertrain.process.view.situation import look_at
from evertrain.store.room import Room
from evertrain.store.statistics import SHED, read_statistics
from evertrain.testing.disk import SmallDisk, small_disk
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.worker import RECORD, RunningWorker, on_trial, until

MODEL = "def predict(rows):\n    return [0.5 for row in rows]\n"
MIB = 1 << 20


class Asked:
    """A worker with a version on trial that everybody is sent to, and what it answered."""

    def __init__(self, worker: RunningWorker, champion: VersionId, arm: Arm) -> None:
        self.worker, self.champion, self.arm = worker, champion, arm
        self.answered: list[str] = []

    def ask(self, rows: int = 1) -> httpx.Response:
        response = self.worker.client.post(f"/predict/{SHOP}", json={"rows": [RECORD] * rows})
        if response.status_code == 200:
            self.answered += [one["id"] for one in response.json()["predictions"]]
        return response

    def by(self) -> str:
        """Who answers a request."""
        return str(self.ask().headers["x-evertrain-version"])

    def room(self) -> Room:
        beat = self.worker.heartbeat()
        assert beat is not None
        return beat.room

    def advice(self) -> Advice:
        found = advise(look_at(self.worker.installation.state))
        return next(one for one in found if "prediction log" in one.what)

    def shed(self) -> int:
        series = read_statistics(self.worker.installation.state.path / "serving" / "statistics")
        return sum(one.answers for one in series if one.label.status == SHED and one.label.arm == "canary")

    def fill(self, *, until_level: str) -> httpx.Response:
        """Ask for much until the room is said to be so scarce; the last response."""
        response = self.ask(500)
        while self.room().level != until_level:
            response = self.ask(500)
        return response


@pytest.fixture
def disk(mounting: None, tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 24 * MIB) as found:
        yield found


@pytest.fixture
def asked(disk: SmallDisk) -> Iterator[Asked]:
    installation = Installation(disk.folder / "state")
    champion, canary = installation.add(MODEL), installation.add(MODEL.replace("0.5", "0.25"))
    with on_trial(installation, canary) as arm:
        installation.route(Route(service=SHOP, champion=champion, canary=arm))
        worker = RunningWorker(installation, EVERTRAIN_MIN_FREE_MB="2", EVERTRAIN_WARN_FREE_MB="6")
        until(lambda: worker.serves(champion))
        yield Asked(worker, champion, arm)
        worker.close()


def said(response: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = response.json()
    return found


def test_people_are_told_then_trials_give_way_then_requests_are_refused_and_all_comes_back(
    disk: SmallDisk, asked: Asked
) -> None:
    pid = asked.worker.process.pid
    disk.leave(12 * MIB)
    until(lambda: asked.room().level == "enough")
    assert asked.by() == asked.arm.version

    disk.leave(5 * MIB)
    until(lambda: asked.room().level == "low")
    assert asked.advice().what.startswith("Room for the prediction log is low: 5 MiB are free at ")
    assert not asked.advice().urgent
    assert asked.by() == asked.arm.version

    disk.leave(5 * MIB // 2)  # not enough for a segment above `min_free_mb`
    asked.fill(until_level="short")
    before = asked.shed()
    assert (asked.by(), asked.shed()) == (asked.champion, before + 1)
    assert "versions on trial get no requests" in asked.advice().what

    refused = asked.fill(until_level="full")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert said(refused)["what"] == "There is no room to put an answer on record, and nothing is answered without."
    assert str(disk.folder) not in refused.text
    assert "No room for a log segment" in asked.advice().what
    assert asked.advice().urgent
    assert expose_room({"w0": asked.room()}).splitlines()[-1] == 'evertrain_log_scarcity{process="w0"} 3'
    assert asked.worker.client.get("/v2/health/live").status_code == 200

    disk.leave(0)  # somebody else takes the rest
    sign = asked.worker.installation.state.processes / "w0.json"
    seen = sign.stat().st_mtime_ns
    until(lambda: sign.stat().st_mtime_ns != seen)
    assert asked.ask(500).status_code == 503

    disk.leave(12 * MIB)
    until(lambda: asked.room().level == "enough")
    assert asked.by() == asked.arm.version
    assert (asked.worker.process.pid, asked.worker.process.poll()) == (pid, None)
    logged = [record.id for record in asked.worker.records() if isinstance(record, Predicted)]
    assert logged == asked.answered


def test_a_worker_that_comes_back_on_a_full_disk_says_so_until_there_is_room(disk: SmallDisk, asked: Asked) -> None:
    disk.leave(5 * MIB // 2)  # not enough for a segment above `min_free_mb`
    asked.fill(until_level="full")
    asked.worker.process.kill()
    asked.worker.process.wait()
    disk.leave(2 * MIB)
    asked.worker.process = asked.worker.start()
    asked.worker.reconnect()
    until(lambda: asked.worker.serves(asked.champion))
    assert asked.ask().status_code == 503
    disk.leave(12 * MIB)
    until(lambda: asked.ask().status_code == 200)
    logged = [record.id for record in asked.worker.records() if isinstance(record, Predicted)]
    assert logged == asked.answered


def test_a_batch_that_no_segment_holds_is_too_large_whatever_room_there_is(asked: Asked) -> None:
    """To send it again in a moment would help nobody."""
    response = asked.ask(9_000)
    assert response.status_code == 413
    assert "retry-after" not in response.headers
    assert "do not fit in a segment of the prediction log, which has 1048576" in said(response)["what"]
    assert said(response)["remedy"] == "Send fewer rows in one request, or set a larger segment_mb."
    assert asked.worker.records() == []
    assert asked.ask(1_000).status_code == 200
