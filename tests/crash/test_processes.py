"""SIGKILL of any process, at any moment: the tree comes back, and users notice nothing that the contract excludes."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from evertrain.core.event import ProcessesRestarted, ProcessExited
from evertrain.core.prediction import Predicted
from evertrain.core.routing import Arm, Route
from evertrain.store.exit import exit_notes
from evertrain.store.ledger import Ledger
from evertrain.store.process import beat, heartbeat_of
from evertrain.store.reader import LogReader
from evertrain.testing.installation import SHOP, SHOP_ROW, SHOP_SCHEMA, Installation
from evertrain.testing.tree import Customer, Tree, free_port, wait_until

GOOD = "def predict(rows):\n    return [min(1.0, row['amount'] / 100) for row in rows]\n"
OTHER = "def predict(rows):\n    return [min(1.0, row['amount'] / 200) for row in rows]\n"
QUESTION = dict(zip(SHOP_SCHEMA.names, SHOP_ROW, strict=True))
IDLE_S = 10.0
"""So long a worker waits for what a new connection has to say."""


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("home") / "my state ☃")


@pytest.fixture(scope="module")
def standing(installation: Installation) -> Iterator[Tree]:
    """One tree for all tests: whatever a test kills has to come back for the next one."""
    with Tree(installation.state) as found:
        yield found


@pytest.fixture
def tree(standing: Tree, installation: Installation) -> Tree:
    """The whole tree, with one champion and nothing on trial."""
    installation.route(Route(service=SHOP, champion=installation.add(GOOD)))
    if standing.supervisor is None:
        standing.up()
    wait_until(lambda: is_whole(standing), "the whole tree")
    return standing


def is_whole(tree: Tree) -> bool:
    """Whether two workers, the planes and nothing else are at work."""
    living = tree.living()
    planes = {"supervisor", "controller", "data"} <= set(living)
    return (
        planes and len(living) == 5 and len(workers_of(tree)) == 2 and not any(one.starting for one in living.values())
    )


def workers_of(tree: Tree) -> list[str]:
    return [name for name, found in tree.living().items() if found.role == "worker" and found.ready]


@pytest.fixture
def customers(tree: Tree) -> Iterator[list[Customer]]:
    found = [Customer(tree.port, "/predict/shop", QUESTION) for _ in range(4)]
    for customer in found:
        customer.start()
    yield found
    for customer in found:
        customer.stop()


def failures_of(customers: list[Customer]) -> list[str]:
    for customer in customers:
        customer.stop()
    assert all(customer.answers for customer in customers)
    return [failure for customer in customers for failure in customer.failures]


def asked_since(customers: list[Customer], requests: int = 50) -> None:
    """Wait until each customer has asked so many times more."""
    before = [len(customer.answers) for customer in customers]
    wait_until(
        lambda: all(len(one.answers) >= count + requests for one, count in zip(customers, before, strict=True)),
        "more answers",
    )


def test_sigterm_drains_the_whole_tree(tree: Tree, customers: list[Customer]) -> None:
    asked_since(customers)
    names = set(tree.living())
    assert names >= {*workers_of(tree), "controller", "data", "supervisor"}
    for customer in customers:
        customer.stop()
    assert tree.down() == 0
    assert not tree.living()
    refused = restart(tree)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "has no supervisor" in refused.stderr
    assert failures_of(customers) == []
    assert not any(str(tree.state.path) in " ".join(found.info["cmdline"] or ()) for found in processes())


def test_who_comes_while_all_of_it_stops_is_refused_and_left_waiting_for_nobody(
    tree: Tree, customers: list[Customer]
) -> None:
    asked_since(customers)
    assert tree.down() == 0
    lost = [failure for failure in failures_of(customers) if "ConnectionRefusedError" not in failure]
    assert len(lost) < len(customers), lost


def processes() -> list[psutil.Process]:
    return list(psutil.process_iter(["cmdline"]))


def test_a_killed_worker_costs_a_request_a_connection_and_comes_back(tree: Tree, customers: list[Customer]) -> None:
    asked_since(customers)
    name = workers_of(tree)[0]
    dead = tree.kill(name)
    tree.wait_for(name, other_than=dead)
    asked_since(customers)
    assert len(failures_of(customers)) <= len(customers)
    assert (name, "SIGKILL", "It was killed by SIGKILL.") in exits_of(tree)


def test_who_asks_again_under_the_same_id_notices_no_kill_and_counts_once(tree: Tree) -> None:
    asking = [Customer(tree.port, "/predict/shop", QUESTION, insists=True) for _ in range(8)]
    for customer in asking:
        customer.start()
    for name in workers_of(tree):
        asked_since(asking)
        dead = tree.kill(name)
        tree.wait_for(name, other_than=dead)
    asked_since(asking)
    assert failures_of(asking) == []
    assert sum(customer.lost for customer in asking) <= 2 * len(asking)
    answered = [answer["predictions"][0]["id"] for customer in asking for answer in customer.answers]
    with LogReader(tree.state.log) as reader:
        records = [one for _, one in reader.tail({}, limit=1_000_000) if isinstance(one, Predicted)]
    counted = Counter(one.id for one in records if not one.retry)
    assert {counted[one] for one in answered} == {1}
    assert len(set(answered)) == len(answered)


def test_connections_are_shared_out_and_one_that_waits_when_a_worker_dies_is_answered(tree: Tree) -> None:
    """Whoever comes goes to the worker that holds fewer; who is not taken yet is taken by the one that lives."""
    idle: list[socket.socket] = []

    def shared_out() -> bool:
        """Not where a worker got no processor for the moment in which it is waited for: then they come anew."""
        while idle:
            idle.pop().close()
        wait_until(lambda: sum(connections_of(tree).values()) == 0, "the end of those that left")
        idle.extend(socket.create_connection(("127.0.0.1", tree.port)) for _ in range(32))
        begun = time.monotonic()
        wait_until(
            lambda: sum(connections_of(tree).values()) == 32 or time.monotonic() - begun > IDLE_S, "32 connections"
        )
        return sum(connections_of(tree).values()) == 32 and max(connections_of(tree).values()) <= 20

    assert any(shared_out() for _ in range(5))
    name = workers_of(tree)[0]
    dead = tree.living()[name]
    os.kill(dead.pid, signal.SIGSTOP)  # it cannot take anything any more
    waiting = [Customer(tree.port, "/predict/shop", QUESTION) for _ in range(8)]
    for customer in waiting:
        customer.start()
    tree.kill(name)
    asked_since(waiting)
    assert failures_of(waiting) == []
    for connection in idle:
        connection.close()
    tree.wait_for(name, other_than=dead)


def connections_of(tree: Tree) -> dict[str, int]:
    """How many connections each worker holds."""
    return {
        name: sum(
            one.status == psutil.CONN_ESTABLISHED and one.laddr.port == tree.port
            for one in psutil.Process(tree.living()[name].pid).net_connections("tcp")
        )
        for name in workers_of(tree)
    }


def exits_of(tree: Tree) -> list[tuple[str, str | None, str]]:
    """What is on record, or waits to be, about processes that ended: name, signal, reason."""
    with Ledger.open(tree.state.ledger) as ledger:
        events = ledger.read(kinds=["process.exited"])
    told = [(note.fact, note.reason) for note in exit_notes(tree.state)]
    told += [(event.fact, event.reason) for event in events]
    return [(fact.process, fact.signal, reason) for fact, reason in told if isinstance(fact, ProcessExited)]


def test_a_planned_restart_replaces_every_process_and_fails_no_request(tree: Tree, customers: list[Customer]) -> None:
    asked_since(customers)
    before = tree.living()
    told = restart(tree, "--all", "--json")
    report = msgspec.json.decode(told.stdout)
    assert (told.returncode, report["outcome"]) == (0, "done"), told.stderr
    assert {step["state"] for step in report["steps"]} == {"replaced"}
    assert {step["process"] for step in report["steps"]} == before.keys() - {"supervisor"}
    asked_since(customers)
    assert failures_of(customers) == []
    after = tree.living()
    assert {found.pid for found in before.values()} & {found.pid for found in after.values()} == {
        after["supervisor"].pid
    }
    assert {step["successor_pid"] for step in report["steps"]} < {found.pid for found in after.values()}
    wait_until(lambda: bool(restarts_of(tree)), "the record of it")
    fact = restarts_of(tree)[-1]
    assert (fact.scope, fact.whole) == ("all", True)
    assert fact.replaced == {step["process"]: step["successor"] for step in report["steps"]}


def test_a_successor_that_cannot_load_ends_the_restart_and_changes_nothing(
    tree: Tree, installation: Installation, customers: list[Customer]
) -> None:
    model = installation.artifacts.blobs.path(installation.artifacts.manifest(installation.add(GOOD)).model)
    whole, before = model.read_bytes(), tree.living()
    model.chmod(0o644)
    model.write_bytes(whole[:-1])
    try:
        told = restart(tree)
    finally:
        model.write_bytes(whole)
    assert told.returncode == 1
    assert "which was to replace w" in told.stdout
    assert "altered or cut" in told.stdout
    asked_since(customers)
    assert failures_of(customers) == []
    wait_until(lambda: is_whole(tree), "the end of the successor")
    assert {found.pid for found in tree.living().values()} == {found.pid for found in before.values()}


def test_a_supervisor_that_dies_in_the_middle_of_a_restart_is_taken_over_from(
    tree: Tree, customers: list[Customer]
) -> None:
    asked_since(customers)
    old = {name for name, found in tree.living().items() if found.role == "worker"}
    command = [sys.executable, "-m", "evertrain", "restart", "--dir", str(tree.state.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ordered:
        assert ordered.stdout is not None
        assert "comes up beside it" in ordered.stdout.readline()
        tree.kill_supervisor()
        tree.up()
        told = ordered.stdout.read()
    assert (ordered.returncode, "The supervisor ended meanwhile" in told) == (1, True), told
    wait_until(lambda: is_whole(tree) and not old & set(tree.living()), "the end of the orphans")
    asked_since(customers)
    assert failures_of(customers) == []


def restart(tree: Tree, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain", "restart", "--dir", str(tree.state.path), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def restarts_of(tree: Tree) -> list[ProcessesRestarted]:
    with Ledger.open(tree.state.ledger) as ledger:
        events = ledger.read(kinds=["processes.restarted"])
    return [event.fact for event in events if isinstance(event.fact, ProcessesRestarted)]


@pytest.mark.parametrize("name", ["controller", "data"])
def test_a_killed_plane_comes_back_and_no_request_notices(tree: Tree, customers: list[Customer], name: str) -> None:
    dead = tree.wait_for(name)
    tree.kill(name)
    tree.wait_for(name, other_than=dead)
    asked_since(customers)
    assert failures_of(customers) == []


def test_without_a_supervisor_everything_goes_on_and_the_next_one_takes_over(
    tree: Tree, customers: list[Customer]
) -> None:
    asked_since(customers)
    tree.wait_for("controller")
    before = {found.pid for found in tree.living().values()}
    tree.kill_supervisor()
    asked_since(customers)
    tree.up()
    asked_since(customers)
    wait_until(lambda: not before & {found.pid for found in tree.living().values()}, "the end of the orphans")
    wait_until(lambda: is_whole(tree), "the whole tree")
    assert len(workers_of(tree)) == 2
    asked_since(customers)
    assert failures_of(customers) == []


@pytest.mark.parametrize("seen", [False, True], ids=["before it signs in", "while it loads"])
def test_what_a_killed_supervisor_was_just_starting_is_not_left_behind(
    tree: Tree, installation: Installation, tmp_path: Path, seen: bool
) -> None:
    gate = tmp_path / "gate"
    waits = f"import os, time\nwhile not os.path.exists({str(gate)!r}):\n    time.sleep(0.02)\n"
    champion, slow = installation.add(GOOD), installation.add(waits + OTHER)
    for attempt in range(20):
        name = f"canary-{slow[:10]}-{attempt}"
        arm = Arm(version=slow, share=0.5, deadline_s=1.0, attempt=attempt)
        installation.route(Route(service=SHOP, champion=champion, canary=arm))
        wait_until(lambda: bool(named(name)), "the process of the canary")  # noqa: B023 - awaited within the round
        first = named(name)[0]
        if seen:
            wait_until(lambda: name in tree.living(), "its signature")  # noqa: B023
            assert tree.living()[name].starting
            break
        first.suspend()
        if name not in tree.living():
            break
        first.resume()  # it was faster than this test
    tree.kill_supervisor()
    first.resume()
    gate.touch()
    tree.up()
    standing = tree.wait_for(name)
    assert (standing.pid == first.pid) == seen
    wait_until(lambda: [process.pid for process in named(name)] == [standing.pid], "the end of any other")
    assert tree.down() == 0
    assert named(name) == []


def named(name: str) -> list[psutil.Process]:
    """The processes that were started under this name."""
    return [found for found in processes() if name in (found.info["cmdline"] or ())]


def test_a_dead_tree_with_numbers_in_other_hands_comes_back(tree: Tree) -> None:
    """Every process of the tree is killed; a recorded number belongs to a stranger now, who is left alone."""
    victims = tree.living()
    tree.kill_supervisor()
    for name in victims.keys() - {"supervisor"}:
        tree.kill(name)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        recorded = heartbeat_of("w7", "worker")
        beat(tree.state, msgspec.structs.replace(recorded, pid=stranger.pid))
        tree.up()
        assert stranger.poll() is None
        stranger.communicate(b"\n")
    customer = Customer(tree.port, "/predict/shop", QUESTION)
    customer.start()
    asked_since([customer])
    assert failures_of([customer]) == []


def test_a_second_up_is_refused_in_one_line_and_harms_nobody(tree: Tree, customers: list[Customer]) -> None:
    asked_since(customers)
    assert tree.supervisor is not None
    with Ledger.open(tree.state.ledger) as ledger:
        head = ledger.head()
    for changed in ([], ["--port", str(free_port())]):
        second = subprocess.run([*tree.command(), *changed], capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert second.stdout == ""
        assert second.stderr.count("\n") == 1
        assert f"already belongs to process {tree.supervisor.pid} (its supervisor)" in second.stderr
    asked_since(customers)
    assert failures_of(customers) == []
    with Ledger.open(tree.state.ledger) as ledger:
        assert ledger.head() == head


@pytest.mark.parametrize("flag", ["port", "control-port"])
def test_a_port_of_somebody_else_is_refused_before_anything_is_written(tmp_path: Path, flag: str) -> None:
    listen = (
        "import socket, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
        "s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1], flush=True); sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", listen], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as stranger:
        assert stranger.stdout is not None
        port = stranger.stdout.readline().strip()
        flags = {"port": str(free_port()), "control-port": str(free_port())} | {flag: port}
        words = [word for name, value in flags.items() for word in (f"--{name}", value)]
        refused = subprocess.run(
            [sys.executable, "-m", "evertrain", "up", "--dir", str(tmp_path / "new"), *words],
            capture_output=True,
            text=True,
            check=False,
        )
        stranger.communicate("\n")
    assert refused.returncode == 1
    assert f"{port} on 127.0.0.1 is in use by process {stranger.pid} (" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "new").exists()


def test_another_installation_does_not_get_our_port(tree: Tree, tmp_path: Path, customers: list[Customer]) -> None:
    asked_since(customers)
    other = Tree(Installation(tmp_path / "other").state, port=tree.port)
    refused = subprocess.run(other.command(), capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert f"The predict port {tree.port} on 127.0.0.1 is in use by process" in refused.stderr
    asked_since(customers)
    assert failures_of(customers) == []


def on_trial(installation: Installation, attempt: int = 0) -> tuple[Route, str]:
    """A route with a canary on half of the traffic, and the name of its process."""
    champion, challenger = installation.add(GOOD), installation.add(OTHER)
    arm = Arm(version=challenger, share=0.5, deadline_s=30.0, attempt=attempt)
    return Route(service=SHOP, champion=champion, canary=arm), f"canary-{challenger[:10]}-{attempt}"


def test_a_trial_process_follows_the_routing_table(tree: Tree, installation: Installation) -> None:
    route, name = on_trial(installation)
    installation.route(route)
    found = tree.wait_for(name)
    wait_until(lambda: tree.living()[name].ready != (), "readiness")
    assert psutil.Process(found.pid).ppid() == tree.living()["supervisor"].pid
    installation.route(Route(service=SHOP, champion=route.champion))
    wait_until(lambda: name not in tree.living(), "the end of the trial")
    wait_until(lambda: not tree.state.socket(name).exists(), "the end of its socket")  # it may still drain


def test_a_killed_trial_process_costs_nobody_an_answer_and_comes_back(
    tree: Tree, installation: Installation, customers: list[Customer]
) -> None:
    route, name = on_trial(installation)
    installation.route(route)
    dead = tree.wait_for(name)
    wait_until(lambda: tree.living()[name].ready != (), "readiness")
    asked_since(customers)
    tree.kill(name)
    asked_since(customers)
    tree.wait_for(name, other_than=dead)
    assert failures_of(customers) == []


def test_a_trial_process_outlives_the_supervisor_and_is_adopted(tree: Tree, installation: Installation) -> None:
    route, name = on_trial(installation)
    installation.route(route)
    before = tree.wait_for(name)
    tree.kill_supervisor()
    tree.up()
    assert tree.living()[name].pid == before.pid
    tree.kill(name)
    tree.wait_for(name, other_than=before)
    assert tree.down() == 0
    assert not tree.living()


def test_a_trial_process_that_grows_too_big_is_ended_with_the_reason(tree: Tree, installation: Installation) -> None:
    grow = (
        "import mmap, threading\n"
        "kept = []\n"
        "def grow():\n"
        "    while True:\n"
        "        shared = mmap.mmap(-1, 64 << 20)\n"  # shared memory: no part of the data segment
        "        for at in range(0, len(shared), 4096):\n"
        "            shared[at] = 1\n"
        "        kept.append(shared)\n"
        "        if len(kept) > 40:\n"
        "            return\n"
        "def predict(rows):\n"
        "    threading.Thread(target=grow, daemon=True).start()\n"
        "    return [0.5 for _ in rows]\n"
    )
    version = installation.add(grow)
    route = Route(
        service=SHOP,
        champion=installation.add(GOOD),
        canary=Arm(version=version, share=1.0, deadline_s=30.0),
    )
    installation.route(route)
    name = f"canary-{version[:10]}-0"
    before = tree.wait_for(name)
    wait_until(lambda: tree.living()[name].ready != (), "readiness")
    customer = Customer(tree.port, "/predict/shop", QUESTION)
    customer.start()
    tree.wait_for(name, other_than=before)
    assert failures_of([customer]) == []
    assert "its limit is 2048 MiB" in tree.log.read_text()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_random_kills_never_cost_more_than_the_contract_says(tree: Tree, customers: list[Customer]) -> None:
    """Every second something dies, the supervisor too; a worker's death costs a request a connection at most."""
    chance = random.Random(20130206)
    workers = 0
    for _ in range(40):
        asked_since(customers, 20)
        name = chance.choice(["worker", "controller", "data", "supervisor"])
        if name == "supervisor":
            tree.kill_supervisor()
            tree.up()
            wait_until(lambda: is_whole(tree), "the whole tree")
            continue
        if name == "worker":
            name = chance.choice(workers_of(tree))
            workers += 1
        dead = tree.wait_for(name)
        tree.kill(name)
        tree.wait_for(name, other_than=dead)
    assert len(failures_of(customers)) <= workers * len(customers)


def test_processes_are_leaders_of_their_own_sessions(tree: Tree) -> None:
    """So that Ctrl-C on the terminal reaches the supervisor alone, and it can drain."""
    for found in tree.living().values():
        if found.role != "supervisor":
            assert os.getsid(found.pid) == found.pid


def test_ctrl_c_twice_does_not_wait(tree: Tree) -> None:
    with socket.create_connection(("127.0.0.1", tree.port)) as stalled:
        stalled.sendall(b"POST /predict/shop HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        assert tree.supervisor is not None
        before = tree.log.read_text().count('"stopping"')
        tree.supervisor.send_signal(signal.SIGINT)
        wait_until(lambda: tree.log.read_text().count('"stopping"') > before, "stopping")
        tree.supervisor.send_signal(signal.SIGINT)
        assert tree.wait() == 0
        answered = b""
        with contextlib.suppress(ConnectionResetError):
            answered = stalled.recv(100)
        assert answered == b""  # the worker would wait ten seconds for the rest of the body, and then say so
    assert not tree.living()
