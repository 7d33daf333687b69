"""One worker with everything on, against an application on the same HTTP server that does nothing.

    python benchmarks/serve.py [--quick] [--json FILE]

The worker validates, scores a LightGBM model of 200 trees, writes the prediction to the log (synced in the background),
counts, and names version and prediction id. The no-op reads the body and answers a constant. The load comes from a
process of its own, over loopback, 8 connections; the servers take turns in rounds.
"""

import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import lightgbm
import msgspec
import numpy as np
import psutil

from evertrain.core.identity import digest_of
from evertrain.core.model import Manifest, Output
from evertrain.core.routing import Route
from evertrain.core.schema import Column, Input, Schema
from evertrain.testing.installation import BEGIN, SHOP, Installation
from evertrain.testing.report import Row, main, spread
from evertrain.testing.traffic import Seen

SHOPS = tuple(f"s{number}" for number in range(20))
SCHEMA = Schema((Column(name="shop", type="string"), *(Column(name=f"x{n}", type="float64") for n in range(9))))
NOOP = """
import sys, socket, uvicorn
HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"11")]
async def app(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b'{"ok":true}'})
config = uvicorn.Config(app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False,
                        proxy_headers=False, server_header=False, loop="uvloop")
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""


class Round(msgspec.Struct, frozen=True):
    """What the client saw, and the CPU time that the server took a request, in microseconds."""

    seen: Seen
    cpu_us: float


class Target(msgspec.Struct):
    """A server under load."""

    port: int
    path: str
    body: bytes
    pid: int

    def round(self, seconds: float) -> Round:
        process = psutil.Process(self.pid)
        before = sum(process.cpu_times()[:2])
        command = [sys.executable, "-m", "evertrain.testing.traffic", str(self.port), self.path, "8", str(seconds)]
        done = subprocess.run(command, input=self.body, capture_output=True, check=True)
        seen = msgspec.json.decode(done.stdout, type=Seen)
        return Round(seen, 1e6 * (sum(process.cpu_times()[:2]) - before) / seen.requests)


def _install(folder: Path) -> None:
    installation = Installation(folder)
    random = np.random.default_rng(1)
    rows = np.column_stack([random.integers(0, 20, 5000), random.normal(size=(5000, 9))])
    target = (rows[:, 1] + rows[:, 2] * rows[:, 3] > 0).astype(int)
    parameters = {"objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(rows, label=target, categorical_feature=[0]), 200)
    names = SCHEMA.names
    manifest = Manifest(
        service=SHOP,
        format="lightgbm",
        model=installation.artifacts.blobs.put(booster.model_to_string().encode()),
        bundle=None,
        features=digest_of(SCHEMA),
        inputs=SCHEMA,
        vector=(Input(name="shop", categories=SHOPS), *(Input(name=name) for name in names[1:])),
        output=Output(),
    )
    version = installation.artifacts.put_manifest(manifest)
    sign = installation.signer.sign_attestation
    installation.artifacts.attest(sign("built", version, SHOP, BEGIN))
    installation.artifacts.attest(sign("judged", version, SHOP, BEGIN, verdict="health only", reason="a benchmark"))
    installation.route(Route(service=SHOP, champion=version))


@contextlib.contextmanager
def _started(command: list[str], path: str, body: bytes) -> Iterator[Target]:
    """A server on a free port, given to it as an inherited socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        handle, port = listener.fileno(), listener.getsockname()[1]
        words = [sys.executable, *(str(handle) if word == "FD" else word for word in command)]
        with subprocess.Popen(words, pass_fds=[handle]) as process:
            try:
                _wait(port, path, body)
                yield Target(port, path, body, process.pid)
            finally:
                process.terminate()


def _wait(port: int, path: str, body: bytes) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body)
            urllib.request.urlopen(request, timeout=30).close()
            return
        time.sleep(0.05)
    raise TimeoutError(f"Nothing answers on port {port}")


def measure(quick: bool) -> list[Row]:
    """All rows of the report."""
    rounds, seconds = (6, 1.0) if quick else (12, 3.0)
    single = {"shop": "s3", **{f"x{number}": 0.25 * number for number in range(9)}}
    body, batch = json.dumps(single).encode(), json.dumps({"rows": [single] * 100}).encode()
    path = f"/predict/{SHOP}"
    with tempfile.TemporaryDirectory() as folder:
        _install(Path(folder) / "state")
        serving = ["-m", "evertrain.process.worker.serving", "--dir", f"{folder}/state", "--name", "w0", "--fd", "FD"]
        with (
            _started(serving, path, body) as worker,
            _started(["-c", NOOP, "FD"], "/", body) as noop,
            _started(["-c", NOOP, "FD"], "/", body) as placebo,
        ):
            results = [(worker.round(seconds), noop.round(seconds), placebo.round(seconds)) for _ in range(rounds)]
            worker.body = batch
            batches = [worker.round(seconds) for _ in range(rounds // 2)]
    return _rows(results, batches)


def _rows(results: list[tuple[Round, Round, Round]], batches: list[Round]) -> list[Row]:
    rate = spread([worker.seen.per_s / noop.seen.per_s for worker, noop, _ in results])
    cpu = spread([noop.cpu_us / worker.cpu_us for worker, noop, _ in results])
    same = spread([placebo.seen.per_s / noop.seen.per_s for _, noop, placebo in results])
    per_s = spread([worker.seen.per_s for worker, _, _ in results])
    rows_per_s = spread([100 * batch.seen.per_s for batch in batches])
    p99 = spread([worker.seen.p99_us / 1000 for worker, _, _ in results])
    noop_p99 = spread([noop.seen.p99_us / 1000 for _, noop, _ in results])
    failures = sum(worker.seen.failures for worker, _, _ in results) + sum(batch.seen.failures for batch in batches)
    rival = f"no-op raw ASGI on uvicorn: {spread([noop.seen.per_s for _, noop, _ in results])} a second"
    return [
        Row(
            measure=f"single rows a second, relative to a no-op {rate}",
            value=rate.median,
            unit="x",
            rival=rival,
            target=">= 0.35",
            holds=rate.median >= 0.35,
        ),
        Row(measure=f"the same by CPU time a request {cpu}", value=cpu.median, unit="x", rival=rival),
        Row(measure=f"placebo: a no-op relative to a no-op {same}", value=same.median, unit="x"),
        Row(measure=f"single rows a second {per_s}", value=per_s.median, unit="1/s"),
        Row(measure=f"rows a second in batches of 100 {rows_per_s}", value=rows_per_s.median, unit="1/s"),
        Row(measure=f"p99 latency {p99}", value=p99.median, unit="ms", rival=f"no-op: {noop_p99} ms"),
        Row(measure="failed requests", value=failures, unit="", target="0", holds=failures == 0),
    ]


if __name__ == "__main__":
    sys.exit(main("serve", measure))
