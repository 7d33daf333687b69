"""Models that do whatever a model may do wrong, from outside: each is stopped where it should be, with the reason on
record, and users get the answers of the version that serves them."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest

from evertrain.core.identity import VersionId
from evertrain.core.model import Attestation
from evertrain.core.prediction import Failed, Predicted
from evertrain.core.routing import Arm, Refusal, Route
from evertrain.core.time import Instant
from evertrain.errors import ModelError
from evertrain.model.checkserver import CheckServer
from evertrain.model.limits import thread_environment
from evertrain.process.worker.candidate import Order, command
from evertrain.store.state import State
from evertrain.testing.installation import BEGIN, SHOP, SHOP_ROW, Installation
from evertrain.testing.worker import RunningWorker, until

GOOD = "def predict(rows):\n    return [0.25 for _ in rows]\n"
MODEL = """
import ctypes, mmap, os, signal, time

def predict(rows):
    {deed}
    return [0.5 for _ in rows]

def eat_shared():
    while True:  # no part of the data segment, so that the limit inside the process does not see it
        kept = mmap.mmap(-1, 64 << 20)
        kept.write(bytes(64 << 20))
        HOARD.append(kept)

def eat_in_a_child():
    if os.fork() == 0:
        signal.alarm(30)
        eat_shared()
    time.sleep(60)

def print_for_ever():
    while True:
        print("x" * 10_000)

def fork(then):
    # A copy makes no more copies, and ends by itself, so that a test that fails harms nobody.
    for _ in range(0 if COPIED else 3):
        if os.fork() == 0:
            COPIED.append(signal.alarm(10))
            then()
            break

HOARD, COPIED = [], []
"""
DEADLINE_S = 0.5
PATIENCE_S = 30.0
"""Where another fault than lateness is to be seen: longer than any machine takes to see it."""
DEEDS = {
    "raises": "raise RuntimeError('no such shop')",
    "returns NaN": "return [float('nan') for _ in rows]",
    "returns the wrong shape": "return [0.5, 0.5] * len(rows)",
    "returns no sequence": "return 0.5",
    "loops for ever": "while True: pass",
    "sleeps 10 min": "time.sleep(600)",
    "allocates 10 GB": "HOARD.append(bytearray(10 << 30))",
    "shares 10 GB": "eat_shared()",
    "segfaults": "ctypes.string_at(0)",
    "aborts": "os.abort()",
    "exits": "os._exit(0)",
    "prints for ever": "print_for_ever()",
}


class Planted:
    """An installation, and a way to make versions of it whose models do something."""

    def __init__(self, folder: Path) -> None:
        self.installation = Installation(folder / "state")
        self.state: State = self.installation.state
        self.folder = folder

    def version(self, deed: str) -> VersionId:
        return self.installation.add(MODEL.format(deed=deed))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return Planted(tmp_path_factory.mktemp("bad"))


# In the check server, before anybody is served ------------------------------------------------------------------------

SAID = {
    "raises": "cannot score: predict raised RuntimeError: no such shop",
    "returns the wrong shape": r"cannot score: predict returned \(2,\) scores for 1 rows",
    "returns no sequence": "cannot score: predict returned no sequence of numbers",
    "loops for ever": "did not answer within 0.5 s",
    "sleeps 10 min": "did not answer within 0.5 s",
    "allocates 10 GB": "cannot score: predict raised MemoryError",
    "shares 10 GB": "MB of memory, the limit is 300 MB",
    "segfaults": "died of SIGSEGV",
    "aborts": "died of SIGABRT",
    "exits": "exited with code 0",
    "prints for ever": "did not answer within 0.5 s",
}


@contextlib.contextmanager
def checked(planted: Planted, version: VersionId, deadline_s: float) -> Iterator[CheckServer]:
    log = planted.state.path / "check.log"
    with CheckServer(planted.state, version, log=log, memory_mb=300, deadline_s=deadline_s) as server:
        yield server


@pytest.mark.parametrize("deed", SAID)
def test_the_check_server_says_what_is_wrong(planted: Planted, deed: str) -> None:
    patience = DEADLINE_S if "did not answer within" in SAID[deed] else PATIENCE_S
    with checked(planted, planted.version(DEEDS[deed]), patience) as server:
        with pytest.raises(ModelError, match=SAID[deed]) as told:
            server.score([SHOP_ROW])
        assert "Traceback" not in str(told.value)
    assert (planted.state.path / "check.log").stat().st_size < 64 << 20


def test_the_check_server_names_a_score_that_is_none(planted: Planted) -> None:
    with checked(planted, planted.version(DEEDS["returns NaN"]), PATIENCE_S) as server:
        answer = server.predict("r1", SHOP_ROW, BEGIN)
    assert (answer.ok, answer.cause) == (False, "nan")


def test_memory_of_children_counts(planted: Planted) -> None:
    with (
        checked(planted, planted.version("eat_in_a_child()"), PATIENCE_S) as server,
        pytest.raises(ModelError, match="MB of memory, the limit is 300 MB"),
    ):
        server.score([SHOP_ROW])
    until(lambda: not relatives(server))


def relatives(server: CheckServer) -> list[psutil.Process]:
    """Whoever is in the group of a check server that has been stopped."""
    return [one for one in psutil.process_iter() if one.pid != os.getpid() and group_of(one.pid) == server.pid]


def group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


@pytest.mark.parametrize("then", ["lambda: time.sleep(60)", "lambda: None"], ids=["that stay", "that come back"])
def test_children_are_ended_with_their_check_server_and_answer_nothing(planted: Planted, then: str) -> None:
    with checked(planted, planted.version(f"fork({then})"), PATIENCE_S) as server:
        for _ in range(3):
            assert server.score([SHOP_ROW]) == (0.5,)
        assert server.predict("r1", SHOP_ROW, BEGIN).score == 0.5
    until(lambda: not relatives(server))


# On trial, beside a champion that answers users -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def worker(planted: Planted) -> Iterator[RunningWorker]:
    champion = planted.installation.add(GOOD)
    planted.installation.route(Route(service=SHOP, champion=champion))
    running = RunningWorker(planted.installation)
    until(lambda: running.serves(champion))
    yield running
    running.close()


@pytest.fixture
def champion(planted: Planted, worker: RunningWorker) -> VersionId:
    version = planted.installation.add(GOOD)
    planted.installation.route(Route(service=SHOP, champion=version))
    until(lambda: worker.serves(version))
    return version


@contextlib.contextmanager
def on_trial(planted: Planted, champion: VersionId, version: VersionId, deadline_s: float) -> Iterator[None]:
    """A real process of this version, and a route that sends everybody to it."""
    path = planted.state.socket(f"canary-{version[:10]}-0")
    order = Order(
        dir=str(planted.state.path), version=version, socket=str(path), arm="canary", need="judged", memory_mb=300
    )
    log = (planted.state.path / "canary.log").open("ab")
    environment = os.environ | thread_environment(1)
    with log, subprocess.Popen(command(order), stdout=log, stderr=log, env=environment) as process:
        try:
            until(path.exists)
            arm = Arm(version=version, share=1.0, deadline_s=deadline_s)
            planted.installation.route(Route(service=SHOP, champion=champion, canary=arm))
            yield
        finally:
            process.kill()


CAUSES = {
    "raises": "error",
    "returns NaN": "nan",
    "returns the wrong shape": "error",
    "returns no sequence": "error",
    "loops for ever": "deadline",
    "sleeps 10 min": "deadline",
    "allocates 10 GB": "error",
    "segfaults": "crash",
    "exits": "crash",
    "prints for ever": "deadline",
}


@pytest.mark.parametrize("deed", CAUSES)
def test_the_champion_answers_for_what_is_on_trial_and_the_cause_is_on_record(
    planted: Planted, worker: RunningWorker, champion: VersionId, deed: str
) -> None:
    bad = planted.version(DEEDS[deed])
    with on_trial(planted, champion, bad, DEADLINE_S if CAUSES[deed] == "deadline" else PATIENCE_S):
        until(lambda: worker.serves(champion))
        begun = time.monotonic()
        response = worker.fails()
    assert time.monotonic() - begun < PATIENCE_S / 2  # nobody waits for the end of it
    assert (response.status_code, response.headers["x-evertrain-version"]) == (200, champion)
    failed, predicted = worker.records()[-2:]
    assert isinstance(failed, Failed)
    assert isinstance(predicted, Predicted)
    assert (failed.version, failed.cause, predicted.assigned) == (bad, CAUSES[deed], "canary")
    assert failed.detail


def test_copies_of_a_process_on_trial_answer_nobody(
    planted: Planted, worker: RunningWorker, champion: VersionId
) -> None:
    """A copy that comes back from the model would answer on the same connection, and the next client would get it."""
    deed = "fork(lambda: None); return [row['amount'] / 100 for row in rows]"
    with on_trial(planted, champion, planted.version(deed), PATIENCE_S):
        until(lambda: worker.serves(champion))
        scores = [worker.predict(amount=float(amount)).json()["predictions"][0]["score"] for amount in range(20)]
    assert scores == [amount / 100 for amount in range(20)]


def test_copies_of_a_worker_answer_nobody(planted: Planted, worker: RunningWorker, champion: VersionId) -> None:
    """The same of a champion: whoever comes back has the worker's connections and its log."""
    forking = planted.version("fork(lambda: None); return [row['amount'] / 100 for row in rows]")
    planted.installation.route(Route(service=SHOP, champion=forking, previous=champion))
    until(lambda: worker.serves(forking))
    before = len(worker.records())
    scores = [worker.predict(amount=float(amount)).json()["predictions"][0]["score"] for amount in range(20)]
    assert scores == [amount / 100 for amount in range(20)]
    assert len(worker.records()) == before + 20


# Not even loaded ------------------------------------------------------------------------------------------------------


def alter(planted: Planted, version: VersionId) -> None:
    """One bit of its model."""
    path = planted.installation.artifacts.blobs.path(planted.installation.artifacts.manifest(version).model)
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def leave_unsigned(planted: Planted, version: VersionId) -> None:
    for file in planted.installation.artifacts.attestation_folder(version).iterdir():
        file.unlink()


def sign_by_another(planted: Planted, version: VersionId) -> None:
    """Somebody who has keys, but not those that this installation trusts."""
    leave_unsigned(planted, version)
    stranger = Installation(planted.state.path.with_name("stranger")).signer
    signed: list[Attestation] = [
        stranger.sign_attestation("built", version, SHOP, BEGIN),
        stranger.sign_attestation("judged", version, SHOP, BEGIN, verdict="pass", reason="I say so"),
    ]
    for attestation in signed:
        planted.installation.artifacts.attest(attestation)


def judge_a_failure(planted: Planted, version: VersionId) -> None:
    later = Instant(BEGIN + 1)
    judged = planted.installation.signer.sign_attestation(
        "judged", version, SHOP, later, verdict="fail", reason="it is worse than the mean"
    )
    planted.installation.artifacts.attest(judged)


def nothing(planted: Planted, version: VersionId) -> None:
    """It was refused before, and comes back under another name."""


BARRED: dict[str, tuple[Callable[[Planted, VersionId], None], str]] = {
    "altered by one bit": (alter, "was altered or cut"),
    "unsigned": (leave_unsigned, "no attestation"),
    "signed by another key": (sign_by_another, "key"),
    "judged a failure": (judge_a_failure, "judged 'fail'"),
    "refused before": (nothing, "it raised on 5% of the requests"),
}


@pytest.mark.parametrize("why", BARRED)
def test_a_worker_loads_no_version_that_is_barred_and_goes_on(
    planted: Planted, worker: RunningWorker, champion: VersionId, why: str
) -> None:
    spoil, reason = BARRED[why]
    proof = planted.folder / f"ran-{why}"
    bad = planted.installation.add(f"open({str(proof)!r}, 'w')\n" + GOOD)
    refused: tuple[Refusal, ...] = ()
    if why == "refused before":
        own = planted.installation.artifacts.manifest(bad)
        refused = (Refusal(version=champion, fingerprint=own.fingerprint, reason=reason),)
        bad = planted.installation.put(msgspec.structs.replace(own, recipe="another name"))
    spoil(planted, bad)
    planted.installation.route(Route(service=SHOP, champion=bad, previous=champion, refused=refused))
    answers: list[httpx.Response] = []

    def said() -> str | None:
        answers.append(worker.predict())
        beat = worker.heartbeat()
        return None if beat is None else beat.failed.get(bad)

    assert reason in until(said)
    answers += [worker.predict() for _ in range(5)]
    assert {(one.status_code, one.headers["x-evertrain-version"]) for one in answers} == {(200, champion)}
    assert not proof.exists()
