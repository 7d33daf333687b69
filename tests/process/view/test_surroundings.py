"""What processes say of themselves, as people and Prometheus read it; also after an outage, and without `control/`."""

import shutil
import time
from pathlib import Path

import msgspec
import pytest

from evertrain.core.routing import RoutingTable
from evertrain.core.time import MINUTE, Instant
from evertrain.process.view.reading import Board
from evertrain.process.view.running import Running
from evertrain.process.view.surroundings import say_standstill, show_processes
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger
from evertrain.store.process import Heartbeat, beat, heartbeat_of
from evertrain.store.state import State

OUTAGE = "evertrain_log_lag_seconds"


@pytest.fixture
def state(tmp_path: Path) -> State:
    return install(tmp_path / "state", Instant(0))


def lags(state: State) -> dict[str, float]:
    with Ledger.open(state.ledger) as ledger:
        lines = Board(state, ledger).metrics().splitlines()
    told = (line.split() for line in lines if line.startswith(OUTAGE))
    return {name.removeprefix(f'{OUTAGE}{{process="').removesuffix('"}'): float(value) for name, value in told}


def said(state: State, **changed: object) -> Heartbeat:
    told = msgspec.structs.replace(heartbeat_of("controller", "controller"), **changed)
    beat(state, told)
    return told


def test_a_lag_is_told_once_the_log_was_looked_at_and_not_before(state: State) -> None:
    said(state, starting=True)
    assert lags(state) == {}
    said(state, known_to=Instant(time.time_ns() // 1000 - 3 * MINUTE))
    assert 180 <= lags(state)["controller"] < 240
    said(state)
    assert lags(state) == {"controller": 0.0}


def test_people_read_up_to_when_a_process_knows_the_log(state: State) -> None:
    told = said(state, known_to=Instant(90 * MINUTE))
    [shown] = show_processes(state, 0)
    assert (shown.state, shown.tone) == ("reads what it missed, up to 1 Jan 1970, 01:30 so far", "waiting")
    assert Running.of(told, RoutingTable(generation=0, routes={})).known_to == 90 * MINUTE


def test_no_room_is_asked_for_where_control_is_gone(state: State) -> None:
    assert say_standstill(state, "it is full").startswith("Nothing can be put on record: it is full; ")
    shutil.rmtree(state.path / "control")
    assert say_standstill(state, "") == ""
