"""Requests that must not be answered: each gets a clear refusal, nothing of it is logged, and the worker goes on."""

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from evertrain.core.prediction import Failed
from evertrain.core.routing import Route
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.worker import RECORD, RunningWorker, until

MODEL = """
def predict(rows):
    for row in rows:
        if row["amount"] == 7000:
            raise ConnectionError("db.internal: password S3CRET")
    return [float("nan") if row["amount"] > 5000 else row["n"] / 100 for row in rows]
"""
INFER = f"/v2/models/{SHOP}/infer"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    installation = Installation(tmp_path_factory.mktemp("bad requests") / "Grüße ☃ 100% #1")
    version = installation.add(MODEL)
    installation.route(Route(service=SHOP, champion=version))
    running = RunningWorker(installation)
    until(lambda: running.serves(version))
    yield running
    running.close()


@pytest.fixture(scope="module")
def hasty(worker: RunningWorker) -> Iterator[RunningWorker]:
    """Another worker, which waits two seconds for a request to come."""
    running = RunningWorker(worker.installation, "w1", EVERTRAIN_BODY_TIMEOUT_S="2")
    until(lambda: (beat := running.heartbeat()) and beat.ready)
    yield running
    running.close()


@pytest.fixture(autouse=True)
def unharmed(worker: RunningWorker) -> Iterator[None]:
    """Whatever a test sends: nothing new in the log, same process, next request answered."""
    before, pid = _answers(worker), worker.process.pid
    yield
    assert _answers(worker) == before
    assert worker.process.poll() is None
    assert worker.process.pid == pid
    assert worker.predict().status_code == 200


def _answers(worker: RunningWorker) -> int:
    return sum(not isinstance(record, Failed) for record in worker.records())


def tensors(**changed: Any) -> dict[str, Any]:
    columns = {
        "shop": ("BYTES", ["s1", "s2"]),
        "amount": ("FP64", [10.5, 20.25]),
        "n": ("INT64", [3, 4]),
        "vip": ("BOOL", [True, False]),
    }
    inputs = [{"name": n, "datatype": kind, "shape": [2, 1], "data": data} for n, (kind, data) in columns.items()]
    return {"inputs": inputs} | changed


def _connected(worker: RunningWorker, content: bytes) -> socket.socket:
    """A connection of our own, on which this was sent."""
    host, port = worker.base.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(content)
    return connection


def _raw(worker: RunningWorker, content: bytes) -> bytes:
    """What comes back until it is closed, or answers."""
    with _connected(worker, content) as connection:
        return connection.recv(65536)


def _worked(worker: RunningWorker) -> float:
    """Seconds of a processor that it has used: how long it takes says more of who else uses the machine."""
    return float(psutil.Process(worker.process.pid).cpu_times().user)


@pytest.mark.parametrize(
    "body",
    [
        b'{"shop": "s:1", "amount": 1.5, "n": 3, "vip": true, "n": 4}',
        b'{"shop": "\\":", "amount": 1.5, "n" :3, "vip": true, "\\u006e": 4}',
        b'{"rows": [{"shop": "s", "amount": 1.5, "n": 3, "vip": true}, {"n": 1, "shop": "s", "n"\t: 3}]}',
    ],
)
def test_a_column_that_comes_twice_in_a_record_is_refused_by_name(worker: RunningWorker, body: bytes) -> None:
    response = worker.client.post(f"/predict/{SHOP}", content=body)
    assert response.status_code == 400
    assert response.json()["field"] == "n"
    assert "'n' comes twice" in response.json()["what"]


def test_a_value_is_refused_as_it_was_written(worker: RunningWorker) -> None:
    for value, said in ((True, "true"), (False, "false"), ("3", "'3'")):
        reason = worker.predict(n=value).json()["what"]
        assert reason == f"Column 'n': {said} is not an int64."


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"shop": 5}, "shop"),
        ({"shop": None}, "shop"),
        ({"amount": "10"}, "amount"),
        ({"amount": True}, "amount"),
        ({"n": 3.5}, "n"),
        ({"n": 2**63}, "n"),
        ({"n": 2.0**53}, "n"),
        ({"n": "3"}, "n"),
        ({"vip": 1}, "vip"),
        ({"vip": "true"}, "vip"),
        ({"amuont": 3}, "amuont"),
    ],
)
def test_a_wrong_value_is_named(worker: RunningWorker, changed: dict[str, Any], field: str) -> None:
    response = worker.client.post(f"/predict/{SHOP}", json={**RECORD, **changed})
    said = response.json()
    assert (response.status_code, said["field"]) == (400, field)
    assert said["what"]
    assert said["remedy"]


def test_a_misspelt_column_is_answered_with_the_right_one(worker: RunningWorker) -> None:
    response = worker.client.post(f"/predict/{SHOP}", json={**RECORD, "amuont": 3})
    assert "amount" in response.json()["remedy"]


def test_a_missing_column_is_named(worker: RunningWorker) -> None:
    response = worker.client.post(f"/predict/{SHOP}", json={"rows": [RECORD, {"shop": "s1", "n": 1, "vip": True}]})
    assert (response.status_code, response.json()["field"]) == (400, "amount")
    assert "Row 1" in response.json()["what"]


@pytest.mark.parametrize("odd", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_json_number_is_refused(worker: RunningWorker, odd: str) -> None:
    body = json.dumps(tensors()).replace("20.25", odd)
    response = worker.client.post(INFER, content=body)
    assert response.status_code == 400
    assert response.json()["field"] in {"amount", "inputs[1].data[1]"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[", "body"),
        (b"{}", "body"),
        (b"[]", "body"),
        (b'"\\ud800"', "body"),
        (b"\xff\xfe", "body"),
        (b'{"inputs": []}', "inputs"),
        (b'{"inputs": 3}', "inputs"),
        (b'{"inputs": [{"name": "n"}]}', "inputs[0]"),
        (b"[" * 100_000 + b"]" * 100_000, "body"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "body"),
        (b'"' + b'\\"' * 100_000, "body"),
    ],
)
def test_what_is_no_request_is_refused(worker: RunningWorker, body: bytes, field: str) -> None:
    begun = _worked(worker)
    response = worker.client.post(INFER, content=body)
    assert (response.status_code, response.json()["field"]) == (400, field)
    assert _worked(worker) - begun < 0.5


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"datatype": "FP64"}, "n"),
        ({"shape": [3, 1]}, "n"),
        ({"shape": [2, 2]}, "n"),
        ({"shape": [1, 2]}, "n"),
        ({"data": [3]}, "n"),
        ({"data": [[3], [4, 5]]}, "n"),
        ({"data": [[3], 4]}, "n"),
        ({"data": [[[3]], [[4]]]}, "n"),
        ({"name": "m"}, "m"),
        ({"name": "vip"}, "vip"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(worker: RunningWorker, change: dict[str, Any], field: str) -> None:
    asked = tensors()
    asked["inputs"][2] |= change
    response = worker.client.post(INFER, json=asked)
    assert (response.status_code, response.json()["field"]) == (400, field)


def test_an_output_that_is_not_there_is_refused(worker: RunningWorker) -> None:
    response = worker.client.post(INFER, json=tensors(outputs=[{"name": "speed"}]))
    assert (response.status_code, response.json()["field"]) == (400, "outputs")


def test_a_score_that_is_no_number_is_a_failure(worker: RunningWorker) -> None:
    before = len(worker.records())
    response = worker.client.post(f"/predict/{SHOP}", json={**RECORD, "amount": 6000})
    assert response.status_code == 500
    assert "score is nan" in response.json()["what"]
    [failed] = worker.records()[before:]
    assert isinstance(failed, Failed)
    assert failed.cause == "nan"


def test_what_a_model_raises_is_on_record_and_not_told_to_clients(worker: RunningWorker) -> None:
    before = len(worker.records())
    response = worker.client.post(f"/predict/{SHOP}", json={**RECORD, "amount": 7000})
    assert response.status_code == 500
    assert response.json()["what"].endswith("could not answer: predict raised ConnectionError.")
    assert "S3CRET" not in response.text
    [failed] = worker.records()[before:]
    assert isinstance(failed, Failed)
    assert failed.detail == "predict raised ConnectionError: db.internal: password S3CRET"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v3", 404),
        ("POST", "/predict/nobody", 404),
        ("GET", "/v2/models/nobody", 404),
        ("GET", f"/predict/{SHOP}", 405),
        ("POST", "/v2", 405),
        ("GET", "/predict/", 404),
        ("POST", f"/v2/models/{SHOP}/explain", 404),
    ],
)
def test_a_wrong_path_or_method_says_so(worker: RunningWorker, method: str, path: str, status: int) -> None:
    response = worker.client.request(method, path)
    assert response.status_code == status
    assert response.json()["remedy"]


# Compressed, large, slow ---------------------------------------------------------------------------------------------


def test_other_compressions_are_refused_with_what_is_taken(worker: RunningWorker) -> None:
    response = worker.client.post(INFER, content=b"x", headers={"content-encoding": "br"})
    assert response.status_code == 415
    assert "gzip" in response.json()["remedy"]


@pytest.mark.parametrize("body", [b"plain", gzip.compress(b"{}", mtime=0)[:-4], gzip.compress(b"{}", mtime=0) * 2])
def test_a_broken_gzip_stream_is_refused(worker: RunningWorker, body: bytes) -> None:
    response = worker.client.post(INFER, content=body, headers={"content-encoding": "gzip"})
    assert response.status_code == 400


def test_a_compressed_bomb_is_refused_within_the_limit_of_memory(worker: RunningWorker) -> None:
    bomb = gzip.compress(bytes(200 << 20), compresslevel=9)
    process = psutil.Process(worker.process.pid)
    before = process.memory_info().rss
    response = worker.client.post(INFER, content=bomb, headers={"content-encoding": "gzip"})
    assert response.status_code == 413
    assert "4194304" in response.json()["what"]
    assert process.memory_info().rss - before < 16 << 20


def test_a_body_over_the_limit_is_refused_by_its_announcement(worker: RunningWorker) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n".encode()
    assert b" 413 " in _raw(worker, head)


def test_an_endless_body_is_refused_at_the_limit(worker: RunningWorker) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(1 << 20)

    try:
        status = worker.client.post(INFER, content=chunks()).status_code
    except (httpx.WriteError, httpx.ReadError):  # closed while we were still sending
        status = 413
    worker.reconnect()
    assert status == 413


def test_too_many_rows_are_refused(worker: RunningWorker) -> None:
    response = worker.client.post(f"/predict/{SHOP}", json={"rows": [{}] * 10_001})
    assert response.status_code == 413
    assert "10000" in response.json()["what"]


@pytest.mark.parametrize(
    "head", ["content-length: 5\r\ncontent-length: 6\r\n", "content-length: 5\r\ntransfer-encoding: chunked\r\n"]
)
def test_two_lengths_are_refused(worker: RunningWorker, head: str) -> None:
    request = f"POST {INFER} HTTP/1.1\r\nhost: x\r\n{head}\r\n12345".encode()
    assert b" 400 " in _raw(worker, request)


def test_stalled_clients_are_let_go_and_disturb_nobody(hasty: RunningWorker) -> None:
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n12".encode()
    stalled = [_connected(hasty, head) for _ in range(400)]
    statuses: list[int] = []

    def ask() -> None:
        with httpx.Client(base_url=hasty.base, timeout=60) as client:
            statuses.extend(client.get("/v2/health/live").status_code for _ in range(100))

    thread = threading.Thread(target=ask)
    thread.start()
    answers = [connection.recv(4096) for connection in stalled]
    thread.join()
    for connection in stalled:
        connection.close()
    assert set(statuses) == {200}
    assert all(b" 408 " in answer for answer in answers)


def test_a_head_that_never_ends_is_told_so_and_a_client_that_says_nothing_is_closed(hasty: RunningWorker) -> None:
    with (
        _connected(hasty, b"POST /predict/shop HTTP/1.1\r\nhost: x\r\nx-slow: ") as slow,
        _connected(hasty, b"") as silent,
    ):
        assert slow.recv(65536).startswith(b"HTTP/1.1 408 ")
        assert silent.recv(65536) == b""


def test_labels_that_are_none_are_named(worker: RunningWorker) -> None:
    from evertrain.store.access import token

    headers = {"authorization": f"Bearer {token('data', worker.installation.state.keys)}"}
    for label, field in [
        ({"value": 1}, "labels[0]"),
        ({"value": 1, "key": "k", "prediction_id": "p"}, "labels[0]"),
        ({"value": "perhaps", "key": "k"}, "labels[0].value"),
        ({"value": 7, "key": "k"}, "labels[0].value"),
        ({"value": 0.5, "key": "k"}, "labels[0].value"),
        ({"value": None, "key": "k"}, "labels[0].value"),
        ({"value": 1, "key": "k", "known_at": "2024-01-01T00:00:00"}, "labels[0].known_at"),
        ({"value": 1, "key": "k", "when": "now"}, "labels[0]"),
    ]:
        response = worker.client.post(f"/labels/{SHOP}", json={"labels": [label]}, headers=headers)
        assert (response.status_code, response.json()["field"]) == (400, field), label
    wrong = worker.client.post(f"/labels/{SHOP}", json={"labels": []}, headers={"authorization": "Bearer nonsense"})
    assert wrong.status_code == 401
    assert "control/keys/token-data" in wrong.json()["remedy"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"%s": 1}' % (b"k" * 3_000_000),
        b'{"shop": "%s", "amount": "x", "n": 1, "vip": true}' % (b"s" * 3_000_000),
        json.dumps(tensors(outputs=[{"name": "o" * 3_000_000}])).encode(),
        json.dumps({"inputs": [{"name": "k" * 3_000_000, "datatype": "FP64", "shape": [1], "data": [1]}]}).encode(),
    ],
    ids=["name", "value", "output", "tensor"],
)
def test_megabytes_in_one_word_are_refused_at_once_and_in_few_words(worker: RunningWorker, content: bytes) -> None:
    """To look for a name that is near takes seconds, in which nobody else would be answered."""
    begun = _worked(worker)
    path = INFER if b'"inputs"' in content else f"/predict/{SHOP}"
    response = worker.client.post(path, content=content)
    assert response.status_code == 400
    assert len(response.content) < 10_000
    assert _worked(worker) - begun < 0.5
