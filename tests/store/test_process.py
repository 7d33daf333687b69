import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from evertrain.core.identity import VersionId
from evertrain.core.time import Instant
from evertrain.store.process import (
    PARENT,
    alive,
    at_work,
    beat,
    forget,
    heartbeat_at,
    heartbeat_of,
    heartbeats,
    runs,
    sign_in,
    start_of,
)
from evertrain.store.state import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State.create(tmp_path / "state")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_process_knows_its_own_start() -> None:
    own = start_of(os.getpid())
    assert own is not None
    assert runs(os.getpid(), own)


def test_two_processes_have_two_identities(sleeper: subprocess.Popen[bytes]) -> None:
    other = start_of(sleeper.pid)
    assert other is not None
    assert other != start_of(os.getpid())


def test_a_heartbeat_leaves_no_name_in_memory(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker leaves five a second, for months."""
    own, intern = heartbeat_of("w0", "worker"), sys.intern
    beat(state, own)
    interned: list[str] = []

    def count(name: str) -> str:
        interned.append(name)
        return intern(name)

    monkeypatch.setattr(sys, "intern", count)
    for _ in range(3):
        beat(state, own)
        assert heartbeat_at(state, "w0") is not None
    assert [name for name in interned if "w0" in name] == []


def test_a_zombie_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    started = start_of(sleeper.pid)
    assert started is not None
    sleeper.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # ended, and not reaped
    assert start_of(sleeper.pid) is None
    assert not runs(sleeper.pid, started)


def test_a_number_that_is_used_again_is_not_the_same_process(state: State) -> None:
    mine = heartbeat_of("w0", "worker")
    assert alive(mine)
    assert not alive(msgspec.structs.replace(mine, started=mine.started + "0"))
    assert not alive(msgspec.structs.replace(mine, pid=2**22 + 1))


def test_heartbeats_come_back_by_name(state: State) -> None:
    worker = heartbeat_of("w0", "worker")
    full = msgspec.structs.replace(
        worker,
        name="a",
        generation=3,
        ready=(VersionId("a" * 64),),
        failed={VersionId("b" * 64): "no such file"},
        settled=Instant(5),
        note="draining",
    )
    beat(state, worker)
    beat(state, full)
    assert heartbeats(state) == [full, worker]
    beat(state, msgspec.structs.replace(worker, generation=7))
    assert [found.generation for found in heartbeats(state)] == [3, 7]
    forget(state, "a")
    forget(state, "a")
    assert [found.name for found in heartbeats(state)] == ["w0"]


def test_a_heartbeat_cut_by_a_power_failure_is_passed_over(state: State) -> None:
    beat(state, heartbeat_of("w0", "worker"))
    (state.processes / "w1.json").write_bytes(b"")
    (state.processes / "w2.json").write_bytes(b'{"name": "w2"')
    assert [found.name for found in heartbeats(state)] == ["w0"]


def test_who_signs_in_is_on_the_list_and_not_at_work_yet(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PARENT, str(os.getppid()))
    first = sign_in(state, "w0", "worker")
    assert first == heartbeat_of("w0", "worker")
    listed = heartbeat_at(state, "w0")
    assert listed is not None
    assert listed.starting
    assert alive(listed)
    assert not at_work(listed)
    beat(state, first)
    assert [at_work(found) for found in heartbeats(state)] == [True]


def test_who_was_started_by_nobody_living_does_not_sign_in(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PARENT, str(2**22 + 1))
    assert sign_in(state, "w0", "worker") is None
    assert heartbeats(state) == []
