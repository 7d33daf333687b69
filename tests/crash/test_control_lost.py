"""The controller is killed, its ledger is gone, and nobody can write to `control/`: users are answered as before, by
workers that die and by a supervisor that dies as well; and when it is back, everything is on record, each answer once.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pytest

from evertrain.data.commit import predictions_table
from evertrain.process.view.advice import advise
from evertrain.process.view.situation import look_at
from evertrain.store.process import Heartbeat, alive, heartbeats
from evertrain.store.table import Table
from evertrain.testing.disk import read_only
from evertrain.testing.served import SHOP, Served, train
from evertrain.testing.tree import Customer, wait_until

QUESTION = {"a": 0.5, "b": -0.5, "c": 0.0}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path, "model1.txt")
    train(5, made.folder / "model1.txt")
    try:
        made.serve()
        yield made
    finally:
        made.end()


def living(served: Served) -> dict[str, Heartbeat]:
    return {one.name: one for one in heartbeats(served.state) if alive(one)}


def kill(served: Served, name: str) -> None:
    """SIGKILL it; a worker is waited for until another one of its name answers."""
    dead = living(served)[name]
    os.kill(dead.pid, signal.SIGKILL)
    if dead.role == "worker":
        wait_until(lambda: (one := living(served).get(name)) is not None and one.pid != dead.pid, f"another {name}")
        wait_until(lambda: bool(living(served)[name].ready), f"what {name} loads")


def take_away(served: Served, aside: Path) -> None:
    """Move the ledger's files out of the installation."""
    aside.mkdir()
    for file in served.state.ledger.parent.glob("ledger.db*"):
        file.rename(aside / file.name)


def bring_back(served: Served, aside: Path) -> None:
    for file in aside.iterdir():
        file.rename(served.state.ledger.with_name(file.name))


def know_all(served: Served, behind: dict[str, list[int]]) -> bool:
    """Whether these processes have read the log to its end. behind: up to when each said that it has, on the way."""
    beats = living(served)
    for name, told in behind.items():
        known_to = beats[name].known_to if name in beats else None
        if known_to is not None and told[-1:] != [known_to]:
            told.append(known_to)
    return all(name in beats and not beats[name].starting and beats[name].known_to is None for name in behind)


def asked_since(customers: list[Customer], requests: int = 50) -> None:
    before = [len(one.answers) for one in customers]
    wait_until(lambda: all(len(one.answers) >= count + requests for one, count in zip(customers, before, strict=True)))


@pytest.mark.usefixtures("sealing")
@pytest.mark.parametrize("seconds", [60.0, pytest.param(600.0, marks=[pytest.mark.soak, pytest.mark.timeout(2400)])])
def test_without_control_users_are_answered_and_nothing_is_lost(served: Served, tmp_path: Path, seconds: float) -> None:
    champion = served.record().champion
    customers = [Customer(served.port, f"/predict/{SHOP}", QUESTION, insists=True) for _ in range(6)]
    for customer in customers:
        customer.start()
    asked_since(customers)
    with ExitStack() as restored:
        take_away(served, tmp_path / "aside")
        restored.enter_context(read_only(served.state.path / "control"))
        for name in ("controller", "data"):
            kill(served, name)
        begun = time.monotonic()
        wait_until(lambda: served.log.read_text().count(" cannot be used: ") > 3, "planes that try")
        asked_since(customers)
        found = look_at(served.state)
        assert any("There is no ledger" in one.what for one in advise(found))

        kill(served, "w0")
        asked_since(customers)
        before = living(served)
        served.kill_supervisor()
        asked_since(customers)
        served.serve()
        wait_until(lambda: not any(alive(one) for one in before.values()), "the end of the old workers")
        asked_since(customers)
        assert "nothing is decided" in served.log.read_text()
        kill(served, next(name for name, one in living(served).items() if one.role == "worker"))
        wait_until(lambda: time.monotonic() - begun > seconds, "the end of the time", seconds + 60)
        asked_since(customers)
    bring_back(served, tmp_path / "aside")
    behind: dict[str, list[int]] = {"controller": [], "data": []}
    wait_until(lambda: know_all(served, behind), "what was missed being read", max(180.0, seconds))
    asked_since(customers)
    for customer in customers:
        customer.stop()
    answered = time.time_ns() // 1000
    wait_until(lambda: "data" in living(served) and living(served)["data"].settled > answered, "the log being read")
    assert "Traceback" not in served.log.read_text()
    for told in behind.values():
        assert told == sorted(told)
        assert told != []

    assert served.record().champion == champion
    assert [failure for one in customers for failure in one.failures] == []
    answers = [answer["predictions"][0] for one in customers for answer in one.answers]
    assert {one["version"] for one in answers} == {champion}
    assert sum(one.lost for one in customers) <= 3 * len(customers)  # three workers were killed
    assert served.supervisor is not None
    served.supervisor.terminate()  # the data process commits what waits
    assert served.supervisor.wait(180) == 0
    table = Table(served.state.tables, predictions_table(SHOP)).read(columns=["id", "retry"])
    counted = Counter(table.filter(~pl.col("retry"))["id"])
    assert {counted[one["id"]] for one in answers} == {1}
    assert served.run("ledger", "verify").returncode == 0
