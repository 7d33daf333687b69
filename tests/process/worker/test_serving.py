"""A real worker process, over real HTTP."""

import asyncio
import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import httpx
import pytest

from evertrain.core.identity import VersionId
from evertrain.core.prediction import Failed, Labelled, Predicted, SeenArm
from evertrain.core.routing import Arm, Route, RoutingTable
from evertrain.core.time import Moment
from evertrain.store.access import token
from evertrain.store.routing import RoutingFile
from evertrain.store.statistics import SHED, read_statistics
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.tree import Customer
from evertrain.testing.worker import RECORD, RunningWorker, on_trial, until

JSON = {"content-type": "application/json"}
BETTER = "def predict(rows):\n    return [0.25 for row in rows]\n"


def test_a_prediction_names_its_version_and_is_in_the_log_when_it_arrives(
    worker: RunningWorker, champion: VersionId
) -> None:
    response = worker.predict()
    assert response.status_code == 200
    [answer] = response.json()["predictions"]
    assert answer["score"] == 0.0105
    assert answer["version"] == response.headers["x-evertrain-version"] == champion
    [record] = worker.records()
    assert isinstance(record, Predicted)
    assert (record.id, record.score, record.row) == (answer["id"], 0.0105, ("s1", 10.5, 3, False))
    assert (record.vector, record.inputs) == ((), record.row), "what the model takes as it is stands in the log once"
    assert record.id == response.headers["x-evertrain-prediction"]


def test_a_retry_is_the_same_prediction(worker: RunningWorker) -> None:
    first = worker.client.post(f"/predict/{SHOP}", json=RECORD, headers={"x-request-id": "r-1"})
    again = worker.client.post(f"/predict/{SHOP}", json=RECORD, headers={"x-request-id": "r-1"})
    assert first.json() == again.json()
    records = [record for record in worker.records() if isinstance(record, Predicted)]
    assert [(record.retry, record.id) for record in records] == [
        (False, first.json()["predictions"][0]["id"]),
        (True, first.json()["predictions"][0]["id"]),
    ]


def test_a_swap_takes_two_phases_and_fails_no_request(
    worker: RunningWorker, installation: Installation, champion: VersionId
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


def test_a_declared_service_without_a_version_is_known_and_answers_nothing_yet(
    worker: RunningWorker, installation: Installation, champion: VersionId
) -> None:
    installation.route(Route(service=SHOP))
    until(lambda: worker.predict().status_code == 503)
    told = worker.predict()
    assert told.json()["what"] == f"Service '{SHOP}' does not answer: No version is in service yet."
    assert "evertrain status" in told.json()["remedy"]
    assert told.headers["retry-after"] == "1"
    assert worker.client.get("/v2/health/ready").json() == {"ready": False, "waiting": [SHOP]}
    table = RoutingFile(installation.state.routing)
    table.publish(RoutingTable(generation=table.read().generation + 1, routes={}))  # no service is declared
    until(lambda: worker.predict().status_code == 404)
    unready = worker.client.get("/v2/health/ready")
    assert (unready.status_code, unready.json()) == (503, {"ready": False, "waiting": []})


def test_a_version_that_nobody_judged_is_not_served(
    worker: RunningWorker, installation: Installation, champion: VersionId
) -> None:
    unjudged = installation.add(BETTER, verdict=None)
    installation.route(Route(service=SHOP, champion=unjudged, previous=champion))
    beat = until(lambda: (found := worker.heartbeat()) and unjudged in found.failed and found)
    assert "not judged" in beat.failed[unjudged]
    assert worker.predict().json()["predictions"][0]["version"] == champion


def test_for_a_canary_that_is_not_there_yet_the_champion_answers_and_nothing_is_held_against_it(
    worker: RunningWorker, installation: Installation, champion: VersionId
) -> None:
    canary = installation.add(BETTER)
    arm = Arm(version=canary, share=1.0, deadline_s=5)
    installation.route(Route(service=SHOP, champion=champion, canary=arm))
    until(lambda: worker.serves(champion))
    response = worker.predict()
    assert (response.status_code, response.headers["x-evertrain-version"]) == (200, champion)
    [predicted] = worker.records()
    assert isinstance(predicted, Predicted)
    assert (predicted.arm, predicted.assigned) == ("champion", "canary")


def test_labels_need_the_token_and_reach_the_log(
    worker: RunningWorker, installation: Installation, champion: VersionId
) -> None:
    body = {"labels": [{"key": "k", "value": 1, "known_at": "2024-01-01T00:00:00Z"}]}
    refused = worker.client.post(f"/labels/{SHOP}", json=body)
    assert (refused.status_code, refused.json()["field"]) == (401, "authorization")
    headers = {"authorization": f"Bearer {token('data', installation.state.keys)}"}
    assert worker.client.post(f"/labels/{SHOP}", json=body, headers=headers).json() == {"taken": 1}
    [label] = worker.records()
    assert isinstance(label, Labelled)
    assert (label.key, label.value) == ("k", 1.0)
    table = installation.route(Route(service=SHOP, champion=champion, certain=Moment.parse("at + 30d")))
    until(lambda: (beat := worker.heartbeat()) and beat.generation >= table.generation)
    told = worker.client.post(f"/labels/{SHOP}", json=body, headers=headers).json()
    assert (told["taken"], told["certain_from"], [*told]) == (1, "at + 30d", ["taken", "certain_from", "all_by"])


def test_a_stopping_worker_answers_what_is_in_hand_and_closes(worker: RunningWorker) -> None:
    worker.predict()
    worker.process.send_signal(signal.SIGTERM)
    statuses = []

    def closed() -> bool:
        response = worker.predict()
        statuses.append(response.status_code)
        return bool(response.headers.get("connection") == "close")

    until(closed)
    assert set(statuses) == {200}
    assert worker.process.wait(180) == 0
    assert len(worker.records()) == len(statuses) + 1
    assert list((worker.installation.state.log / "w0").glob(".next")) == []


def test_a_killed_worker_loses_nothing_that_it_answered(worker: RunningWorker, champion: VersionId) -> None:
    answered = [worker.predict(n=number).json()["predictions"][0]["id"] for number in range(50)]
    worker.process.kill()
    worker.process.wait()
    worker.reconnect()
    assert [record.id for record in worker.records() if isinstance(record, Predicted)] == answered
    worker.process = worker.start()
    until(lambda: worker.serves(champion))
    assert worker.predict().status_code == 200
    assert len(worker.records()) == 51


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("raise KeyError('x')", "error"),
        ("return [float('nan') for row in rows]", "nan"),
        ("return [7.0 for row in rows]", "range"),
        ("import time; time.sleep(60)", "deadline"),
        ("import ctypes; ctypes.string_at(0)", "crash"),
    ],
)
def test_whatever_a_canary_does_the_champion_answers_and_the_cause_is_on_record(
    worker: RunningWorker, installation: Installation, champion: VersionId, body: str, cause: str
) -> None:
    canary = installation.add(f"def predict(rows):\n    {body}\n")
    with on_trial(installation, canary, deadline_s=1.0 if cause == "deadline" else 30.0) as arm:
        installation.route(Route(service=SHOP, champion=champion, canary=arm))
        until(lambda: worker.serves(champion))
        response = worker.fails()
    assert (response.status_code, response.headers["x-evertrain-version"]) == (200, champion)
    failed, predicted = worker.records()[-2:]
    assert isinstance(failed, Failed)
    assert isinstance(predicted, Predicted)
    assert (failed.version, failed.cause, predicted.assigned) == (canary, cause, "canary")


def test_a_good_canary_answers_its_share(
    worker: RunningWorker, installation: Installation, champion: VersionId
) -> None:
    canary = installation.add(BETTER)
    with on_trial(installation, canary) as arm:
        installation.route(Route(service=SHOP, champion=champion, canary=arm))
        until(lambda: worker.serves(champion))
        response = worker.client.post(f"/predict/{SHOP}", json={"rows": [RECORD] * 5})
    assert response.headers["x-evertrain-version"] == canary
    assert {answer["score"] for answer in response.json()["predictions"]} == {0.25}
    assert {(record.arm, record.version) for record in worker.records() if isinstance(record, Predicted)} == {
        ("canary", canary)
    }


def test_a_whole_float_is_the_integer_that_it_says(worker: RunningWorker) -> None:
    whole, as_float = (worker.predict(n=value).json() for value in (3, 3.0))
    assert whole["predictions"][0]["score"] == as_float["predictions"][0]["score"]


def serving(installation: Installation, champion: VersionId, **settings: str) -> Iterator[RunningWorker]:
    running = RunningWorker(installation, **settings)
    until(lambda: running.serves(champion))
    yield running
    running.close()


@pytest.fixture
def crowded(installation: Installation, champion: VersionId) -> Iterator[RunningWorker]:
    """A worker in which four requests may wait."""
    yield from serving(installation, champion, EVERTRAIN_MAX_CONCURRENCY="4")


def shed(worker: RunningWorker) -> dict[SeenArm, int]:
    """Requests for which an arm had no place or no time."""
    series = read_statistics(worker.installation.state.path / "serving" / "statistics")
    return {one.label.arm: one.answers for one in series if one.label.status == SHED}


def test_trials_give_way_before_anybody_is_refused(
    crowded: RunningWorker, installation: Installation, champion: VersionId
) -> None:
    """Everybody is on a canary that hangs: two wait for it, and the champion answers all others at once."""
    canary = installation.add("import time\ndef predict(rows):\n    time.sleep(5)\n")
    with on_trial(installation, canary, deadline_s=4.0) as arm:  # within which all twelve have come
        installation.route(Route(service=SHOP, champion=champion, canary=arm))
        until(lambda: crowded.serves(champion))
        customers = [HTTPConnection(crowded.client.base_url.host, crowded.client.base_url.port) for _ in range(12)]
        for customer in customers:
            customer.request("GET", "/v2/health/live")
            customer.getresponse().read()
        crowded.process.send_signal(signal.SIGSTOP)  # so that all are read in one turn of its event loop
        for number, customer in enumerate(customers):
            customer.request("POST", f"/predict/{SHOP}", json.dumps({**RECORD, "n": number}), JSON)
        crowded.process.send_signal(signal.SIGCONT)
        answers = [customer.getresponse() for customer in customers]
        for customer in customers:
            customer.close()
    assert {answer.status for answer in answers} == {200}
    assert {answer.headers["x-evertrain-version"] for answer in answers} == {champion}
    records = crowded.records()
    assert sum(isinstance(record, Failed) for record in records) == 2
    assert sum(isinstance(record, Predicted) for record in records) == 12
    assert shed(crowded) == {"canary": 10}


def test_a_batch_too_many_is_refused_and_single_rows_are_answered_beside(
    crowded: RunningWorker, installation: Installation
) -> None:
    slow = installation.add("import time\ndef predict(rows):\n    time.sleep(0.05)\n    return [0.5 for _ in rows]\n")
    installation.route(Route(service=SHOP, champion=slow))
    until(lambda: crowded.serves(slow))
    batch = {"rows": [RECORD] * 1000}  # in eight turns
    with ThreadPoolExecutor(8) as customers:
        batches = [customers.submit(crowded.client.post, f"/predict/{SHOP}", json=batch) for _ in range(8)]
        single = crowded.predict()
        answers = [one.result() for one in batches]
    assert single.status_code == 200
    refused = [answer for answer in answers if answer.status_code != 200]
    assert {answer.status_code for answer in refused} == {503}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert shed(crowded) == {"champion": len(refused)}
    assert len(crowded.records()) == 1 + 1000 * (len(answers) - len(refused))


def test_a_deadline_is_kept(crowded: RunningWorker, installation: Installation, champion: VersionId) -> None:
    """Who waits half a second is answered by the champion before that, and the canary, which had two, is not blamed."""
    canary = installation.add("import time\ndef predict(rows):\n    time.sleep(3)\n")
    with on_trial(installation, canary) as arm:
        installation.route(Route(service=SHOP, champion=champion, canary=arm))
        until(lambda: crowded.serves(champion))
        asked: list[httpx.Response] = []

        def in_time() -> bool:
            """A machine that stands still for half a second lets nobody answer before that: it is asked again."""
            ask = {"x-evertrain-timeout-ms": "500"}
            asked.append(crowded.client.post(f"/predict/{SHOP}", json=RECORD, headers=ask))
            return asked[-1].status_code == 200

        until(in_time)
    assert {late.status_code for late in asked[:-1]} <= {504}
    assert asked[-1].headers["x-evertrain-version"] == champion
    assert [type(record) for record in crowded.records()] == [Predicted]
    assert 1 <= shed(crowded)["canary"] <= len(asked)


def test_an_answer_that_comes_too_late_is_not_made(crowded: RunningWorker, installation: Installation) -> None:
    slow = installation.add("import time\ndef predict(rows):\n    time.sleep(0.05)\n    return [0.5 for _ in rows]\n")
    installation.route(Route(service=SHOP, champion=slow))
    until(lambda: crowded.serves(slow))
    ask = {"x-envoy-expected-rq-timeout-ms": "60"}
    late = crowded.client.post(f"/predict/{SHOP}", json={"rows": [RECORD] * 1000}, headers=ask)
    assert (late.status_code, late.headers["retry-after"]) == (504, "1")
    assert "deadline" in late.json()["what"]
    assert crowded.records() == []
    odd = crowded.client.post(f"/predict/{SHOP}", json=RECORD, headers={"x-evertrain-timeout-ms": "soon"})
    assert (odd.status_code, odd.json()["field"]) == (400, "x-evertrain-timeout-ms")


def test_the_wait_in_front_of_a_busy_worker_counts(crowded: RunningWorker, installation: Installation) -> None:
    """Twelve ask at once what takes 50 ms each: who waits 200 ms at most is told so, and the others are answered."""
    slow = installation.add("import time\ndef predict(rows):\n    time.sleep(0.05)\n    return [0.5 for _ in rows]\n")
    installation.route(Route(service=SHOP, champion=slow))
    until(lambda: crowded.serves(slow))
    patient = [Customer(int(crowded.base.rpartition(":")[2]), f"/predict/{SHOP}", RECORD) for _ in range(12)]
    for customer in patient:
        customer.start()
    hurried = {"x-evertrain-timeout-ms": "200"}
    until(lambda: crowded.client.post(f"/predict/{SHOP}", json=RECORD, headers=hurried).status_code == 504)
    with ThreadPoolExecutor(len(patient)) as stopping:
        list(stopping.map(Customer.stop, patient))
    assert all(customer.answers and not customer.failures for customer in patient)
    until(lambda: crowded.client.post(f"/predict/{SHOP}", json=RECORD, headers=hurried).status_code == 200)


@pytest.fixture
def hasty(installation: Installation, champion: VersionId) -> Iterator[RunningWorker]:
    """A worker that waits two seconds for a request to come."""
    yield from serving(installation, champion, EVERTRAIN_BODY_TIMEOUT_S="2")


def test_slow_clients_hold_nobody_up_and_are_let_go(hasty: RunningWorker) -> None:
    """A hundred send their request a byte at a time; others are answered meanwhile, and the slow ones are told so."""
    port = int(hasty.base.rpartition(":")[2])

    async def dawdle() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = asyncio.create_task(reader.read(12))
        for byte in b"POST /predict/shop HTTP/1.1\r\nx-slow: " + b"a" * 10_000:
            writer.write(bytes([byte]))
            done, _ = await asyncio.wait([answer], timeout=0.1)
            if done:
                break
        writer.close()
        return answer.result()

    async def dawdle_all() -> list[bytes]:
        return await asyncio.gather(*(dawdle() for _ in range(100)))

    customer = Customer(port, "/predict/shop", RECORD)
    customer.start()
    until(lambda: customer.answers)
    told = asyncio.run(dawdle_all())  # it would take a thousand seconds
    customer.stop()
    assert len(customer.answers) > 20  # held up by one of them, it would get none for two seconds
    assert customer.failures == []
    assert set(told) == {b"HTTP/1.1 408"}
