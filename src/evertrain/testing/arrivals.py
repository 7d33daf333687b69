"""Requests that come at set times, whatever the server does: a stall delays all that were due in it, and shows.

    python -m evertrain.testing.arrivals FOLDER

FOLDER/plan.json says what is asked and how often. It prints a line when the first answer has come, and ends when its
standard input does, after the last answer that is due. FOLDER/arrivals.bin has one `Arrival` a request, in the order in
which they were over; FOLDER/ending.json the rest. It runs in a process of its own, without an event loop, whose timers
would be as coarse as the latencies.
"""

import select
import socket
import sys
import time
from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["ARRIVAL", "FAILED", "MIXED", "Ending", "Plan", "Question", "main", "read_arrivals"]

FAILED: Final = -1
MIXED: Final = -2
ARRIVAL: Final = np.dtype([(name, np.int64) for name in ("due", "sent", "done", "outcome", "rows")])
"""One request. due: when it was to be sent, sent: when a connection was free for it, done: when it was over, in
nanoseconds of the monotonic clock. outcome: the place of the version that answered, FAILED, or MIXED: more than one
version, or scores that are not those of the version that is named. rows: how many it asked for."""

_INPUT = 0
_GRACE_S = 60.0
_KEPT = 20


class Question(msgspec.Struct, frozen=True):
    """A body, and the scores that each model answers it with."""

    body: str
    scores: tuple[tuple[float, ...], ...]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. versions: id to (its place, the place of its model among the scores of a question)."""

    port: int
    path: str
    connections: int
    per_s: float
    questions: tuple[Question, ...]
    versions: dict[str, tuple[int, int]]


class Ending(msgspec.Struct, frozen=True):
    """failures: the first of those that failed or were mixed, in words. late: the longest that a request which a
    connection was free for was sent after it was due, in microseconds: the client's own delay."""

    failures: tuple[str, ...]
    late_us: int


class _Prediction(msgspec.Struct):
    score: float
    version: str


class _Answer(msgspec.Struct):
    predictions: tuple[_Prediction, ...]


_decoder = msgspec.json.Decoder(_Answer)


class _Connection:
    """One keep-alive connection, with the request that is under way on it."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = self.sent = 0
        self.question: Question | None = None
        self.buffer = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, due: int, question: Question, message: bytes) -> None:
        self.due, self.question, self.buffer = due, question, b""
        self.sent = time.monotonic_ns()
        self.socket.sendall(message)

    def receive(self) -> tuple[bytes, bytes] | None:
        """Head and body when the response is whole. It knows just enough HTTP to see where a response ends."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionResetError("the server closed the connection")
        self.buffer += part
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        start = head.index(b"content-length: ") + 16
        return (head, body) if len(body) >= int(head[start : start + 9].split(b"\r")[0]) else None


class _Load:
    """The load of one plan."""

    def __init__(self, plan: Plan, file: Path) -> None:
        self._plan = plan
        self._file = file.open("wb")
        self._idle = deque(_Connection(plan.port) for _ in range(plan.connections))
        self._busy: dict[int, _Connection] = {}
        self._questions = cycle([(one, _message(plan.path, one.body)) for one in plan.questions])
        self._rows = array("q")
        self._failures: list[str] = []
        self._late_ns = 0
        self._is_silent = True

    def run(self) -> Ending:
        """Send until standard input ends."""
        step, due = round(1e9 / self._plan.per_s), time.monotonic_ns()
        over = False
        while not over:
            now = time.monotonic_ns()
            # While no connection is free nothing is sent, and what is due waits: its latency counts from its time.
            while due <= now and self._idle:
                self._late_ns = max(self._late_ns, now - due)
                self._send(due)
                due += step
            wait_ns = due - time.monotonic_ns() if self._idle else 50_000_000
            ready, _, _ = select.select([_INPUT, *self._busy], [], [], max(0, wait_ns) / 1e9)
            over = _INPUT in ready
            self._receive(ready)
        self._finish()
        return Ending(tuple(self._failures), self._late_ns // 1000)

    def _send(self, due: int) -> None:
        question, message = next(self._questions)
        connection = self._idle.popleft()
        self._busy[connection.fileno()] = connection
        try:
            connection.send(due, question, message)
        except OSError as error:
            self._lose(connection, error)

    def _receive(self, ready: Iterable[int]) -> None:
        for number in ready:
            if number in self._busy:
                self._take(self._busy[number])

    def _take(self, connection: _Connection) -> None:
        try:
            response = connection.receive()
        except OSError as error:
            self._lose(connection, error)
            return
        if response is not None:
            self._note(connection, *response)
            del self._busy[connection.fileno()]
            if b"\r\nconnection: close" in response[0]:
                connection.socket.close()
                connection = _Connection(self._plan.port)
            self._idle.append(connection)

    def _note(self, connection: _Connection, head: bytes, body: bytes) -> None:
        done, question = time.monotonic_ns(), connection.question
        if question is None:
            raise AssertionError("A response came for no request")
        if self._is_silent:
            self._is_silent = False
            sys.stdout.write("answered\n")
            sys.stdout.flush()
        outcome = _outcome(self._plan.versions, question, head, body)
        if outcome < 0 and len(self._failures) < _KEPT:
            self._failures.append((head[:200] + b" " + body[:400]).decode("utf-8", "replace"))
        self._write(connection, done, outcome, question)

    def _lose(self, connection: _Connection, error: OSError) -> None:
        """What was under way on a connection that broke has failed, and another connection takes its place."""
        if len(self._failures) < _KEPT:
            self._failures.append(repr(error))
        if connection.question is not None:
            self._write(connection, time.monotonic_ns(), FAILED, connection.question)
        del self._busy[connection.fileno()]
        connection.socket.close()
        self._idle.append(_Connection(self._plan.port))

    def _write(self, connection: _Connection, done: int, outcome: int, question: Question) -> None:
        self._rows.extend((connection.due, connection.sent, done, outcome, len(question.scores[0])))
        if len(self._rows) >= 5 * 4096:
            self._rows.tofile(self._file)
            del self._rows[:]

    def _finish(self) -> None:
        """Wait for the answers that are due; what does not come has failed."""
        end = time.monotonic() + _GRACE_S
        while self._busy and time.monotonic() < end:
            ready, _, _ = select.select([*self._busy], [], [], 0.1)
            self._receive(ready)
        for one in self._busy.values():
            if one.question is not None:
                self._write(one, time.monotonic_ns(), FAILED, one.question)
                self._failures.append("a request was never answered")
        self._rows.tofile(self._file)
        self._file.close()


def _message(path: str, body: str) -> bytes:
    content = body.encode()
    return f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content


def _outcome(versions: Mapping[str, tuple[int, int]], question: Question, head: bytes, body: bytes) -> int:
    """Who answered: a version that is the same in the head, in each prediction and by its scores."""
    if b" 200 " not in head[:16]:
        return FAILED
    try:
        predictions = _decoder.decode(body).predictions
    except msgspec.DecodeError:
        return FAILED
    version = predictions[0].version if predictions else ""
    if version not in versions:
        return FAILED
    place, model = versions[version]
    one = f"\r\nx-evertrain-version: {version}".encode() in head
    one = one and all(prediction.version == version for prediction in predictions)
    return place if one and tuple(found.score for found in predictions) == question.scores[model] else MIXED


def read_arrivals(folder: Path) -> NDArray[np.void]:
    """All requests of a load that has ended, by the time when they were due; (n,) of ARRIVAL."""
    return np.sort(np.fromfile(folder / "arrivals.bin", dtype=ARRIVAL), order="due")


def main(folder: Path) -> None:
    """The command line."""
    plan = msgspec.json.decode((folder / "plan.json").read_bytes(), type=Plan)
    ending = _Load(plan, folder / "arrivals.bin").run()
    (folder / "ending.json").write_bytes(msgspec.json.encode(ending))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
