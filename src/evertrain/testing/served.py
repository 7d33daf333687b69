"""A user's folder in which a model file is served by the real command, and customers who ask all the time."""

import asyncio
import math
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import lightgbm
import msgspec
import numpy as np
import psutil

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Failed, Predicted, Shadowed
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.process.supervision.roster import serves
from evertrain.store.ledger import Ledger
from evertrain.store.process import alive, heartbeats
from evertrain.store.reader import LogReader
from evertrain.store.routing import RoutingFile
from evertrain.store.segment import Position
from evertrain.store.state import State
from evertrain.story.front import Front, Reply, Request
from evertrain.testing.stalls import Stalls
from evertrain.testing.tree import free_port, wait_until

__all__ = ["SHOP", "Customers", "Served", "train"]

SHOP = ServiceName("shop")
NAMES = ("a", "b", "c")
SCHEMA = {"columns": [{"name": name, "type": "float64", "low": -5, "high": 5} for name in NAMES]}
PACE_S = 0.01
Kind = TypeVar("Kind", Failed, Predicted, Shadowed)


class Customers:
    """Many customers at once, each asking one thing after the other, for as long as the context lasts.

    last: when the last answer of a version came; asked: when it had been asked for. late: how late that was.
    state: of the installation that answers, whose waiting for a processor is not counted as late.
    """

    def __init__(self, port: int, count: int = 24, *, state: State | None = None) -> None:
        self._port = port
        self._count = count
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._ask_all()), daemon=True)
        self.bad: list[Reply] = []
        self.answered: dict[str, int] = {}
        self.last: dict[str, float] = {}
        self.asked: dict[str, float] = {}
        self._stalls = Stalls(state)

    def late(self, version: str, moment: float) -> float:
        """How many seconds after a moment the last answer of a version came, without those in which the customers
        stood still or who answers got no processor: a machine that stops for two seconds says nothing of either.
        """
        last = self.last[version]
        return last - moment - self._stalls.between(moment, last)

    @property
    def total(self) -> int:
        return sum(self.answered.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(120)

    async def _ask_all(self) -> None:
        lanes = (self._ask(np.random.default_rng(lane)) for lane in range(self._count))
        await asyncio.gather(self._feel_stalls(), *lanes)

    async def _feel_stalls(self) -> None:
        while not self._over.is_set():
            self._stalls.look()
            await asyncio.sleep(PACE_S)

    async def _ask(self, draws: np.random.Generator) -> None:
        async with Front("127.0.0.1", self._port, 1) as front:
            while not self._over.is_set():
                asked = time.monotonic()
                self._note(await front.send(Request(path="/predict/shop", body=question(draws))), asked)
                await asyncio.sleep(PACE_S)

    def _note(self, reply: Reply, asked: float) -> None:
        if reply.status != 200 or reply.attempts > 1 or not is_good(reply.body):
            self.bad.append(reply)
            return
        self.answered[reply.version] = self.answered.get(reply.version, 0) + 1
        self.last[reply.version] = time.monotonic()
        self.asked[reply.version] = max(asked, self.asked.get(reply.version, 0.0))


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
    """`evertrain serve` of `model` in a folder of its own, and the other commands beside it.

    columns: the words that say which columns there are; none where the model says it. rollout: those that say how
    successors enter.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        columns: Sequence[str] = ("--schema", "schema.json"),
        service: ServiceName = SHOP,
        rollout: Sequence[str] = ("--max-bad-answers", "1e9"),  # these customers would ask millions of times a day
    ) -> None:
        self.folder = folder
        self.rollout = tuple(rollout)
        self.service = service
        self.model = model
        self.columns = tuple(columns)
        self.port, self.control_port = free_port(), free_port()
        self.log = folder / "serve.log"
        self.supervisor: subprocess.Popen[str] | None = None
        self.answered = 0
        (folder / "schema.json").write_bytes(msgspec.json.encode(SCHEMA))

    @property
    def state(self) -> State:
        return State.open(self.folder / ".evertrain")

    def serve(self) -> None:
        """Start, and wait until predictions are answered."""
        words = ["serve", self.model, *self.columns, "--service", self.service, "--json", *self.rollout]
        ports = ["--port", str(self.port), "--control-port", str(self.control_port)]
        with self.log.open("a") as log:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-m", "evertrain", *words, *ports],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        if self.supervisor.stdout is None or not self.supervisor.stdout.readline():
            raise AssertionError(f"It did not come up:\n{self.log.read_text()[-4000:]}")
        wait_until(self.answers, "an answer of every worker")

    def answers(self) -> bool:
        """Whether every worker follows the routing table, and it names a champion."""
        table = RoutingFile(self.state.routing).read()
        workers = [one for one in heartbeats(self.state) if one.role == "worker" and alive(one)]
        following = all(serves(table, one.generation, one.ready) for one in workers)
        route = table.routes.get(self.service)
        return route is not None and route.champion is not None and bool(workers) and following

    def kill_supervisor(self) -> None:
        if self.supervisor is not None:
            self.supervisor.kill()
            self.supervisor.wait(120)
            if self.supervisor.stdout is not None:
                self.supervisor.stdout.close()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command, typed in the same folder."""
        command = [sys.executable, "-m", "evertrain", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=300)

    def told(self, *words: str) -> Any:
        """What a command prints as JSON."""
        done = self.run(*words, "--json")
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return msgspec.json.decode(done.stdout)

    def push(self, file: str) -> VersionId:
        """Push a file; returns its version, which must be a new one."""
        told = self.told("push", file)
        if not told["new"]:
            raise AssertionError(f"{file} was there before: {told}")
        return VersionId(told["version"])

    def record(self) -> ServiceRecord:
        with Ledger.open(self.state.ledger) as ledger:
            return Registry(ledger.read()).service(self.service)

    def settle(self, version: VersionId, seconds: float = 300.0) -> ServiceRecord:
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
    """A small LightGBM model of the toy service."""
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(1000, 3))
    label = (rows[:, 0] + rows[:, 1] / 2 + draws.normal(size=1000) > 0).astype(float)
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    lightgbm.train(parameters, lightgbm.Dataset(rows, label, feature_name=list(NAMES)), rounds).save_model(path)
