"""The controller comes back on a disk that is full, and shows what is: a real small file system."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import httpx
import pytest

from evertrain.config.declaration import ServiceSpec
from evertrain.core.event import Draft, ProcessExited, ServiceDeclared
from evertrain.core.identity import canonical
from evertrain.errors import CapacityError
from evertrain.process.view.advice import advise
from evertrain.process.view.situation import look_at
from evertrain.process.view.verification import Verification
from evertrain.store.access import token
from evertrain.store.exit import ExitNotes
from evertrain.store.ledger import Ledger
from evertrain.store.state import State
from evertrain.testing.disk import SmallDisk, small_disk
from evertrain.testing.installation import BEGIN, SHOP, SHOP_SCHEMA, Installation
from evertrain.testing.tree import free_port, wait_until

SPEC = ServiceSpec(name=SHOP, inputs=SHOP_SCHEMA)
End = Literal[signal.Signals.SIGKILL, signal.Signals.SIGTERM]


@pytest.fixture
def disk(mounting: None, tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 32 << 20) as found:
        yield found


@pytest.fixture
def state(disk: SmallDisk) -> State:
    """An installation with a service, which nobody works on."""
    made = Installation(disk.folder / "state")
    made.artifacts.blobs.put(canonical(SPEC))
    with Ledger.open(made.state.ledger) as ledger:
        declared = ServiceDeclared(service=SHOP, declaration=SPEC.digest, bundle=None)
        ledger.append(Draft(id="d", at=BEGIN, actor="test", subject=f"service/{SHOP}", reason="", fact=declared))
    return made.state


@contextmanager
def _controller(state: State, end: End) -> Iterator[str]:
    """Its address, once it answers there; it is ended by this signal."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "evertrain.process.controller.controlling", "--dir", str(state.path)],
        env=os.environ | {"EVERTRAIN_CONTROL_PORT": str(port)},
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: process.poll() is not None or _metrics(address) != "", "the control port")
        yield address
        assert process.poll() is None
    finally:
        process.send_signal(end)
        assert process.wait(120) == (-end if end is signal.SIGKILL else 0)


def _metrics(address: str) -> str:
    try:
        return httpx.get(f"{address}/metrics", trust_env=False, timeout=60).text
    except httpx.TransportError:
        return ""


def _page(state: State, address: str) -> str:
    bearer = {"authorization": f"Bearer {token('control', state.keys)}"}
    return httpx.get(f"{address}/services/{SHOP}", headers=bearer, trust_env=False, timeout=60).text


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_controller_that_comes_back_on_a_full_disk_shows_why_nothing_is_decided_and_goes_on(
    disk: SmallDisk, state: State, end: End
) -> None:
    with _controller(state, end):
        pass
    log = state.ledger.with_name(f"{state.ledger.name}-wal")
    assert log.exists() == (end is signal.SIGKILL)  # a clean end leaves nothing that the next one could work with
    gone = ProcessExited(process="w9", code=1, signal=None, version=None)
    ExitNotes(state).leave(Draft(id="exit:w9", at=BEGIN, actor="test", subject="process/w9", reason="", fact=gone))
    disk.leave(0)
    with _controller(state, signal.SIGTERM) as address:
        wait_until(lambda: "\nevertrain_standstill 1\n" in _metrics(address), "the metrics")
        assert "evertrain_responses_total" in _metrics(address)
        said = "Nothing can be put on record: "
        wait_until(lambda: said in _page(state, address), "the page")

        found = look_at(state)
        assert [one.service for one in found.services] == [SHOP]
        assert found.standstill.startswith(said)
        assert f"0 KiB are free at {state.ledger.parent}." in found.standstill
        told = next(one for one in advise(found) if one.urgent and one.what == found.standstill)
        assert told.remedy.startswith("Free space;")

        disk.leave(8 << 20)
        wait_until(lambda: "\nevertrain_standstill 0\n" in _metrics(address), "going on")
        wait_until(lambda: said not in _page(state, address), "the page")
        with Ledger.open(state.ledger) as ledger:
            assert ledger.find("exit:w9") is not None
    assert look_at(state).standstill == ""


def test_a_ledger_at_rest_is_read_and_verified_on_a_full_disk_and_says_that_it_takes_nothing(
    disk: SmallDisk, state: State
) -> None:
    disk.leave(0)
    seen = look_at(state)
    assert [one.service for one in seen.services] == [SHOP]
    assert "disk I/O error; 0 KiB are free" in seen.standstill
    assert [one.what.partition(":")[0] for one in advise(seen)] == [
        "No process is seen",
        "Nothing can be put on record",
    ]
    told = subprocess.run(
        [sys.executable, "-m", "evertrain", "status", "--dir", str(state.path)], capture_output=True, check=False
    )
    assert b"STANDS STILL: Nothing can be put on record: disk I/O error; 0 KiB are free" in told.stdout
    assert b"NOBODY IS SEEN: on a disk without room" in told.stdout
    draft = Draft(
        id="x",
        at=BEGIN,
        actor="test",
        subject="s",
        reason="",
        fact=ServiceDeclared(service=SHOP, declaration=SPEC.digest, bundle=None),
    )
    with Ledger.open(state.ledger) as ledger:
        assert (ledger.count(), ledger.hindered) == (2, "disk I/O error")
        with pytest.raises(CapacityError, match="cannot be used"):
            ledger.append(draft)
        assert Verification(state, lambda: BEGIN).check().holds
        disk.leave(8 << 20)
        assert ledger.append(draft)[0].sequence == 2
        assert (ledger.count(), ledger.hindered) == (3, "")
