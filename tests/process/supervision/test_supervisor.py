"""How the supervisor ends: what has died before its turn is not waited for."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from evertrain.core.routing import Route
from evertrain.store.process import runs
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.tree import Tree, wait_until

GOOD = "def predict(rows):\n    return [0.5 for _ in rows]\n"


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    installation = Installation(tmp_path / "state")
    installation.route(Route(service=SHOP, champion=installation.add(GOOD)))
    with Tree(installation.state) as found:
        found.up()
        found.wait_for("data")
        found.wait_for("controller")
        yield found


def test_a_worker_that_dies_while_the_planes_are_stopped_is_not_waited_for(tree: Tree) -> None:
    data, worker = tree.living()["data"], tree.living()["w0"]
    os.kill(data.pid, signal.SIGSTOP)  # its stop takes as long as this test wants
    assert tree.supervisor is not None
    tree.supervisor.send_signal(signal.SIGTERM)
    wait_until(lambda: "controller" not in tree.living(), "the end of the controller")
    tree.kill("w0")
    wait_until(lambda: not runs(worker.pid, worker.started), "the end of the worker")
    os.kill(data.pid, signal.SIGCONT)
    assert tree.wait() == 0
    assert not tree.living()
    assert "w1 did not stop in time" not in tree.log.read_text()
