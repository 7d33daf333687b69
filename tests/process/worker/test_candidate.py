import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil
import pytest

from evertrain.core.identity import VersionId
from evertrain.core.routing import Refusal, Route
from evertrain.core.schema import Value
from evertrain.core.trial import LACKING, Answer, Ask, Ping, Pong, Predict, Score, Scores, frame, frame_length
from evertrain.model.limits import thread_environment
from evertrain.process.entry import EXIT_FAULT
from evertrain.process.worker.candidate import Order, command, main
from evertrain.store.process import Heartbeat, heartbeats
from evertrain.testing.installation import BEGIN, SHOP, SHOP_ROW, Installation
from evertrain.testing.tree import wait_until

Reply = TypeVar("Reply", Answer, Scores, Pong)

GOOD = "def predict(rows):\n    return [min(1.0, row['amount'] / 100) for row in rows]\n"
BAD = """
import ctypes, time, sys

def predict(rows):
    return [DEEDS[row['shop']]() for row in rows]

def hang():
    while True:
        pass

def eat():
    kept = []
    while True:
        kept.append(bytearray(256 << 20))

SLOW = []

def slow():
    SLOW.append(1)
    print('slow', flush=True)
    time.sleep(0.5)
    return 0.25

DEEDS = {
    'fine': lambda: 0.5, 'raise': lambda: 1 / 0, 'exit': lambda: sys.exit(3), 'nan': lambda: float('nan'),
    'none': lambda: None, 'high': lambda: 1.5, 'text': lambda: 'x', 'hang': hang, 'eat': eat,
    'segfault': lambda: ctypes.string_at(0), 'slow': slow,
    'how often slow': lambda: len(SLOW) / 100,
}
"""


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "state")


def order_for(installation: Installation, version: VersionId, **changes: object) -> Order:
    path = installation.state.socket(f"canary-{version[:10]}-0")
    order = Order(
        dir=str(installation.state.path),
        version=version,
        socket=str(path),
        arm="canary",
        need="judged",
        name="canary",
        memory_mb=512,
    )
    return msgspec.structs.replace(order, **changes)


class Running:
    """A candidate process, and connections to it."""

    def __init__(self, order: Order, log: Path) -> None:
        self.order = order
        self.log = log
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command(order), stdout=file, stderr=file, env=os.environ | thread_environment(1), start_new_session=True
            )

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(60)
        try:
            connection.connect(self.order.socket)
        except OSError:
            connection.close()
            raise
        return connection

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            self.connect().close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def ask(self, message: Ask, reply: type[Reply]) -> Reply:
        with self.connect() as connection:
            return ask(connection, message, reply)

    def predict(self, shop: str = "a", amount: float = 12.5) -> Answer:
        return self.ask(predict(shop, amount), Answer)


def predict(shop: str = "a", amount: float = 12.5) -> Predict:
    row: tuple[Value, ...] = (shop, amount, *SHOP_ROW[2:])
    return Predict(id="r1", row=row, at=BEGIN)


def ask(connection: socket.socket, message: Ask, reply: type[Reply]) -> Reply:
    connection.sendall(frame(message))
    return receive(connection, reply)


def receive(connection: socket.socket, reply: type[Reply]) -> Reply:
    head = connection.recv(4, socket.MSG_WAITALL)
    assert len(head) == 4, "the connection was closed"
    return msgspec.msgpack.decode(connection.recv(frame_length(head), socket.MSG_WAITALL), type=reply)


@contextmanager
def started(order: Order, tmp_path: Path) -> Iterator[Running]:
    running = Running(order, tmp_path / "candidate.log")
    try:
        wait_until(running.answers)
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def good(installation: Installation, tmp_path: Path) -> Iterator[Running]:
    with started(order_for(installation, installation.add(GOOD)), tmp_path) as running:
        yield running


@pytest.fixture
def bad(installation: Installation, tmp_path: Path) -> Iterator[Running]:
    with started(order_for(installation, installation.add(BAD)), tmp_path) as running:
        yield running


def heartbeat(installation: Installation) -> Heartbeat:
    (found,) = heartbeats(installation.state)
    return found


def test_it_answers_with_score_vector_and_time(good: Running) -> None:
    answer = good.predict()
    assert (answer.ok, answer.score, answer.vector) == (True, 0.125, SHOP_ROW)
    assert answer.us >= 0
    assert good.ask(Score(vectors=(SHOP_ROW, ("b", 50.0, 1, False))), Scores).scores == (0.125, 0.5)


def test_it_says_who_it_is(good: Running, installation: Installation) -> None:
    pong = good.ask(Ping(), Pong)
    assert pong.version == good.order.version
    assert 5 < pong.memory_mb < 512
    wait_until(lambda: heartbeat(installation).ready == (good.order.version,))
    assert (heartbeat(installation).pid, heartbeat(installation).role) == (good.process.pid, "candidate")


def test_one_connection_answers_in_order(good: Running) -> None:
    with good.connect() as connection:
        for amount in range(50):
            connection.sendall(frame(predict(amount=float(amount))))
        assert [receive(connection, Answer).score for _ in range(50)] == [amount / 100 for amount in range(50)]


@pytest.mark.parametrize(
    ("shop", "cause", "detail"),
    [
        ("raise", "error", "predict raised ZeroDivisionError: division by zero"),
        ("exit", "error", "predict raised SystemExit: 3"),
        ("nan", "nan", "score is nan"),
        ("none", "nan", "score is nan"),
        ("high", "range", "score 1.5 is above 1.0"),
        ("text", "error", "predict returned no sequence of numbers"),
        ("unknown", "error", "predict raised KeyError: 'unknown'"),
    ],
)
def test_each_failure_has_its_cause_and_harms_no_other_request(
    bad: Running, shop: str, cause: str, detail: str
) -> None:
    answer = bad.predict(shop)
    assert (answer.ok, answer.cause) == (False, cause)
    assert detail in answer.detail
    assert "\n" not in answer.detail
    assert bad.predict("fine").score == 0.5


def test_a_request_of_another_width_breaks_the_protocol(good: Running) -> None:
    answer = good.ask(Predict(id="r", row=("a",), at=BEGIN), Answer)
    assert (answer.ok, answer.cause) == (False, "protocol")


@pytest.mark.parametrize("nonsense", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{}", b"GET / HTTP/1.1\r\n\r\n"])
def test_nonsense_ends_its_connection_alone(good: Running, nonsense: bytes) -> None:
    with good.connect() as connection:
        connection.sendall(nonsense)
        connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    assert good.predict().ok


def test_a_ping_is_answered_while_the_model_hangs_and_the_hang_ends_the_process(
    installation: Installation, tmp_path: Path
) -> None:
    order = order_for(installation, installation.add(BAD), hang_s=3.0)
    with started(order, tmp_path) as bad, bad.connect() as hanging:
        hanging.sendall(frame(predict("hang")))
        assert bad.ask(Ping(), Pong).ok
        assert bad.process.wait(180) == 3
        assert "in hang" in bad.log.read_text()
    assert heartbeat(installation).ready == ()
    assert heartbeat(installation).note == "a prediction took longer than 3 s"


def test_whoever_gave_up_waiting_is_not_answered_later(bad: Running) -> None:
    with bad.connect() as first:
        first.sendall(frame(predict("slow")))
        begun = time.monotonic()
        for _ in range(20):
            with bad.connect() as impatient:
                impatient.sendall(frame(predict("slow")))
        took = time.monotonic() - begun
        assert receive(first, Answer).score == 0.25
    often = bad.predict("how often slow").score
    assert isinstance(often, float)
    # Each takes half a second: of those that gave up, one may have been under way for each that they took to come.
    assert 0.01 <= often < 0.05 + 0.01 * took / 0.5


def test_a_crash_ends_the_connection_and_the_process(bad: Running) -> None:
    with bad.connect() as connection:
        connection.sendall(frame(predict("segfault")))
        assert connection.recv(1) == b""
    assert bad.process.wait(180) == -signal.SIGSEGV


def test_memory_has_a_limit_inside_the_process(bad: Running) -> None:
    answer = bad.predict("eat")
    assert answer.cause == "error"
    assert "MemoryError" in answer.detail
    assert psutil.Process(bad.process.pid).memory_info().rss < 600 << 20
    assert bad.predict("fine").ok


def test_sigterm_answers_what_is_in_hand_and_ends(bad: Running) -> None:
    with bad.connect() as connection:
        connection.sendall(frame(predict("slow")))
        wait_until(lambda: "slow" in bad.log.read_text(), "the request in hand")
        bad.process.send_signal(signal.SIGTERM)
        assert receive(connection, Answer).score == 0.25
    assert bad.process.wait(180) == 0
    assert not Path(bad.order.socket).exists()


def test_the_socket_of_a_dead_process_is_replaced(installation: Installation, tmp_path: Path) -> None:
    order = order_for(installation, installation.add(GOOD))
    with started(order, tmp_path) as first:
        first.process.kill()
        first.process.wait()
        assert Path(order.socket).exists()
        with started(order, tmp_path) as second:
            assert second.predict().ok


def test_a_check_that_outlives_a_stop_finds_its_folder_anew(installation: Installation, tmp_path: Path) -> None:
    order = order_for(installation, installation.add(GOOD), arm="check", need="built")
    installation.state.clear_sockets()
    with started(order, tmp_path) as checked:
        assert checked.predict().ok


def refusal_of(order: Order, tmp_path: Path, installation: Installation) -> str:
    """What a process says that does not come up."""
    running = Running(order, tmp_path / "candidate.log")
    assert running.process.wait(180) in {EXIT_FAULT, LACKING}
    assert not Path(order.socket).exists()
    assert heartbeat(installation).failed.keys() == {order.version}
    assert "Traceback" not in running.log.read_text()
    return heartbeat(installation).failed[order.version]


def test_an_unjudged_version_answers_in_a_check_server_only(installation: Installation, tmp_path: Path) -> None:
    version = installation.add(GOOD, verdict=None)
    order = order_for(installation, version)
    assert "is not judged" in refusal_of(order, tmp_path, installation)
    with started(msgspec.structs.replace(order, arm="check", need="built"), tmp_path) as checked:
        assert checked.predict().ok


def test_built_is_not_enough_for_an_arm_that_answers_users(installation: Installation) -> None:
    order = order_for(installation, installation.add(GOOD, verdict=None), need="built")
    with pytest.raises(SystemExit):
        main(command(order)[4:])


def test_a_failed_version_is_refused(installation: Installation, tmp_path: Path) -> None:
    order = order_for(installation, installation.add(GOOD, verdict="fail"))
    assert "was judged 'fail'" in refusal_of(order, tmp_path, installation)


def test_a_refused_fingerprint_is_refused(installation: Installation, tmp_path: Path) -> None:
    version = installation.add(GOOD)
    fingerprint = installation.artifacts.manifest(version).fingerprint
    refusal = Refusal(version=version, fingerprint=fingerprint, reason="it raised on 5% of the requests")
    installation.route(Route(service=SHOP, refused=(refusal,)))
    assert "it raised on 5% of the requests" in refusal_of(order_for(installation, version), tmp_path, installation)


def test_an_altered_model_is_refused_before_it_runs(installation: Installation, tmp_path: Path) -> None:
    version = installation.add(GOOD)
    model = installation.artifacts.blobs.path(installation.artifacts.manifest(version).model)
    model.chmod(0o644)
    planted = tmp_path / "planted"
    model.write_text(f"open({str(planted)!r}, 'w')\n" + GOOD)
    assert "was altered" in refusal_of(order_for(installation, version), tmp_path, installation)
    assert not planted.exists()


def test_a_model_that_cannot_be_loaded_says_why(installation: Installation, tmp_path: Path) -> None:
    order = order_for(installation, installation.add("from numpy import no_such_name\n"))
    assert "cannot import name 'no_such_name' from 'numpy'" in refusal_of(order, tmp_path, installation)


@pytest.mark.parametrize(
    ("source", "packages", "says"),
    [
        ("import no_such_module\n", {}, "the module 'no_such_module', and it is not installed"),
        ("from numpy import no_such_name\n", {"numpy": "0.1"}, f"numpy is {version('numpy')} here, and was to be 0.1"),
        ("from numpy import no_such_name\n", {"no-such": "1.0"}, "no-such 1.0 is not installed here"),
    ],
)
def test_a_package_that_is_missing_here_is_no_failure_of_the_version(
    installation: Installation, tmp_path: Path, source: str, packages: dict[str, str], says: str
) -> None:
    manifest = installation.artifacts.manifest(installation.add(source))
    order = order_for(installation, installation.put(msgspec.structs.replace(manifest, environment=packages)))
    running = Running(order, tmp_path / "candidate.log")
    assert running.process.wait(180) == LACKING
    assert says in heartbeat(installation).note
    assert heartbeat(installation).failed == {}
    assert "Traceback" not in running.log.read_text()
