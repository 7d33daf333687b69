"""The Open Inference Protocol as other people's clients speak it, over the port: Triton's, which sends bytes."""

import math
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException

from evertrain.core.model import Output
from evertrain.core.routing import Route
from evertrain.core.schema import Column, Schema
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.worker import RunningWorker, until

SCHEMA = Schema(
    (
        Column(name="asked", type="string"),
        Column(name="text", type="string", nullable=True),
        Column(name="real", type="float64", nullable=True),
        Column(name="whole", type="int64", nullable=True),
        Column(name="flag", type="bool", nullable=True),
        Column(name="at", type="timestamp", nullable=True),
    )
)
ECHO = """
import hashlib

def said(value):
    if value is None:
        return -1.0
    if isinstance(value, str):
        return float(int.from_bytes(hashlib.sha256(value.encode()).digest()[:6], "big"))
    return float(value)

def predict(rows):
    return [said(row[row["asked"]]) for row in rows]
"""
KINDS = {"text": "BYTES", "real": "FP64", "whole": "INT64", "flag": "BOOL", "at": "INT64"}
Values = Any


def said(text: str) -> float:
    import hashlib

    return float(int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big"))


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWorker]:
    """A service that answers with the value of the column that a row asks for, so that a value seen is a value told."""
    installation = Installation(tmp_path_factory.mktemp("inference") / "state")
    version = installation.add(ECHO, output=Output.of_values(), inputs=SCHEMA)
    installation.route(Route(service=SHOP, champion=version))
    running = RunningWorker(installation, EVERTRAIN_SEGMENT_MB="8")
    until(lambda: running.serves(version))
    yield running
    running.close()


@pytest.fixture
def triton(worker: RunningWorker) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(worker.base.removeprefix("http://"))
    yield client
    client.close()


def tensor(name: str, data: Values, kind: str, *, binary: bool = True, flat: bool = False) -> InferInput:
    array = np.array(data, object) if kind == "BYTES" else np.asarray(data)
    array = array if flat else array.reshape(-1, 1)
    return InferInput(name, list(array.shape), kind).set_data_from_numpy(array, binary_data=binary)


def echo(
    client: InferenceServerClient, column: str, data: Values, kind: str, *, binary: bool = True, **options: Any
) -> list[float]:
    """What the service saw in a column."""
    flat = options.pop("flat", False)
    inputs = [tensor("asked", [column] * len(data), "BYTES", binary=binary, flat=flat)]
    inputs.append(tensor(column, data, kind, binary=binary, flat=flat))
    scores = client.infer(SHOP, inputs, **options).as_numpy("score")
    assert scores.dtype == np.float64
    assert scores.shape == (len(data),)
    return [float(score) for score in scores]


def test_the_client_sees_a_live_ready_server_that_takes_bytes(triton: InferenceServerClient) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready(SHOP)
    assert triton.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    told = triton.get_model_metadata(SHOP)
    assert {item["name"]: item["datatype"] for item in told["inputs"]} == {
        "asked": "BYTES",
        "text": "BYTES",
        "real": "FP64",
        "whole": "INT64",
        "flag": "BOOL",
        "at": "BYTES",
    }
    assert [item["name"] for item in told["outputs"]] == ["score", "prediction_id"]


WHOLE = [
    (f"{sign}INT{8 * size}", np.dtype(f"{sign.lower() or 'i'}{size}")) for size in (1, 2, 4, 8) for sign in ("", "U")
]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(("kind", "dtype"), WHOLE)
def test_whole_numbers_of_all_widths(triton: InferenceServerClient, kind: str, dtype: Any, binary: bool) -> None:
    most = min(np.iinfo(dtype).max, 2**53)
    data = np.array([0, 1, max(np.iinfo(dtype).min, -(2**53)), most], dtype)
    assert echo(triton, "whole", data, kind, binary=binary) == data.astype(float).tolist()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize(("kind", "dtype"), [("FP16", np.float16), ("FP32", np.float32), ("FP64", np.float64)])
def test_numbers_of_all_widths(triton: InferenceServerClient, kind: str, dtype: Any, binary: bool) -> None:
    data = np.array([0.1, -2.5, np.finfo(dtype).max, np.finfo(dtype).tiny], dtype)
    assert echo(triton, "real", data, kind, binary=binary) == data.astype(float).tolist()


def test_brain_floats(triton: InferenceServerClient) -> None:
    assert echo(triton, "real", np.array([1.5, -3.0, 1024.0], np.float32), "BF16") == [1.5, -3.0, 1024.0]


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("binary", [True, False])
def test_truth_values_and_texts_flat_and_in_a_column(triton: InferenceServerClient, binary: bool, flat: bool) -> None:
    assert echo(triton, "flag", np.array([True, False]), "BOOL", binary=binary, flat=flat) == [1.0, 0.0]
    texts = ["", "caf\u00e9", "\u6771\u4eac \U0001f685", "a\x00b", 'say "so"', "x" * 70_000]
    assert echo(triton, "text", texts, "BYTES", binary=binary, flat=flat) == [said(text) for text in texts]


@pytest.mark.parametrize("binary", [True, False])
def test_times_as_texts_and_as_microseconds(triton: InferenceServerClient, binary: bool) -> None:
    assert echo(triton, "at", ["1970-01-01T00:00:02Z"], "BYTES", binary=binary) == [2_000_000.0]
    assert echo(triton, "at", np.array([5], np.int64), "INT64", binary=binary) == [5.0]


def test_a_column_that_is_left_out_is_missing(triton: InferenceServerClient) -> None:
    score = triton.infer(SHOP, [tensor("asked", ["real"], "BYTES")]).as_numpy("score")
    assert score.tolist() == [-1.0]


def test_null_among_values_is_missing(worker: RunningWorker) -> None:
    """No bytes say null, so it is sent in JSON, which Triton's client cannot: this one is httpx."""
    for column, kind in KINDS.items():
        inputs = [
            {"name": "asked", "datatype": "BYTES", "shape": [1], "data": [column]},
            {"name": column, "datatype": kind, "shape": [1], "data": [None]},
        ]
        answer = worker.client.post(f"/v2/models/{SHOP}/infer", json={"inputs": inputs})
        assert answer.json()["outputs"][0]["data"] == [-1.0], answer.text


@pytest.mark.parametrize("given", [math.nan, math.inf])
def test_a_number_that_is_none_is_refused_by_name_and_row(triton: InferenceServerClient, given: float) -> None:
    with pytest.raises(InferenceServerException, match=r"Row 1: Column 'real': .* is not a finite number"):
        echo(triton, "real", np.array([1.0, given]), "FP64")


def test_outputs_come_as_they_were_asked_for(triton: InferenceServerClient) -> None:
    inputs = [tensor("asked", ["whole"], "BYTES"), tensor("whole", np.array([7]), "INT64")]
    everything = triton.infer(SHOP, inputs)
    assert everything.get_output("score")["parameters"] == {"binary_data_size": 8}
    assert len(everything.as_numpy("prediction_id")[0]) == 32
    plain = triton.infer(SHOP, inputs, outputs=[InferRequestedOutput("score", binary_data=False)])
    assert plain.get_output("score")["data"] == [7.0]
    assert plain.get_output("prediction_id") is None
    mixed = [InferRequestedOutput("prediction_id"), InferRequestedOutput("score", binary_data=False)]
    both = triton.infer(SHOP, inputs, outputs=mixed)
    assert both.get_output("score")["data"] == [7.0]
    assert both.as_numpy("prediction_id").dtype == np.object_
    with pytest.raises(InferenceServerException, match="There is no output 'size'"):
        triton.infer(SHOP, inputs, outputs=[InferRequestedOutput("size")])


def test_ids_are_echoed(triton: InferenceServerClient) -> None:
    inputs = [tensor("asked", ["whole"], "BYTES"), tensor("whole", np.array([7]), "INT64")]
    assert triton.infer(SHOP, inputs, request_id="r-1").get_response()["id"] == "r-1"
    assert "id" not in triton.infer(SHOP, inputs).get_response()
    named = triton.infer(SHOP, inputs, headers={"X-Request-Id": "once"}).as_numpy("prediction_id")
    again = triton.infer(SHOP, inputs, headers={"X-Request-Id": "once"}).as_numpy("prediction_id")
    assert named.tolist() == again.tolist()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("coding", ["gzip", "deflate", None])
def test_the_largest_batch_compressed_both_ways(
    triton: InferenceServerClient, coding: str | None, binary: bool
) -> None:
    data = np.arange(10_000)
    options = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
    assert echo(triton, "whole", data, "INT64", binary=binary, **options) == data.astype(float).tolist()


def test_a_large_answer_is_compressed_for_who_takes_it_and_a_small_one_is_not(worker: RunningWorker) -> None:
    def asked(rows: int, accepted: str) -> httpx.Response:
        body = {"rows": [{"asked": "whole", "whole": row} for row in range(rows)]}
        return worker.client.post(f"/predict/{SHOP}", json=body, headers={"accept-encoding": accepted})

    large = asked(2000, "gzip, deflate, br")
    assert large.headers["content-encoding"] == "gzip"
    assert large.headers["vary"] == "accept-encoding"
    assert int(large.headers["content-length"]) < len(large.content) / 2
    assert [answer["score"] for answer in large.json()["predictions"]] == [float(row) for row in range(2000)]
    for small in (asked(2, "gzip"), asked(2000, "identity"), asked(2000, "gzip;q=0, br")):
        assert "content-encoding" not in small.headers


def test_a_batch_over_the_limit_and_an_empty_one_are_refused(triton: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="10001 rows are over the limit of 10000"):
        echo(triton, "whole", np.arange(10_001), "INT64")
    for binary in (True, False):
        with pytest.raises(InferenceServerException, match="There are no inputs") as refused:
            echo(triton, "whole", np.arange(0), "INT64", binary=binary)
        assert refused.value.status() == "400"


def test_a_client_that_chooses_a_version_is_told_that_it_cannot(triton: InferenceServerClient) -> None:
    asked, whole = tensor("asked", ["whole"], "BYTES"), tensor("whole", [7], "INT64")
    with pytest.raises(InferenceServerException, match="does not choose the version that answers") as refused:
        triton.infer(SHOP, [asked, whole], model_version="1")
    assert refused.value.status() == "404"


def test_shared_memory_is_refused(triton: InferenceServerClient) -> None:
    asked, there = tensor("asked", ["whole"], "BYTES"), InferInput("whole", [1, 1], "INT64")
    there.set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match="'whole' lies in shared memory"):
        triton.infer(SHOP, [asked, there])
    wanted = InferRequestedOutput("score")
    wanted.set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match="'score' is wanted in shared memory"):
        triton.infer(SHOP, [asked, tensor("whole", np.array([1]), "INT64")], outputs=[wanted])


def test_requests_under_way_at_once_are_told_apart(triton: InferenceServerClient, worker: RunningWorker) -> None:
    client = InferenceServerClient(worker.base.removeprefix("http://"), concurrency=4)
    asked = tensor("asked", ["whole"], "BYTES")
    waiting = [client.async_infer(SHOP, [asked, tensor("whole", np.array([n]), "INT64")]) for n in range(40)]
    found: list[InferResult] = [one.get_result() for one in waiting]
    client.close()
    assert [one.as_numpy("score").tolist() for one in found] == [[float(n)] for n in range(40)]


HEAD = b'{"inputs":[{"name":"whole","shape":[1],"datatype":"INT64","parameters":{"binary_data_size":%d}}]}'

NARROW = b'{"inputs":[{"name":"whole","shape":[1],"data":[%d],"datatype":"INT8"}]}'


@pytest.mark.parametrize(
    ("body", "length", "field"),
    [
        (HEAD % 8 + b"\x00" * 8, "abc", "inference-header-content-length"),
        (HEAD % 8 + b"\x00" * 8, "-1", "inference-header-content-length"),
        (HEAD % 8 + b"\x00" * 8, "100000", "inference-header-content-length"),
        (HEAD % 8 + b"\x00" * 8, "9" * 5000, "inference-header-content-length"),
        (HEAD % 8 + b"\x00" * 7, None, "inputs"),
        (HEAD % 8 + b"\x00" * 9, None, "inputs"),
        (HEAD % 7 + b"\x00" * 7, None, "whole"),
        (HEAD % 16 + b"\x00" * 16, None, "whole"),
        (HEAD % 0, None, "whole"),
        (HEAD.replace(b"INT64", b"FP99") % 8 + b"\x00" * 8, None, "whole"),
        (HEAD.replace(b'"whole"', b'"text"').replace(b"INT64", b"BYTES") % 8 + b"\xff\xff\xff\xff1234", None, "text"),
        (HEAD.replace(b'"whole"', b'"text"').replace(b"INT64", b"BYTES") % 3 + b"\x00\x00\x00", None, "text"),
        (HEAD.replace(b'"whole"', b'"text"').replace(b"INT64", b"BYTES") % 5 + b"\x01\x00\x00\x00\xff", None, "text"),
        (HEAD.replace(b'"whole"', b'"flag"').replace(b"INT64", b"BOOL") % 1 + b"\x02", None, "flag"),
        (HEAD.replace(b'"shape"', b'"data":[1],"shape"') % 8 + b"\x00" * 8, None, "whole"),
        (HEAD.replace(b'{"binary_data_size":%d}', b"{}"), None, "whole"),
        (NARROW % 300, None, "whole"),
    ],
)
def test_bytes_that_do_not_fit_are_refused_by_name(
    worker: RunningWorker, body: bytes, length: str | None, field: str
) -> None:
    announced = str(body.index(b"]}") + 2) if length is None else length
    headers = {"Inference-Header-Content-Length": announced}
    response = worker.client.post(f"/v2/models/{SHOP}/infer", content=body, headers=headers)
    assert (response.status_code, response.json()["field"]) == (400, field), response.text
    assert response.json()["remedy"]
