"""The Open Inference Protocol V2 over real HTTP: all allowed forms of one request give the same answer."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evertrain.core.model import Output
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.routing import Route
from evertrain.store import access
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.worker import RunningWorker, until

MODEL = (
    "def predict(rows):\n"
    "    return [0.1 + (len(row['shop']) + row['amount'] + row['n'] + row['vip']) / 1000 for row in rows]\n"
)
INFER = f"/v2/models/{SHOP}/infer"
COLUMNS: dict[str, tuple[str, list[Any]]] = {
    "shop": ("BYTES", ["s1", "s20"]),
    "amount": ("FP64", [10.5, 20.25]),
    "n": ("INT64", [3, 4]),
    "vip": ("BOOL", [True, False]),
}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    installation = Installation(tmp_path_factory.mktemp("protocol") / "state")
    version = installation.add(MODEL)
    installation.route(Route(service=SHOP, champion=version))
    running = RunningWorker(installation)
    until(lambda: running.serves(version))
    yield running
    running.close()


def tensors(shape: tuple[int, ...] = (2, 1), *, nested: bool = False, reverse: bool = False) -> dict[str, Any]:
    inputs = [
        {"name": name, "datatype": kind, "shape": shape, "data": [[value] for value in data] if nested else data}
        for name, (kind, data) in COLUMNS.items()
    ]
    return {"id": "a-1", "inputs": inputs[::-1] if reverse else inputs}


def scores(answer: dict[str, Any]) -> list[float]:
    [output] = [output for output in answer["outputs"] if output["name"] == "score"]
    assert output["datatype"] == "FP64"
    assert output["shape"] == [2]
    return list(output["data"])


def test_flat_nested_vector_and_reordered_tensors_give_the_same_scores(worker: RunningWorker) -> None:
    forms = [tensors(), tensors(nested=True), tensors((2,)), tensors(reverse=True)]
    answers = [worker.client.post(INFER, json=form).json() for form in forms]
    assert all(scores(answer) == scores(answers[0]) for answer in answers)
    assert scores(answers[0])[0] != scores(answers[0])[1]


def test_plain_records_give_the_same_scores(worker: RunningWorker) -> None:
    rows = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*(v for _, v in COLUMNS.values()), strict=True)]
    plain = worker.client.post(f"/predict/{SHOP}", json={"rows": rows}).json()
    assert [answer["score"] for answer in plain["predictions"]] == scores(
        worker.client.post(INFER, json=tensors()).json()
    )


def test_the_answer_names_the_request_the_version_and_each_prediction(worker: RunningWorker) -> None:
    response = worker.client.post(INFER, json=tensors())
    answer = response.json()
    assert (answer["id"], answer["model_name"]) == ("a-1", SHOP)
    assert answer["model_version"] == response.headers["x-evertrain-version"]
    [ids] = [output["data"] for output in answer["outputs"] if output["name"] == "prediction_id"]
    assert ",".join(ids) == response.headers["x-evertrain-prediction"]
    assert len(set(ids)) == 2


def test_only_the_outputs_that_were_asked_for_are_sent(worker: RunningWorker) -> None:
    answer = worker.client.post(INFER, json=tensors() | {"outputs": [{"name": "score"}]}).json()
    assert [output["name"] for output in answer["outputs"]] == ["score"]


def test_a_compressed_request_gives_the_same_scores_in_a_plain_answer(worker: RunningWorker) -> None:
    import json

    plain = worker.client.post(INFER, json=tensors())
    body = gzip.compress(json.dumps(tensors()).encode())
    packed = worker.client.post(INFER, content=body, headers={"content-encoding": "gzip", "accept-encoding": "gzip"})
    assert scores(packed.json()) == scores(plain.json())
    assert "content-encoding" not in packed.headers


def test_composed_and_decomposed_names_are_two_names(worker: RunningWorker) -> None:
    asked = tensors()
    asked["inputs"][0]["data"] = ["caf\u00e9", "cafe\u0301"]
    worker.client.post(INFER, json=asked)
    first, second = worker.records()[-2:]
    assert (first.row[0], second.row[0]) == ("caf\u00e9", "cafe\u0301")  # type: ignore[union-attr]


def test_a_batch_is_one_request_in_the_log(worker: RunningWorker) -> None:
    worker.client.post(INFER, json=tensors())
    first, second = worker.records()[-2:]
    assert first.batch == second.batch == first.id  # type: ignore[union-attr]


def test_metadata_and_health(worker: RunningWorker) -> None:
    about = worker.client.get("/v2").json()
    assert about["name"] == "evertrain"
    assert worker.client.get("/v2/health/live").json() == {"live": True}
    assert worker.client.get("/v2/health/ready").json() == {"ready": True}
    assert worker.client.get(f"/v2/models/{SHOP}/ready").status_code == 200
    model = worker.client.get(f"/v2/models/{SHOP}").json()
    assert [(item["name"], item["datatype"]) for item in model["inputs"]] == [
        ("shop", "BYTES"),
        ("amount", "FP64"),
        ("n", "INT64"),
        ("vip", "BOOL"),
    ]


def test_a_service_that_is_turned_off_says_why(worker: RunningWorker) -> None:
    beat = worker.heartbeat()
    assert beat is not None
    [version] = beat.ready
    worker.installation.route(Route(service=SHOP, champion=version, enabled=False, notice="taken off by a person."))
    until(lambda: worker.client.get(f"/v2/models/{SHOP}/ready").status_code == 503)
    assert worker.client.get("/v2/health/ready").status_code == 200, "the worker is not taken from its balancer"
    response = worker.client.post(INFER, json=tensors())
    assert response.status_code == 503
    assert "taken off by a person" in response.json()["what"]
    assert response.headers["retry-after"] == "1"
    worker.installation.route(Route(service=SHOP, champion=version))
    until(lambda: worker.client.post(INFER, json=tensors()).status_code == 200)


CLASSES = """
def predict(rows):
    return [{"car": 0.25, "bus": 0.5, "tram": 0.25} if row["vip"] else [0.125, 0.125, 0.75] for row in rows]
"""


def test_a_service_of_classes_answers_with_the_class_and_all_probabilities(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "state")
    version = installation.add(CLASSES, output=Output.of_classes(("bus", "car", "tram")))
    installation.route(Route(service=SHOP, champion=version))
    running = RunningWorker(installation)
    try:
        until(lambda: running.serves(version))
        infer = running.client.post(INFER, json=tensors()).json()
        told = running.client.get(f"/v2/models/{SHOP}").json()
        named = running.client.post(INFER, json=tensors() | {"outputs": [{"name": "class"}]}).json()
        rows = [{"shop": "s1", "amount": 10.5, "n": 3, "vip": vip} for vip in (True, False)]
        records = running.client.post(f"/predict/{SHOP}", json={"rows": rows}).json()["predictions"]
        token = {"Authorization": f"Bearer {access.token('data', installation.state.keys)}"}
        body = {"labels": [{"prediction_id": records[0]["id"], "value": "bus"}]}
        taken = running.client.post(f"/labels/{SHOP}", json=body, headers=token)
        body["labels"][0]["value"] = "busses"
        refused = running.client.post(f"/labels/{SHOP}", json=body, headers=token)
        body["labels"][0]["value"] = 1
        number = running.client.post(f"/labels/{SHOP}", json=body, headers=token)
        logged = running.records()
    finally:
        running.close()
    tensors_of = {one["name"]: (one["datatype"], one["shape"], one["data"]) for one in infer["outputs"]}
    assert tensors_of["score"] == ("FP64", [2], [0.5, 0.75])
    assert tensors_of["class"] == ("BYTES", [2], ["bus", "tram"])
    assert tensors_of["scores"] == ("FP64", [2, 3], [0.5, 0.25, 0.25, 0.125, 0.125, 0.75])
    assert [one["name"] for one in named["outputs"]] == ["class"]
    assert {one["name"]: one["shape"] for one in told["outputs"]} == {
        "score": [-1],
        "class": [-1],
        "scores": [-1, 3],
        "prediction_id": [-1],
    }
    assert [(one["class"], one["score"]) for one in records] == [("bus", 0.5), ("tram", 0.75)]
    assert records[1]["scores"] == {"bus": 0.125, "car": 0.125, "tram": 0.75}
    assert taken.status_code == 200
    assert (refused.status_code, refused.json()["remedy"]) == (400, 'Did you mean "bus"?')
    assert number.status_code == 400
    assert [one.scores for one in logged if isinstance(one, Predicted)][-1] == (0.125, 0.125, 0.75)
    assert [one.value for one in logged if isinstance(one, Labelled)] == [0.0]
