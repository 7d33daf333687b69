"""Swaps of models under a load that comes on a schedule: who published what when, and what the clients then got."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import httpx
import lightgbm
import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.identity import VersionId, digest_of
from evertrain.core.model import Manifest, Output
from evertrain.core.routing import Route
from evertrain.core.schema import Column, Input, Schema
from evertrain.model.limits import thread_environment
from evertrain.process.supervision.roster import serves
from evertrain.runtime.lightgbm import LightGBMModel
from evertrain.store.access import token
from evertrain.store.process import Heartbeat, alive, heartbeat_at, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.testing.arrivals import ARRIVAL, Ending, Plan, Question, read_arrivals
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.served import Served
from evertrain.testing.tree import wait_until

__all__ = ["Desk", "Models", "Ordered", "Swap", "Swapper", "arriving", "busy_training"]

_COLUMNS = tuple(f"x{number}" for number in range(24))
_SCHEMA = Schema(tuple(Column(name=name, type="float64") for name in _COLUMNS))
_TREES = 200
_BATCH = 150
"""Rows of a batch: more than a worker scores before it looks after others, so that a swap may come in between."""
_LOOK_S = 0.01
_TRAINING = """
import lightgbm, numpy
from evertrain.model.limits import confine
confine(memory_mb=4096, nice=19)
draws = numpy.random.default_rng(7)
rows = draws.normal(size=(200_000, 24))
label = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(float)
while True:
    parameters = {"objective": "binary", "num_leaves": 63, "verbose": -1, "num_threads": 1}
    lightgbm.train(parameters, lightgbm.Dataset(rows, label), 200)
"""


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """One swap, or a moment at which none was made. Times in nanoseconds of the monotonic clock.

    before, after: places of versions. begun: when it was asked for; committed: when the table that names the new
    champion began to be published; done: when every worker had said that it obeys it.
    """

    kind: Literal["load", "revert", "placebo"]
    before: int
    after: int
    begun: int
    committed: int
    done: int


class Models:
    """Two models of 200 trees, questions for them, and the scores that each gives."""

    def __init__(self, folder: Path) -> None:
        draws = np.random.default_rng(3)
        rows = draws.normal(size=(4_000, len(_COLUMNS)))
        self.files = [folder / f"model{number}.txt" for number in (1, 2)]
        for number, file in enumerate(self.files):
            label = (rows[:, number] + rows[:, 2] * rows[:, 3] > 0).astype(float)
            parameters = {"objective": "binary", "num_leaves": 31, "verbose": -1, "num_threads": 1}
            data = lightgbm.Dataset(rows, label, feature_name=list(_COLUMNS))
            lightgbm.train(parameters, data, _TREES).save_model(file)
        self._loaded = [LightGBMModel(file, [Input(name=name) for name in _COLUMNS]) for file in self.files]
        self._draws = draws

    def questions(self, count: int) -> tuple[Question, ...]:
        """So many single rows, and one batch after them."""
        singles = [self._draws.normal(size=(1, len(_COLUMNS))).round(6) for _ in range(count)]
        return tuple(self._question(rows) for rows in (*singles, self._draws.normal(size=(_BATCH, len(_COLUMNS)))))

    def _question(self, rows: NDArray[np.float64]) -> Question:
        records = [dict(zip(_COLUMNS, row, strict=True)) for row in rows.tolist()]
        body = msgspec.json.encode(records[0] if len(records) == 1 else {"rows": records}).decode()
        return Question(body, tuple(tuple(model.predict(rows).tolist()) for model in self._loaded))

    def versions(self, installation: Installation, count: int) -> list[VersionId]:
        """So many different versions, whose models are the two in turn."""
        digests = [installation.artifacts.blobs.put(file.read_bytes()) for file in self.files]
        return [
            installation.put(
                Manifest(
                    service=SHOP,
                    format="lightgbm",
                    model=digests[number % 2],
                    bundle=None,
                    features=digest_of(_SCHEMA),
                    inputs=_SCHEMA,
                    vector=tuple(Input(name=name) for name in _COLUMNS),
                    output=Output(),
                    parameters={"number": number},
                )
            )
            for number in range(count)
        ]


class Swapper:
    """Publishes tables of routes for the workers of an installation, and waits until they follow."""

    def __init__(self, installation: Installation, versions: Sequence[VersionId]) -> None:
        self._installation = installation
        self._versions = versions
        self._next = 1
        self._champion = 0
        self._previous: int | None = None
        installation.route(Route(service=SHOP, champion=versions[0]))

    def workers(self) -> list[Heartbeat]:
        found = heartbeats(self._installation.state)
        return [one for one in found if one.role == "worker" and not one.starting and alive(one)]

    def load(self) -> Swap:
        """The next version comes, in two phases; the one that answered stays as standby."""
        before, after = self._champion, self._next
        self._next += 1
        version = self._versions[after]
        begun = time.monotonic_ns()
        self._publish(before, self._previous, prepare=(version,))
        self._await(lambda one: version in one.ready)
        committed, done = self._flip(after, before)
        return Swap(kind="load", before=before, after=after, begun=begun, committed=committed, done=done)

    def revert(self) -> Swap:
        """Back to the standby, in one flip; what is taken back stays as standby until the next version comes."""
        before, after = self._champion, self._previous
        if after is None:
            raise AssertionError("There is no version to go back to")
        committed, done = self._flip(after, before)
        return Swap(kind="revert", before=before, after=after, begun=committed, committed=committed, done=done)

    def placebo(self) -> Swap:
        """A moment like any other."""
        now = time.monotonic_ns()
        return Swap(kind="placebo", before=self._champion, after=self._champion, begun=now, committed=now, done=now)

    def _flip(self, champion: int, previous: int) -> tuple[int, int]:
        committed = time.monotonic_ns()
        self._publish(champion, previous)
        table = self._table
        self._await(lambda one: serves(table, one.generation, one.ready))
        self._champion, self._previous = champion, previous
        return committed, time.monotonic_ns()

    def _publish(self, champion: int, previous: int | None, prepare: tuple[VersionId, ...] = ()) -> None:
        standby = None if previous is None else self._versions[previous]
        route = Route(service=SHOP, champion=self._versions[champion], previous=standby, prepare=prepare)
        self._table = self._installation.route(route)

    def _await(self, holds: Callable[[Heartbeat], bool]) -> None:
        """Wait for all workers. They are looked up once: what the looking costs, those who answer cannot have."""
        end = time.monotonic() + 120
        waiting = [worker.name for worker in self.workers()]
        while waiting:
            told = {name: heartbeat_at(self._installation.state, name) for name in waiting}
            waiting = [name for name, one in told.items() if one is None or not holds(one)]
            if time.monotonic() > end:
                raise AssertionError(f"The workers do not follow: {told}")
            time.sleep(_LOOK_S if waiting else 0)


class Ordered(msgspec.Struct, frozen=True, kw_only=True):
    """One order of a person. Times in nanoseconds of the monotonic clock.

    before, after: places of versions. asked: when it was sent; answered: when that returned. reported: whether the
    answer says that the switch is done.
    """

    verb: Literal["rollback", "promote"]
    before: int
    after: int
    asked: int
    answered: int
    reported: bool


class Desk:
    """A person at `evertrain serve` of the first model, who puts the second one into service and takes it back."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._champion = 0
        first = served.record().champion
        if first is None:
            raise AssertionError("Nothing answers")
        self.versions = (first, served.push(served.model.replace("1", "2")))
        headers = {"authorization": f"Bearer {token('control', served.state.keys)}"}
        base = f"http://127.0.0.1:{served.control_port}/api/services/{served.service}/"
        self._api = httpx.Client(base_url=base, headers=headers, timeout=90)

    def command(self, verb: Literal["rollback", "promote"]) -> Ordered:
        """By a command, which returns when it is done."""
        named = ("2", "--yes") if verb == "promote" else ()
        return self._order(verb, lambda: self._served.told(verb, *named, "--reason", "a measurement"), reported=True)

    def api(self, verb: Literal["rollback", "promote"]) -> Ordered:
        """By the control API, which takes the order and returns at once."""
        named = {"version": "2"} if verb == "promote" else {}
        return self._order(verb, lambda: self._post(verb, named | {"reason": "a measurement"}), reported=False)

    def _post(self, verb: str, body: dict[str, str]) -> None:
        self._api.post(verb, json=body).raise_for_status()

    def _order(self, verb: Literal["rollback", "promote"], send: Callable[[], object], *, reported: bool) -> Ordered:
        before, after = self._champion, int(verb == "promote")
        asked = time.monotonic_ns()
        send()
        answered = time.monotonic_ns()
        wait_until(lambda: self._answers(self.versions[after]), "the switch")
        self._champion = after
        return Ordered(verb=verb, before=before, after=after, asked=asked, answered=answered, reported=reported)

    def _answers(self, version: VersionId) -> bool:
        route = RoutingFile(self._served.state.routing).read().routes.get(self._served.service)
        return route is not None and route.champion == version and self._served.answers()


class Arrived(msgspec.Struct):
    """What came of a load, when it has ended. requests: (n,) of ARRIVAL."""

    requests: NDArray[np.void]
    ending: Ending


@contextmanager
def arriving(folder: Path, plan: Plan) -> Iterator[Arrived]:
    """A load for as long as the context lasts; what came of it is there afterwards."""
    folder.mkdir()
    (folder / "plan.json").write_bytes(msgspec.json.encode(plan))
    command = [sys.executable, "-m", "evertrain.testing.arrivals", str(folder)]
    arrived = Arrived(np.empty(0, ARRIVAL), Ending((), 0))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdout is None or not process.stdout.readline():
            raise AssertionError("The load did not begin")
        yield arrived
        process.communicate(timeout=180)
    if process.returncode != 0:
        raise AssertionError(f"The load ended with {process.returncode}")
    arrived.requests = read_arrivals(folder)
    arrived.ending = msgspec.json.decode((folder / "ending.json").read_bytes(), type=Ending)


@contextmanager
def busy_training() -> Iterator[None]:
    """A training of 200,000 rows, again and again, confined as a trainer is: nice 19, one thread, its own session."""
    environment = os.environ | thread_environment(1)
    with subprocess.Popen([sys.executable, "-c", _TRAINING], env=environment, start_new_session=True) as process:
        try:
            yield
        finally:
            process.kill()
