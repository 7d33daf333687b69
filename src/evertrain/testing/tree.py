"""The real process tree of an installation, for tests that kill parts of it."""

import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread
from typing import Any, Self

import msgspec
import psutil

from evertrain.errors import CapacityError, NotFoundError
from evertrain.store.process import Heartbeat, alive, heartbeats
from evertrain.store.state import State

__all__ = ["Customer", "Tree", "free_port", "wait_until"]

_PORTS = range(20_000, 32_000)


def wait_until(holds: Callable[[], bool], what: str = "it", seconds: float = 180.0) -> None:
    """Wait for a condition, for a limited time. What costs much to look at is looked at less often: what is waited
    for needs the processor.
    """
    end = time.monotonic() + seconds
    while True:
        begun = time.monotonic()
        if holds():
            return
        now = time.monotonic()
        if now > end:
            raise AssertionError(f"{what} did not come true within {seconds:g} s")
        time.sleep(min(max(0.01, 3 * (now - begun)), 0.25))


def free_port() -> int:
    """A port on which nobody listens now, below those that the system gives to outgoing connections: one of these may
    take any port between this look and the moment when it is bound.
    """
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise CapacityError("No port is free on 127.0.0.1.", "End what holds them.")


class Tree:
    """`evertrain up` on a state directory. Leaving the context ends every process of the directory, whoever's it is."""

    def __init__(self, state: State, *, port: int | None = None, workers: int = 2) -> None:
        self.state = state
        self.port = port or free_port()
        self.control_port = free_port()
        self.workers = workers
        self.log = state.path.with_name(f"{state.path.name}.log")
        self.supervisor: subprocess.Popen[str] | None = None

    def command(self, *words: str) -> list[str]:
        """The command line of `up`."""
        flags = {"dir": self.state.path, "port": self.port, "control-port": self.control_port, "workers": self.workers}
        stated = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
        return [sys.executable, "-m", "evertrain", "up", *stated, "--json", *words]

    def up(self, environment: Mapping[str, str] | None = None) -> None:
        """Start a supervisor, and wait until all workers answer."""
        with self.log.open("a") as log:
            self.supervisor = subprocess.Popen(
                self.command(), stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | (environment or {})
            )
        if self.supervisor.stdout is None or not self.supervisor.stdout.readline():
            raise AssertionError(f"The tree did not come up:\n{self.log.read_text()[-4000:]}")

    def down(self) -> int:
        """Drain everything; returns the supervisor's exit code."""
        if self.supervisor is None:
            raise NotFoundError("The tree is not up.")
        self.supervisor.send_signal(signal.SIGTERM)
        return self.wait()

    def kill_supervisor(self) -> None:
        """SIGKILL the supervisor alone."""
        if self.supervisor is not None:
            self.supervisor.kill()
            self.wait()

    def living(self) -> dict[str, Heartbeat]:
        """The processes that run now, by name."""
        return {found.name: found for found in heartbeats(self.state) if alive(found)}

    def kill(self, name: str) -> Heartbeat:
        """SIGKILL a process; returns its last heartbeat."""
        found = self.living()[name]
        os.kill(found.pid, signal.SIGKILL)
        return found

    def wait_for(self, name: str, *, other_than: Heartbeat | None = None) -> Heartbeat:
        """Wait until a process of this name says that it is there (another one than the given)."""
        wait_until(lambda: self._is_there(name, other_than), f"{name} in {self.living().keys()}")
        return self.living()[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_supervisor()
        for process in psutil.process_iter():
            try:
                if str(self.state.path) in process.cmdline():
                    process.kill()
            except psutil.Error:
                continue

    def wait(self) -> int:
        """Wait for the end of the supervisor; returns its exit code."""
        if self.supervisor is None:
            return 0
        code = self.supervisor.wait(180)
        if self.supervisor.stdout is not None:
            self.supervisor.stdout.close()
        self.supervisor = None
        return code

    def _is_there(self, name: str, other_than: Heartbeat | None) -> bool:
        found = self.living().get(name)
        return found is not None and not found.starting and (other_than is None or found.pid != other_than.pid)


class Customer(Thread):
    """Asks the same question again and again on one connection; keeps every failure.

    A connection that the server closes between two requests is opened anew: that is HTTP. One that it loses in
    mid-request is a failure. insists: each request has an id, and one that is lost is sent again under the same; what
    was lost is counted in `lost`.
    """

    def __init__(self, port: int, path: str, question: object, *, insists: bool = False) -> None:
        super().__init__(daemon=True)
        self._port, self._path = port, path
        self._body = msgspec.json.encode(question)
        self._stop_asking = Event()
        self._insists = insists
        self._name = ""
        self.lost = 0
        self.answers: list[dict[str, Any]] = []
        self.failures: list[str] = []

    def run(self) -> None:
        connection: HTTPConnection | None = None
        while not self._stop_asking.is_set():
            if connection is None:
                connection = HTTPConnection("127.0.0.1", self._port, timeout=90)
            closes = self._ask(connection)
            if closes:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def stop(self) -> None:
        """Ask no more, and wait for the answer that is due."""
        self._stop_asking.set()
        self.join(120)

    def _ask(self, connection: HTTPConnection) -> bool:
        """Ask once; returns whether the connection is over."""
        headers = {"Content-Type": "application/json"}
        if self._insists:
            self._name = self._name or secrets.token_hex(8)
            headers["X-Request-Id"] = self._name
        try:
            connection.request("POST", self._path, self._body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, HTTPException) as error:
            if self._insists:
                self.lost += 1
            else:
                self.failures.append(repr(error))
            return True
        self._name = ""
        if response.status == 200:
            self.answers.append(msgspec.json.decode(content))
        else:
            self.failures.append(f"{response.status} {content!r}")
        return response.will_close
