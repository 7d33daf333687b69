"""The load sees what goes wrong: a server that fails, mixes, loses a connection and stalls, once each."""

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import msgspec
import numpy as np
import pytest

from evertrain.testing.arrivals import FAILED, MIXED, Plan, Question
from evertrain.testing.swapping import arriving

STALL_S = 0.4
PER_S = 100.0
QUESTION = Question('{"x": 1}', ((0.5, 0.5), (0.25, 0.25)))


class Scripted(BaseHTTPRequestHandler):
    """Answers as version a; the requests of some numbers otherwise."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        Scripted.asked += 1
        match Scripted.asked:
            case 10:
                self.answer(500, "a", [("a", 0.5), ("a", 0.5)])
            case 15:
                self.answer(200, "a", [("a", 0.5), ("b", 0.25)])
            case 20:
                self.answer(200, "b", [("a", 0.5), ("a", 0.5)])
            case 25:
                self.answer(200, "b", [("b", 0.25), ("b", 0.5)])
            case 30:
                self.close_connection = True
            case 40:
                time.sleep(STALL_S)
                self.answer(200, "b", [("b", 0.25), ("b", 0.25)])
            case _:
                self.answer(200, "a", [("a", 0.5), ("a", 0.5)])

    def answer(self, status: int, version: str, predictions: list[tuple[str, float]]) -> None:
        told = [{"id": "i", "score": score, "version": name} for name, score in predictions]
        body = msgspec.json.encode({"predictions": told})
        head = f"HTTP/1.1 {status} Said\r\ncontent-length: {len(body)}\r\nx-evertrain-version: {version}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    Scripted.asked = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_it_sees_failures_mixtures_and_what_a_stall_held_up(port: int, tmp_path: Path) -> None:
    plan = Plan(
        port=port,
        path="/",
        connections=1,
        per_s=PER_S,
        questions=(QUESTION,),
        versions={"a": (0, 0), "b": (1, 1)},
    )
    with arriving(tmp_path / "load", plan) as arrived:
        waiting, end = Event(), time.monotonic() + 120
        while Scripted.asked < 100 and time.monotonic() < end:
            waiting.wait(0.01)
    outcomes = arrived.requests["outcome"]
    assert np.count_nonzero(outcomes == FAILED) == 2
    assert np.count_nonzero(outcomes == MIXED) == 3
    assert np.count_nonzero(outcomes == 1) == 1
    assert len(arrived.ending.failures) == 5
    latency = (arrived.requests["done"] - arrived.requests["due"]) / 1e9
    held = latency[latency > STALL_S / 4]
    assert len(held) >= PER_S * STALL_S / 2  # not one alone: all that were due meanwhile
    assert np.all(np.diff(arrived.requests["due"]) == round(1e9 / PER_S))
