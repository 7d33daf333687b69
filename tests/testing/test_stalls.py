"""What a machine does to those who ask and to those who answer is told apart from what they need themselves."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from evertrain.store.process import beat, heartbeat_of, start_of
from evertrain.store.state import State
from evertrain.testing.stalls import Stalls
from evertrain.testing.tree import wait_until


@pytest.fixture
def crowd() -> Iterator[list[int]]:
    """Three processes that want one and the same processor all the time."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(own)})
    try:
        started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    finally:
        os.sched_setaffinity(0, own)
    yield [one.pid for one in started]
    for one in started:
        one.kill()
        one.wait()


def test_a_time_in_which_nobody_looked_is_a_stall() -> None:
    stalls, begun = Stalls(None), time.monotonic()
    threading.Event().wait(0.3)
    stalls.look()
    now = time.monotonic()
    assert 0.25 < stalls.between(begun, now) <= now - begun
    assert stalls.between(now, now + 1.0) == 0.0
    assert stalls.between(now, begun) == 0.0


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="only Linux counts it")  # noqa: PTH110
def test_who_waits_for_a_processor_has_not_answered_late(tmp_path: Path, crowd: list[int]) -> None:
    state = State.create(tmp_path / "state")
    for role, pid in zip(("controller", "worker", "worker"), crowd, strict=True):
        one = heartbeat_of(f"{role}-{pid}", "controller" if role == "controller" else "worker")
        beat(state, msgspec.structs.replace(one, pid=pid, started=start_of(pid) or ""))
    stalls, begun = Stalls(state), time.monotonic()

    def waited() -> bool:
        stalls.look()
        return stalls.between(begun, time.monotonic()) > 0.5

    wait_until(waited, "the controller and one of the workers that wait")
    waits = [much for _, much in sorted((key, looks[-1][1] - looks[0][1]) for key, looks in stalls._waited.items())]
    assert len(waits) == 3
    assert stalls.between(begun, time.monotonic()) >= waits[0] + max(waits[1:]) - 1e-6
