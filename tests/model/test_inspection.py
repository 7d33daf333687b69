"""What a version answers to its golden requests in its check server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evertrain.core.golden import Golden, GoldenRequest
from evertrain.core.time import Instant
from evertrain.model.checkserver import CheckServer
from evertrain.model.inspection import inspect
from evertrain.model.waiting import waited_ms
from evertrain.store.artifact import Artifacts
from evertrain.testing.installation import SHOP_ROW, Installation

MODEL = """
import time

def predict(rows):
    time.sleep({seconds})
    return [0.5 for _ in rows]
"""


@pytest.mark.parametrize(("seconds", "asked"), [(1.0, 1), (0.0, 200)])
def test_who_takes_too_long_for_one_answer_is_asked_no_other(tmp_path: Path, seconds: float, asked: int) -> None:
    installation = Installation(tmp_path / "state")
    version = installation.add(MODEL.format(seconds=seconds))
    manifest = Artifacts.at(installation.state.artifacts).manifest(version)
    golden = Golden(requests=(GoldenRequest(row=SHOP_ROW, at=Instant(0), vector=SHOP_ROW),))
    with CheckServer(installation.state, version, log=tmp_path / "log") as server:
        found = inspect(server, manifest, golden, longest_ms=800.0)
    assert found.requests == asked
    assert len(found.faults) == (asked == 1)
    assert all(re.match(r"Request 0 took [0-9.]+ s; no version may take more than 0.8 s", one) for one in found.faults)


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="only Linux counts it")  # noqa: PTH110
def test_what_an_asker_waits_to_look_in_vain_does_not_excuse_a_version_that_sleeps(tmp_path: Path) -> None:
    """On a busy machine that came to more than the half of ten seconds, and one that slept them took "under 5 s"."""
    installation = Installation(tmp_path / "state")
    version = installation.add(MODEL.format(seconds=1.5))
    own = os.sched_getaffinity(0)
    with CheckServer(installation.state, version, log=tmp_path / "log") as server:
        os.sched_setaffinity(0, {min(own)})
        neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(8)]
        try:
            server.ping()
            whole, counted = waited_ms(server.pid), server.waited_ms()
            assert whole is not None
            assert counted is not None
            server.score([SHOP_ROW])
            whole, counted = (waited_ms(server.pid) or 0.0) - whole, (server.waited_ms() or 0.0) - counted
        finally:
            os.sched_setaffinity(0, own)
            for one in neighbours:
                one.kill()
                one.wait()
    assert 0.0 <= counted < whole / 2
