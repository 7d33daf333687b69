"""With all but the workers gone, and the ledger and the keys with them, predictions go on; a worker that starts then
obeys the last routing table, loads nothing that was tampered with, and says so.
"""

import os
import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from evertrain.core.identity import VersionId, digest_of_bytes, short
from evertrain.core.routing import Route
from evertrain.store.process import Heartbeat
from evertrain.testing.installation import BEGIN, SHOP, SHOP_ROW, SHOP_SCHEMA, Installation
from evertrain.testing.tree import Customer, Tree, wait_until

FIRST = "def predict(rows):\n    return [min(1.0, row['amount'] / 100) for row in rows]\n"
SECOND = "def predict(rows):\n    return [min(1.0, row['amount'] / 200) for row in rows]\n"
QUESTION = dict(zip(SHOP_SCHEMA.names, SHOP_ROW, strict=True))


class Remains:
    """What is left of an installation: workers, and `serving/`. The ledger, the tables and the keys are gone."""

    def __init__(self, folder: Path) -> None:
        self.installation = Installation(folder / "state")
        self.state = self.installation.state
        self.artifacts = self.installation.artifacts
        self.previous = self.installation.add(FIRST)
        self.champion = self.installation.add(SECOND)
        self.model = self.artifacts.blobs.path(self.artifacts.manifest(self.champion).model)
        self.tree = Tree(self.state)
        self.proof = folder / "a planted pickle was read"
        self._started: list[subprocess.Popen[bytes]] = []

    def route(self, *, previous: bool) -> None:
        """Publish the champion. previous: whether there is a version to go back to."""
        before = self.previous if previous else None
        self.installation.route(Route(service=SHOP, champion=self.champion, previous=before))

    def lay_waste(self) -> None:
        """SIGKILL the supervisor, the controller and the data process, and take their part of the state away."""
        self.tree.wait_for("controller")
        self.tree.wait_for("data")
        self.tree.kill_supervisor()
        for name in self.tree.living().keys() - self.workers().keys():
            self.tree.kill(name)
        (self.state.path / "control").rename(self.state.path.with_name("taken away"))
        shutil.rmtree(self.state.cache)
        wait_until(lambda: self.tree.living().keys() == self.workers().keys(), "the workers alone")

    def workers(self) -> dict[str, Heartbeat]:
        return {name: one for name, one in self.tree.living().items() if one.role == "worker"}

    def kill(self, name: str) -> None:
        self.tree.kill(name)
        wait_until(lambda: name not in self.tree.living(), f"the end of {name}")

    def start(self, name: str, listener: socket.socket | None = None) -> None:
        """Start a worker by hand: on a listening socket, or on the port of the installation."""
        command = [
            sys.executable,
            "-m",
            "evertrain.process.worker.serving",
            "--dir",
            str(self.state.path),
            "--name",
            name,
        ]
        handles = [] if listener is None else [listener.fileno()]
        command += [word for handle in handles for word in ("--fd", str(handle))]
        port = {"EVERTRAIN_PORT": str(self.tree.port)}
        self._started.append(subprocess.Popen(command, pass_fds=handles, env=os.environ | port))

    def loads(self, name: str, version: VersionId) -> None:
        """Wait until a worker holds a version."""
        wait_until(lambda: (one := self.workers().get(name)) is not None and version in one.ready, f"{name} ready")

    def refusal(self, name: str, version: VersionId) -> str:
        """Why a worker does not load a version, as its heartbeat says."""
        wait_until(lambda: (one := self.workers().get(name)) is not None and version in one.failed, f"{name}'s refusal")
        return self.workers()[name].failed[version]

    def end(self) -> None:
        self.tree.__exit__()
        for process in self._started:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def remains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remains]:
    """One installation for all tests, in the order in which they stand."""
    found = Remains(tmp_path_factory.mktemp("home"))
    found.route(previous=True)
    try:
        found.tree.up()
        yield found
    finally:
        found.end()


@pytest.fixture
def customers(remains: Remains) -> Iterator[list[Customer]]:
    asking = [Customer(remains.tree.port, "/predict/shop", QUESTION) for _ in range(4)]
    for customer in asking:
        customer.start()
    asked_since(asking)
    yield asking
    for customer in asking:
        customer.stop()


def asked_since(customers: list[Customer], requests: int = 50) -> None:
    """Wait until each customer got so many more answers."""
    before = [len(customer.answers) for customer in customers]
    wait_until(
        lambda: all(len(one.answers) >= count + requests for one, count in zip(customers, before, strict=True)),
        "more answers",
    )


def failures_of(customers: list[Customer]) -> list[str]:
    for customer in customers:
        customer.stop()
    return [failure for customer in customers for failure in customer.failures]


def versions_of(customers: list[Customer]) -> set[str]:
    """Who answered."""
    return {answer["predictions"][0]["version"] for customer in customers for answer in customer.answers}


def test_without_supervisor_controller_data_and_ledger_no_request_fails(
    remains: Remains, customers: list[Customer]
) -> None:
    remains.lay_waste()
    asked_since(customers, 200)
    assert failures_of(customers) == []
    assert versions_of(customers) == {remains.champion}


def test_a_worker_that_starts_in_the_ruins_obeys_the_last_table(remains: Remains, customers: list[Customer]) -> None:
    """Both workers die, one after the other; those that were started by hand on the same port answer for them."""
    old = dict(remains.workers())
    for dead, successor in zip(sorted(old), ("hand0", "hand1"), strict=True):
        remains.start(successor)
        remains.loads(successor, remains.champion)
        remains.kill(dead)
        asked_since(customers)
    assert remains.workers().keys() == {"hand0", "hand1"}
    assert {one.generation for one in remains.workers().values()} == {one.generation for one in old.values()}
    assert len(failures_of(customers)) <= len(old) * len(customers)
    assert versions_of(customers) == {remains.champion}


def cut_the_model(remains: Remains) -> tuple[Path, str]:
    replace(remains.model, remains.model.read_bytes()[: len(SECOND) // 2])
    return remains.model, "altered or cut"


def remove_the_model(remains: Remains) -> tuple[Path, str]:
    remains.model.unlink()
    return remains.model, "missing"


def alter_an_attestation(remains: Remains) -> tuple[Path, str]:
    """Another reason for the same verdict, under the old name."""
    judged = next(one for one in remains.artifacts.attestations(remains.champion) if one.kind == "judged")
    path = remains.artifacts.attestation_path(judged)
    replace(path, path.read_bytes().replace(b"a test says so", b"nobody says so"))
    return path, "altered"


def forge_an_attestation(remains: Remains) -> tuple[Path, str]:
    """The same under its new digest: the signature alone gives it away."""
    path, _ = alter_an_attestation(remains)
    forged = path.with_name(f"{digest_of_bytes(path.read_bytes())}.json")
    path.rename(forged)
    return forged, "Its signature does not match"


def plant_a_pickle(remains: Remains) -> tuple[Path, str]:
    """In the model's place, and as model.pkl wherever something might look for one."""
    content = pickle.dumps(Planted(remains.proof))
    replace(remains.model, content)
    for folder in (remains.model.parent, remains.artifacts.folder, remains.state.path):
        (folder / "model.pkl").write_bytes(content)
    return remains.model, "altered or cut"


class Planted:
    """Whoever unpickles it makes a folder at `proof`."""

    def __init__(self, proof: Path) -> None:
        self._proof = proof

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._proof),)


def replace(path: Path, content: bytes) -> None:
    """Whoever can plant files is not kept off by a read-only mode."""
    path.chmod(0o644)
    path.write_bytes(content)


Tampering = Callable[[Remains], tuple[Path, str]]
TAMPERINGS: list[Tampering] = [
    cut_the_model,
    remove_the_model,
    alter_an_attestation,
    forge_an_attestation,
    plant_a_pickle,
]


@pytest.fixture
def backup(remains: Remains, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Puts the artifacts back as they were before the test."""
    kept = tmp_path / "backup"
    shutil.copytree(remains.artifacts.folder, kept)

    def restore() -> None:
        shutil.rmtree(remains.artifacts.folder)
        shutil.copytree(kept, remains.artifacts.folder)

    yield restore
    restore()


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda one: one.__name__)
def test_what_was_tampered_with_is_refused_and_the_last_good_version_answers(
    remains: Remains, customers: list[Customer], backup: Callable[[], None], tamper: Tampering
) -> None:
    """The worker that starts has a socket of its own here, so that it can be asked alone."""
    file, reason = tamper(remains)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        remains.start("late", listener)
        refusal = remains.refusal("late", remains.champion)
        assert short(remains.champion) in refusal
        assert str(file) in refusal
        assert reason in refusal
        remains.loads("late", remains.previous)
        visitor = Customer(listener.getsockname()[1], "/predict/shop", QUESTION)
        visitor.start()
        asked_since([visitor, *customers])
        assert versions_of([visitor]) == {remains.previous}
        backup()
        remains.loads("late", remains.champion)  # by itself, as soon as the file is what it was
        wait_until(lambda: remains.champion in versions_of([visitor]), "the champion's answers")
        assert failures_of([visitor]) == []
        remains.kill("late")
    assert not remains.proof.exists()
    assert failures_of(customers) == []
    assert versions_of(customers) == {remains.champion}


def test_without_a_version_to_go_back_to_it_takes_no_connection_while_others_answer(
    remains: Remains, customers: list[Customer], backup: Callable[[], None]
) -> None:
    remains.route(previous=False)
    wait_until(lambda: all(one.ready == (remains.champion,) for one in remains.workers().values()), "one version")
    plant_a_pickle(remains)
    remains.start("late")
    assert "altered or cut" in remains.refusal("late", remains.champion)
    asked_since(customers)
    assert remains.workers()["late"].ready == ()
    for customer in customers:
        customer.stop()
    newcomers = [Customer(remains.tree.port, "/predict/shop", QUESTION) for _ in range(20)]
    for newcomer in newcomers:
        newcomer.start()
    asked_since(newcomers, 5)
    assert failures_of([*customers, *newcomers]) == []
    assert not remains.proof.exists()
    remains.kill("late")


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_a_pickle_that_the_table_names_is_refused_and_who_answered_goes_on(
    remains: Remains, customers: list[Customer], *, signed: bool
) -> None:
    """Somebody may write the table and the artifacts; also a signature does not make a pickle a skops file."""
    model = remains.artifacts.blobs.put(pickle.dumps(Planted(remains.proof)) + bytes([signed]))
    own = remains.artifacts.manifest(remains.champion)
    version = remains.artifacts.put_manifest(msgspec.structs.replace(own, format="sklearn", model=model))
    if signed:
        built = remains.installation.signer.sign_attestation("built", version, SHOP, BEGIN)
        remains.artifacts.attest(built)
        remains.installation.judge(version, "pass")
    remains.installation.route(Route(service=SHOP, champion=version, previous=remains.champion))
    for name in remains.workers():
        refusal = remains.refusal(name, version)
        assert short(version) in refusal
        file = remains.artifacts.blobs.path(model) if signed else remains.artifacts.attestation_folder(version)
        assert str(file) in refusal
        assert ("BadZipFile" if signed else "no attestation") in refusal
    asked_since(customers)
    assert failures_of(customers) == []
    assert versions_of(customers) == {remains.champion}
    assert not remains.proof.exists()


def test_alone_with_a_refused_version_it_says_why(remains: Remains, backup: Callable[[], None]) -> None:
    remains.route(previous=False)
    plant_a_pickle(remains)
    for name in remains.workers():
        remains.kill(name)
    remains.start("alone")
    assert short(remains.champion) in remains.refusal("alone", remains.champion)
    visitor = Customer(remains.tree.port, "/predict/shop", QUESTION)
    visitor.start()
    wait_until(lambda: any(failure.startswith("503") for failure in visitor.failures), "an answer")
    visitor.stop()
    assert visitor.answers == []
    assert any("altered or cut" in failure for failure in visitor.failures)
    backup()
    remains.loads("alone", remains.champion)
    patient = Customer(remains.tree.port, "/predict/shop", QUESTION)
    patient.start()
    asked_since([patient])
    assert failures_of([patient]) == []
    assert not remains.proof.exists()
