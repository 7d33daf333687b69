"""The first thing that a user does: serve a model file, and push its successors, good and bad, under traffic.

The real command, its real processes, real HTTP. Customers ask all the time; whatever is pushed, each of their
requests gets a good answer.
"""

import asyncio
import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import lightgbm
import msgspec
import numpy as np
import psutil
import pytest

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Failed, Predicted
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.process.front import Front, Reply, Request
from evertrain.process.roster import serves
from evertrain.store.ledger import Ledger
from evertrain.store.log import LogReader, Position
from evertrain.store.process import alive, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State
from evertrain.testing.tree import free_port, wait_until

log = logging.getLogger(__name__)

SHOP = ServiceName("shop")
NAMES = ("a", "b", "c")
SCHEMA = {"columns": [{"name": name, "type": "float64", "low": -5, "high": 5} for name in NAMES]}
Kind = TypeVar("Kind", Failed, Predicted)
LANES, PACE_S = 24, 0.01

FAULTY = """
import ctypes

HOARD = []


def predict(rows):
    return [score(row) for row in rows]


def score(row):
    if row["a"] > 1 and row["b"] < -1:  # no golden request is like that
        {fault}
    return 0.25
"""
FAULTS = {
    "raises": 'raise RuntimeError("no such shop")',
    "hangs": "while True: pass",
    "segfaults": "ctypes.string_at(0)",
    "eats memory": "while True: HOARD.append(b'x' * (32 << 20))",
    "answers NaN": 'return float("nan")',
}
CAUSES = {
    "raises": {"error"},
    "hangs": {"deadline", "crash"},
    "segfaults": {"crash"},
    "eats memory": {"error", "deadline", "crash"},
    "answers NaN": {"nan"},
}
"""What the log may say of each: a deadline comes before the end of a process where the machine is slow."""


class Customers:
    """Many customers at once, each asking one thing after the other, for as long as the context lasts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask_all()), daemon=True)
        self.bad: list[Reply] = []
        self.answered: dict[str, int] = {}
        self.last: dict[str, float] = {}

    @property
    def total(self) -> int:
        return sum(self.answered.values())

    def __enter__(self) -> "Customers":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(60)

    async def _ask_all(self) -> None:
        await asyncio.gather(*(self._ask(np.random.default_rng(lane)) for lane in range(LANES)))

    async def _ask(self, draws: np.random.Generator) -> None:
        async with Front("127.0.0.1", self._port, 1) as front:
            while not self._over.is_set():
                self._note(await front.send(Request(path="/predict/shop", body=question(draws))))
                await asyncio.sleep(PACE_S)

    def _note(self, reply: Reply) -> None:
        if reply.status != 200 or reply.attempts > 1 or not is_good(reply.body):
            self.bad.append(reply)
            return
        self.answered[reply.version] = self.answered.get(reply.version, 0) + 1
        self.last[reply.version] = time.monotonic()


def question(draws: np.random.Generator) -> bytes:
    """A random row; every third one is of the kind on which the faulty models fail."""
    row = dict(zip(NAMES, draws.uniform(-1, 1, 3).tolist(), strict=True))
    if draws.random() < 1 / 3:
        row |= {"a": 2.0, "b": -2.0}
    return msgspec.json.encode(row)


def is_good(body: bytes) -> bool:
    [answer] = msgspec.json.decode(body)["predictions"]
    return isinstance(answer["score"], float) and math.isfinite(answer["score"]) and bool(answer["id"])


class Served:
    """`evertrain serve` in a folder of its own, and the other commands beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.control_port = free_port(), free_port()
        self.log = folder / "serve.log"
        self.supervisor: subprocess.Popen[str] | None = None
        self.answered = 0
        for number, rounds in enumerate((20, 21), start=1):  # as fast as one another: latency is evidence too
            train(rounds, folder / f"model{number}.txt")
        (folder / "schema.json").write_bytes(msgspec.json.encode(SCHEMA))

    @property
    def state(self) -> State:
        return State.open(self.folder / ".evertrain")

    def serve(self) -> None:
        """Start, and wait until predictions are answered."""
        words = ["serve", "model1.txt", "--schema", "schema.json", "--service", "shop", "--json"]
        ports = ["--port", str(self.port), "--control-port", str(self.control_port)]
        with self.log.open("a") as log:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-m", "evertrain", *words, *ports],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.supervisor.stdout is not None
        assert self.supervisor.stdout.readline(), self.log.read_text()[-4000:]
        wait_until(self.answers, "an answer of every worker")

    def answers(self) -> bool:
        """Whether every worker follows the routing table, and it names a champion."""
        table = RoutingFile(self.state.routing).read()
        workers = [one for one in heartbeats(self.state) if one.role == "worker" and alive(one)]
        following = all(serves(table, one.generation, one.ready) for one in workers)
        return SHOP in table.routes and table.routes[SHOP].champion is not None and bool(workers) and following

    def kill_supervisor(self) -> None:
        if self.supervisor is not None:
            self.supervisor.kill()
            self.supervisor.wait(60)
            if self.supervisor.stdout is not None:
                self.supervisor.stdout.close()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command, typed in the same folder."""
        command = [sys.executable, "-m", "evertrain", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=120)

    def told(self, *words: str) -> Any:
        """What a command prints as JSON."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return msgspec.json.decode(done.stdout)

    def push(self, file: str) -> VersionId:
        told = self.told("push", file)
        assert told["new"]
        return VersionId(told["version"])

    def record(self) -> ServiceRecord:
        with Ledger.open(self.state.ledger) as ledger:
            return Registry(ledger.read()).service(SHOP)

    def settle(self, version: VersionId, seconds: float = 120.0) -> ServiceRecord:
        """Wait until nothing is open about a version."""

        def is_over() -> bool:
            record = self.record()
            registered = version in record.versions
            return registered and not record.open_cycles and record.open_rollout is None

        wait_until(is_over, f"the end of version {version[:10]}", seconds)
        return self.record()

    def newest(self) -> str:
        return "; ".join(f"{one.outcome}: {one.reason}" for one in self.record().decisions[-3:])

    def failures(self, version: VersionId) -> set[str]:
        """The causes for which a version could not answer, as the prediction log has them."""
        return {record.cause for record in self.logged(Failed) if record.version == version}

    def logged(self, kind: type[Kind]) -> list[Kind]:
        """All records of a kind in the prediction log."""
        reader = LogReader(self.state.log)
        positions: dict[str, Position] = {}
        found: list[Kind] = []
        while read := reader.tail(positions):
            positions |= {position.writer: position for position, _ in read}
            found += [record for _, record in read if isinstance(record, kind)]
        reader.close()
        return found

    def end(self) -> None:
        """End every process of the folder."""
        self.kill_supervisor()
        mine = str(self.folder)
        for process in psutil.process_iter():
            try:
                if any(mine in word for word in process.cmdline()):
                    process.kill()
            except psutil.Error:
                continue


def train(rounds: int, path: Path) -> None:
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(1000, 3))
    label = (rows[:, 0] + rows[:, 1] / 2 + draws.normal(size=1000) > 0).astype(float)
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    lightgbm.train(parameters, lightgbm.Dataset(rows, label, feature_name=list(NAMES)), rounds).save_model(path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests, in the order in which they stand."""
    made = Served(tmp_path_factory.mktemp("a user's folder"))
    try:
        made.serve()
        yield made
    finally:
        made.end()


@pytest.fixture
def customers(served: Served) -> Iterator[Customers]:
    """Customers who ask during the whole test; not one of them may get a bad answer."""
    with Customers(served.port) as asking:
        yield asking
    served.answered += asking.total
    assert asking.bad == []
    assert asking.total > 0


def test_a_good_push_is_promoted(served: Served, customers: Customers) -> None:
    first = served.record().champion
    version = served.push("model2.txt")
    record = served.settle(version)
    assert record.champion == version, served.newest()
    assert record.previous == first
    assert [rollout.shares[-1][1] for rollout in record.rollouts.values() if rollout.version == version] == [1.0]
    wait_until(lambda: customers.answered.get(version, 0) > 1000, "answers of the new champion")


@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_bad_push_is_rolled_back_and_nobody_notices(served: Served, customers: Customers, fault: str) -> None:
    champion = served.record().champion
    file = served.folder / f"{fault.replace(' ', '_')}.py"
    file.write_text(FAULTY.format(fault=FAULTS[fault]))
    version = served.push(file.name)
    record = served.settle(version)
    assert record.champion == champion
    [rollout] = [one for one in record.rollouts.values() if one.version == version]
    assert rollout.state.value == "rolled_back"
    assert rollout.evidence["e_errors"] >= rollout.evidence["e_limit"] == 100.0
    assert "canary errors" in record.versions[version].refused
    found = served.failures(version)
    assert found
    assert found <= CAUSES[fault]

    again = served.run("push", file.name)
    assert again.returncode == 1
    assert "The same artifact was refused" in again.stdout
    assert "canary errors" in again.stdout
    assert len(customers.answered) <= 2  # the champion, and the canary where it could answer


def test_a_push_that_fails_in_the_check_server_gets_no_traffic(served: Served, customers: Customers) -> None:
    (served.folder / "broken.py").write_text("def predict(rows):\n    raise KeyError('a')\n")
    version = served.push("broken.py")
    record = served.settle(version)
    assert [one for one in record.rollouts.values() if one.version == version] == []
    assert "KeyError" in record.versions[version].refused
    assert version not in customers.answered


def test_the_commands_tell_the_truth(served: Served) -> None:
    record = served.record()
    models = served.told("models")
    assert [one["version"] for one in models] == list(record.versions)
    states = [one["state"] for one in models]
    assert states.count("champion") == 1
    assert states.count("standby") == 1
    assert states.count("refused") == len(FAULTS) + 1
    status = served.told("status")
    assert status["routing"]["routes"][SHOP]["champion"] == record.champion
    assert {one["role"] for one in status["processes"] if one["alive"]} >= {"worker", "controller", "data"}
    decisions = served.told("decisions", "--limit", "1000")
    assert len(decisions) == min(1000, len(record.decisions))
    assert all(one["reason"] for one in decisions)
    for name in ("models", "status", "decisions"):
        plain = served.run(name)
        assert plain.returncode == 0
        assert "no such shop" in plain.stdout or "canary errors" in plain.stdout


def test_a_rollback_takes_less_than_a_second(served: Served, customers: Customers) -> None:
    before = served.record()
    assert before.champion is not None
    wait_until(lambda: customers.answered.get(before.champion or "", 0) > 100, "answers of the champion")
    done = served.run("rollback", "--reason", "complaints from the desk")
    returned = time.monotonic()
    assert done.returncode == 0, done.stderr
    assert "answers again" in done.stdout
    previous = before.previous or ""
    wait_until(lambda: customers.answered.get(previous, 0) > 500, "answers of the version before")
    late = customers.last[before.champion] - returned
    log.info("the last answer of what was taken back came %.0f ms after the command returned", late * 1000)
    assert late < 1.0
    again = served.run("push", "model2.txt")
    assert again.returncode == 1
    assert "took back" in again.stdout


def test_a_restart_goes_on_where_the_killed_one_was(served: Served) -> None:
    before = served.record()
    workers = [one for one in heartbeats(served.state) if one.role == "worker" and alive(one)]
    with Customers(served.port) as customers:
        served.kill_supervisor()
        served.serve()
        wait_until(lambda: not any(alive(one) for one in workers), "the end of the old workers")
        seen = customers.total
        wait_until(lambda: customers.total > seen + 200, "answers of the new workers")
    served.answered += customers.total
    assert customers.bad == []
    assert list(customers.answered) == [before.champion]
    after = served.record()
    assert after.champion == before.champion
    assert list(after.versions) == list(before.versions)
    assert served.told("status")["routing"]["routes"][SHOP]["champion"] == before.champion


def test_ctrl_c_ends_everything(served: Served) -> None:
    assert served.supervisor is not None
    os.kill(served.supervisor.pid, signal.SIGINT)
    assert served.supervisor.wait(60) == 0
    assert [one.name for one in heartbeats(served.state) if alive(one)] == []


def test_every_answer_is_on_record_and_the_record_is_sound(served: Served) -> None:
    assert len(served.logged(Predicted)) == served.answered
    proven = served.run("ledger", "verify")
    assert proven.returncode == 0, proven.stdout
    assert "Everything is as it was recorded." in proven.stdout
