"""How an installation is started again: on the doors where its clients ask."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from evertrain.cli.flags import words_of
from evertrain.config.settings import FILE, load
from evertrain.errors import OccupiedError
from evertrain.process.supervision.startup import Startup
from evertrain.process.view.situation import look_at
from evertrain.store.state import State
from evertrain.testing.tree import free_port


def start(folder: Path, **flags: str) -> str:
    """Start it and end it before anything runs; what it says of its doors."""
    stated = load(flags | {"dir": str(folder)}, environment={})
    with Startup.begin(stated.settings, {}, words=words_of(stated, None)) as startup:
        return startup.moved


def test_a_start_on_other_ports_says_so_and_how_it_was(tmp_path: Path) -> None:
    first, second, page = (str(free_port()) for _ in range(3))
    assert not start(tmp_path / "state", port=first, control_port=page), "nothing was before the first"
    again = f"evertrain up --dir {tmp_path / 'state'} --port {first} --control-port {page}"
    assert look_at(State.open(tmp_path / "state")).again == again
    said = start(tmp_path / "state", port=second, control_port=page)
    assert said == f"OTHER PORTS than last time: predictions were answered at 127.0.0.1:{first}. As it was: {again}"


def test_flags_say_what_the_environment_and_the_file_said(tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.write_text("workers = 3\n")
    stated = load({"port": "9280", "dir": "/state"}, environment={"EVERTRAIN_COMMIT_EVERY": "90m"}, file=file)
    assert words_of(stated, file) == ("--port", "9280", "--commit-every", "1h 30m", "--settings", str(file))


def test_both_ports_in_use_are_told_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [str(each.getsockname()[1]) for each in (one, other)]
        with pytest.raises(OccupiedError) as told:
            start(tmp_path / "state", port=ports[0], control_port=ports[1])
    assert all(port in told.value.what for port in ports)
    assert not (tmp_path / "state").exists()


ORPHAN = """
import socket, sys
held = socket.create_server(("127.0.0.1", 0), reuse_port=True)
print(held.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_a_port_that_a_dead_supervisor_had_just_handed_on_is_had_by_the_next_one(tmp_path: Path) -> None:
    """A worker gets the socket before it can sign in. Another folder's is a stranger."""
    start(tmp_path / "state", port="0", control_port="0")
    command = [sys.executable, "-c", ORPHAN, "--dir", str(tmp_path / "state")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as orphan:
        assert orphan.stdout is not None
        port = orphan.stdout.readline().strip()
        start(tmp_path / "state", port=port, control_port="0")
        start(tmp_path / "other", port="0", control_port="0")
        with pytest.raises(OccupiedError, match=f"process {orphan.pid} "):
            start(tmp_path / "other", port=port, control_port="0")
        orphan.kill()
