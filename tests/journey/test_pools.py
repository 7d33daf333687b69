"""A service whose versions enter by workers of their own: pushed, taken back, restarted, and with other libraries.

The real commands, their real processes, real HTTP. Customers ask all the time over connections that they keep; whatever
is switched, not one of their requests fails, and none that is sent after a command has returned gets an old answer.
"""

import logging
import time
from collections.abc import Iterator

import httpx
import pytest

from evertrain.core.identity import VersionId
from evertrain.core.pool import Pools
from evertrain.store.access import token
from evertrain.store.process import alive, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.testing.older import LOCK, Older
from evertrain.testing.served import SHOP, Customers, Served, train
from evertrain.testing.tree import wait_until

log = logging.getLogger(__name__)

CRASHING = """
import os
import signal


def predict(rows):
    if any(row["a"] > 1 and row["b"] < -1 for row in rows):  # no golden request is like that
        os.kill(os.getpid(), signal.SIGSEGV)
    return [0.75 for _ in rows]
"""
FAULTY = """
def predict(rows):
    if any(row["a"] > 1 and row["b"] < -1 for row in rows):  # no golden request is like that
        raise RuntimeError("no such shop")
    return [0.25 for _ in rows]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests, in the order in which they stand."""
    made = Served(tmp_path_factory.mktemp("two pools"), "model1.txt", rollout=("--blue-green", "1h"))
    for number in (1, 2, 3):
        train(20 + number, made.folder / f"model{number}.txt")
    try:
        made.serve()
        yield made
    finally:
        made.end()


@pytest.fixture
def customers(served: Served) -> Iterator[Customers]:
    """Customers who ask during the whole test; not one of them may get a bad answer."""
    with Customers(served.port, state=served.state) as asking:
        wait_until(lambda: asking.total > 100, "answers")
        yield asking
    assert asking.bad[:3] == []


def version_of(served: Served, ordinal: int) -> VersionId:
    return next(one.version for one in served.record().versions.values() if one.ordinal == ordinal)


def pools_of(served: Served) -> Pools:
    return served.record().pools


def workers_of(served: Served, pool: int) -> set[int]:
    """The processes of a pool that are at work."""
    return {
        one.pid
        for one in heartbeats(served.state)
        if one.role == "worker" and one.pool == pool and not one.starting and alive(one)
    }


def test_a_push_enters_at_once_by_workers_of_its_own(served: Served, customers: Customers) -> None:
    first = served.record().champion or ""
    before = workers_of(served, 0)
    done = served.run("push", "model2.txt", "--wait")
    returned = time.monotonic()
    assert done.returncode == 0, done.stdout + done.stderr
    second = version_of(served, 2)
    assert served.record().champion == second
    wait_until(lambda: customers.answered.get(second, 0) > 500, "answers of the successor")
    log.info("the last old answer was asked for %.3f s before the command returned", returned - customers.asked[first])
    assert customers.asked[first] < returned
    assert workers_of(served, 0) == before
    assert len(workers_of(served, 1)) == len(before)
    told = served.run("status").stdout
    assert "  pool 1 takes all connections; 2 workers up\n" in told
    assert "  pool 0 stands by with version 1 of shop until " in told
    assert "version 1 stands by\n" in told


def test_the_way_back_takes_less_than_a_second(served: Served, customers: Customers) -> None:
    first, second = (version_of(served, number) for number in (1, 2))
    bearer = {"authorization": f"Bearer {token('control', served.state.keys)}"}
    asked = time.monotonic()
    httpx.post(
        f"http://127.0.0.1:{served.control_port}/api/services/{SHOP}/rollback",
        json={"reason": "complaints from the desk"},
        headers=bearer,
        trust_env=False,
        timeout=60,
    ).raise_for_status()
    wait_until(lambda: served.answers() and customers.answered.get(first, 0) > 500, "answers of the version before")
    late = customers.late(second, asked)
    log.info("the last answer of what was taken back came %.3f s after the order", late)
    assert late < 1.0
    assert pools_of(served).accepting.number == 0


def test_what_was_taken_back_comes_again_and_a_restart_replaces_the_workers_of_both_pools(
    served: Served, customers: Customers
) -> None:
    first, second = (version_of(served, number) for number in (1, 2))
    done = served.run("promote", "2", "--reason", "it was the network", "--yes")
    returned = time.monotonic()
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: customers.answered.get(second, 0) > 500, "answers of the successor")
    assert customers.asked[first] < returned

    before = {number: workers_of(served, number) for number in (0, 2)}
    assert all(before.values())
    done = served.run("restart")
    assert done.returncode == 0, done.stdout + done.stderr
    for number, pids in before.items():
        after = workers_of(served, number)
        assert len(after) == len(pids)
        assert not after & pids

    done = served.run("rollback", "--reason", "it was not")
    returned = time.monotonic()
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: customers.asked[first] > returned + 0.5, "answers of the version before")
    assert customers.asked[second] < returned


def test_a_version_that_fails_after_the_switch_is_taken_back_unattended(served: Served) -> None:
    (served.folder / "faulty.py").write_text(FAULTY)
    version = served.push("faulty.py")
    with Customers(served.port) as customers:
        wait_until(lambda: served.record().versions[version].refused != "", "the way back")
        wait_until(served.answers, "the version before")
        bad, failed = customers.answered.get(version, 0), len(customers.bad)
        seen = customers.total
        wait_until(lambda: customers.total > seen + 500, "answers of the version before")
        assert customers.answered.get(version, 0) <= bad + 24
        assert len(customers.bad) <= failed + 24  # what was under way
    assert customers.bad
    record = served.record()
    assert record.champion == version_of(served, 1)
    assert " is worse than version 1, which it replaced" in record.versions[version].refused
    again = served.run("push", "faulty.py")
    assert again.returncode == 1
    assert "requests failed since the switch" in again.stdout


def test_a_version_that_ends_its_workers_after_the_switch_is_taken_back_unattended(served: Served) -> None:
    (served.folder / "crashing.py").write_text(CRASHING)
    with Customers(served.port):  # whose connections end with the workers
        version = served.push("crashing.py")
        wait_until(lambda: served.record().versions[version].refused != "", "the way back")
    wait_until(served.answers, "the version before")
    record = served.record()
    assert record.champion == version_of(served, 1)
    assert "workers crashed since, and 0 before" in record.versions[version].refused
    with Customers(served.port) as customers:
        wait_until(lambda: customers.total > 100, "answers of the version before")
    assert customers.bad[:3] == []
    assert set(customers.answered) == {record.champion}


def test_a_push_with_a_lock_enters_with_its_own_library(served: Served, customers: Customers, older: Older) -> None:
    lock = older.lend(served.state)
    (served.folder / "requirements.lock").write_text(LOCK)
    done = served.run("push", "model3.txt", "--environment", "requirements.lock", "--wait")
    returned = time.monotonic()
    assert done.returncode == 0, done.stdout + done.stderr
    third = served.record().champion or VersionId("")
    wait_until(lambda: customers.answered.get(third, 0) > 500, "answers of the version")
    assert customers.asked[version_of(served, 1)] < returned
    table = RoutingFile(served.state.routing).read()
    assert [pool.environment for pool in table.pools if pool.number == table.accepting] == [lock]
    done = served.run("rollback", "--reason", "seen enough")
    returned = time.monotonic()
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: customers.asked[version_of(served, 1)] > returned + 0.5, "answers of the version before")
    assert customers.asked[third] < returned
