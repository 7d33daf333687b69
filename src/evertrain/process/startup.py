"""From settings to a running tree: everything that may refuse does so before anything is written."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from evertrain.config.settings import Settings
from evertrain.errors import EvertrainError, UserError
from evertrain.process.port import claim, require_free
from evertrain.process.supervisor import Supervisor
from evertrain.store.lease import Lease
from evertrain.store.process import alive, heartbeats
from evertrain.store.state import State

__all__ = ["Startup", "run_module"]

LEASE = "supervisor.lease"


class Startup:
    """An installation that is ours and whose ports are ours, ready to be declared to and to be run.

    environment: settings of the command line, as EVERTRAIN_* for the processes of the tree. is_new: the state directory
    was made by this start.
    """

    def __init__(
        self,
        state: State,
        settings: Settings,
        lease: Lease,
        listener: socket.socket,
        environment: dict[str, str],
        *,
        is_new: bool,
    ) -> None:
        self.state = state
        self.settings = settings
        self.is_new = is_new
        self._lease = lease
        self._listener = listener
        self._environment = environment

    @classmethod
    def begin(cls, settings: Settings, environment: dict[str, str]) -> Self:
        """Take the installation and its ports, and make what is missing of the state directory.

        OccupiedError when another supervisor runs it, or another process has a port; UserError for a folder that is
        not ours. Processes that a dead supervisor left here may hold the ports.
        """
        folder = Path(settings.dir).absolute()
        with contextlib.ExitStack() as undo:
            lease = None
            is_new = not (folder / "state.json").exists()
            if not is_new:
                State.open(folder)
                lease = undo.enter_context(Lease.take(folder / LEASE, "evertrain up"))
            own = _own_processes(folder)
            require_free(settings.control_host, settings.control_port, what="The control port", own=own)
            listener = undo.enter_context(claim(settings.host, settings.port, own=own))
            _install(folder)
            if lease is None:
                lease = undo.enter_context(Lease.take(folder / LEASE, "evertrain up"))
            undo.pop_all()
        return cls(State.open(folder), settings, lease, listener, environment, is_new=is_new)

    @property
    def address(self) -> str:
        """Where predictions are answered."""
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}"

    def declare(self, file: Path, data: Path | None = None) -> list[str]:
        """Put the services of a declaration on record, in a process of its own; returns their names."""
        words = ["--dir", str(self.state.path), *([] if data is None else ["--data", str(data)]), str(file)]
        return run_module("declaring", words, environment=self._environment).splitlines()

    def run(
        self, stopping: threading.Event, hurry: threading.Event | None = None, ready: Callable[[], None] = lambda: None
    ) -> None:
        """Run the tree until `stopping` is set and everything has ended; `hurry` ends it without waiting."""
        supervisor = Supervisor(self.state, self.settings, self._listener, environment=self._environment, ready=ready)
        supervisor.run(stopping, hurry)

    def take_in(self, model: Path, schema: Path, service: str) -> str:
        """Import a model file as a version of a service without sources, by an order to the loop; returns its id."""
        words = ["--dir", str(self.state.path), "--schema", str(schema), "--service", service, str(model)]
        return run_module("importing", words).strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._lease.release()


def _own_processes(folder: Path) -> set[int]:
    if not (folder / "state.json").exists():
        return set()
    return {found.pid for found in heartbeats(State.open(folder)) if alive(found)}


def _install(folder: Path) -> None:
    State.create(folder)  # refuses a folder of somebody else's in this process, with its own error
    run_module("installing", ["--dir", str(folder)])


def run_module(name: str, words: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """What a module of this package prints; its last line on stderr becomes the error."""
    command = [sys.executable, "-P", "-m", f"evertrain.process.{name}", *words]
    done = subprocess.run(command, env=os.environ | (environment or {}), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip()
    if done.returncode == 1 and "Traceback" not in said:
        raise UserError(said)
    raise EvertrainError(f"{name} failed with code {done.returncode}:\n{said}")
