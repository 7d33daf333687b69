"""A version in shadow sees live requests over real HTTP, whatever it does nobody notices, and all of it is counted."""

import contextlib
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from evertrain.core.identity import VersionId
from evertrain.core.prediction import Predicted, Shadowed
from evertrain.core.routing import Arm, Route
from evertrain.monitor.health import totals
from evertrain.process.worker.candidate import Order, command
from evertrain.store.statistics import SHED, read_statistics
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.worker import RECORD, RunningWorker, until

MODEL = "def predict(rows):\n    return [0.5 if row['vip'] else row['amount'] / 1000 for row in rows]\n"
HALF = "def predict(rows):\n    return [row['amount'] / 500 for row in rows]\n"
HANGS = "import time\ndef predict(rows):\n    time.sleep(60)\n"
REQUESTS = 60


@contextlib.contextmanager
def in_shadow(
    worker: RunningWorker, champion: VersionId, body: str, *, share: float = 1.0, deadline_s: float = 30.0
) -> Iterator[VersionId]:
    """A real process of a version that sees what was answered, and a worker that knows of it."""
    installation = worker.installation
    version = installation.add(body)
    path = installation.state.socket(f"shadow-{version[:10]}-0")
    order = Order(dir=str(installation.state.path), version=version, socket=str(path), arm="shadow", need="judged")
    with subprocess.Popen(command(order)) as process:
        try:
            until(path.exists)
            arm = Arm(version=version, share=share, deadline_s=deadline_s)
            installation.route(Route(service=SHOP, champion=champion, shadow=arm, salt="r2"))
            until(lambda: worker.serves(champion))
            yield version
        finally:
            process.kill()


def load(worker: RunningWorker, count: int = REQUESTS) -> list[httpx.Response]:
    """Single rows and batches in turn, four at a time."""

    def ask(number: int) -> httpx.Response:
        row = {**RECORD, "n": number}
        body = {"rows": [row] * 3} if number % 5 == 0 else row
        return worker.client.post(f"/predict/{SHOP}", json=body, headers={"x-request-id": f"r-{number}"})

    with ThreadPoolExecutor(4) as customers:
        return list(customers.map(ask, range(count)))


def seen(worker: RunningWorker) -> list[Shadowed]:
    return [record for record in worker.records() if isinstance(record, Shadowed)]


def counted(worker: RunningWorker) -> tuple[int, int, int]:
    """Requests that a shadow answered, that it failed, and that were dropped."""
    series = read_statistics(worker.installation.state.path / "serving" / "statistics")
    arm = [one for one in series if one.label.arm == "shadow"]
    dropped = sum(one.answers for one in arm if one.label.status == SHED)
    heard = [one for one in arm if one.label.status != SHED]
    return sum(one.answers for one in heard), sum(sum(one.failures) for one in heard), dropped


def bodies(responses: list[httpx.Response]) -> list[bytes]:
    assert {response.status_code for response in responses} == {200}
    return [response.content for response in responses]


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (HALF, ""),
        ("def predict(rows):\n    raise KeyError('x')\n", "error"),
        ("def predict(rows):\n    return [float('nan') for row in rows]\n", "nan"),
        (HANGS, "deadline"),
    ],
    ids=["answers", "raises", "NaN", "hangs"],
)
def test_nobody_notices_a_shadow(tmp_path: Path, body: str, cause: str) -> None:
    """The same requests, with a shadow and without: the answers are the same bytes, ids and all."""
    answers, records = [], []
    for name in ("without", "with"):
        installation = Installation(tmp_path / name)
        champion = installation.add(MODEL)
        installation.route(Route(service=SHOP, champion=champion))
        worker = RunningWorker(installation)
        try:
            until(lambda: worker.serves(champion))  # noqa: B023 - awaited within the round
            if name == "without":
                answers.append(bodies(load(worker)))
                continue
            with in_shadow(worker, champion, body, deadline_s=0.05 if cause == "deadline" else 30.0):
                answers.append(bodies(load(worker)))
                until(lambda: sum(counted(worker)) == REQUESTS)  # noqa: B023 - awaited within the round
            records = seen(worker)
            answered, failed, dropped = counted(worker)
            assert sum(isinstance(record, Predicted) for record in worker.records()) == sum(
                3 if number % 5 == 0 else 1 for number in range(REQUESTS)
            )
        finally:
            worker.close()
    assert answers[0] == answers[1]
    assert {record.cause for record in records} == {cause}
    assert (answered if cause == "" else failed) + dropped == REQUESTS
    assert answered + failed > 0
    if cause == "":
        assert {(record.score, record.answered) for record in records} == {(0.021, 0.0105)}
        assert not any(record.otherwise for record in records)


def test_a_shadow_is_no_answer_in_any_count(worker: RunningWorker, champion: VersionId) -> None:
    with in_shadow(worker, champion, HALF) as shadow:
        load(worker, 10)
        until(lambda: sum(counted(worker)) == 10)
    series = read_statistics(worker.installation.state.path / "serving" / "statistics")
    assert totals(series, SHOP).answered == 10
    assert {record.version for record in seen(worker)} == {shadow}
    told = {record.version for record in worker.records() if isinstance(record, Predicted)}
    assert told == {champion}


def test_a_shadow_sees_its_share(worker: RunningWorker, champion: VersionId) -> None:
    with in_shadow(worker, champion, HALF, share=0.5):
        load(worker, 80)
        until(lambda: sum(counted(worker)) >= 15)
        heard = {response.headers["x-evertrain-version"] for response in load(worker, 5)}
    assert heard == {champion}
    assert 15 <= sum(counted(worker)) <= 65


def test_what_a_hanging_shadow_has_no_time_for_is_dropped_and_counted(
    worker: RunningWorker, champion: VersionId
) -> None:
    with in_shadow(worker, champion, HANGS):
        bodies(load(worker, 100))
        answered, failed, dropped = counted(worker)
        assert not seen(worker)
    assert (answered, failed) == (0, 0)
    assert dropped >= 100 - 65  # one is being asked, 64 wait


def test_a_large_batch_is_not_mirrored(worker: RunningWorker, champion: VersionId) -> None:
    with in_shadow(worker, champion, HALF):
        bodies([worker.client.post(f"/predict/{SHOP}", json={"rows": [RECORD] * 200})])
        assert counted(worker) == (0, 0, 1)
