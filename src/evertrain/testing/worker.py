"""A real serving worker of a toy installation, with a client at hand: for tests that go through the front door."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import httpx

from evertrain.core.identity import VersionId
from evertrain.core.prediction import Failed, Record
from evertrain.core.routing import Arm
from evertrain.process.worker.candidate import Order, command
from evertrain.store.process import Heartbeat, heartbeats
from evertrain.store.reader import LogReader
from evertrain.testing.installation import SHOP, Installation

__all__ = ["RECORD", "RunningWorker", "on_trial", "until"]

RECORD = {"shop": "s1", "amount": 10.5, "n": 3, "vip": False}
"""A valid record of the toy service."""

_SETTINGS = {"EVERTRAIN_SEGMENT_MB": "1"}


def until(condition: Callable[[], Any], seconds: float = 180.0) -> Any:
    """Wait for a condition; the value that fulfilled it."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"The condition did not come true within {seconds:g} s")
        time.sleep(0.005)


class RunningWorker:
    """A worker of an installation, and its clients' view. settings: of its environment, beside the toy's own."""

    def __init__(self, installation: Installation, name: str = "w0", **settings: str) -> None:
        self.installation = installation
        self.name = name
        self._settings = _SETTINGS | settings
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.process = self.start()
        self.client = httpx.Client(base_url=self.base, timeout=60)

    def start(self) -> subprocess.Popen[bytes]:
        handle = self._listener.fileno()
        state = self.installation.state.path
        command = [sys.executable, "-m", "evertrain.process.worker.serving", "--dir", str(state)]
        command += ["--name", self.name, "--fd", str(handle)]
        return subprocess.Popen(command, pass_fds=[handle], env=os.environ | self._settings)

    def heartbeat(self) -> Heartbeat | None:
        found = [beat for beat in heartbeats(self.installation.state) if beat.name == self.name]
        return found[0] if found and found[0].pid == self.process.pid else None

    def serves(self, version: VersionId) -> bool:
        beat = self.heartbeat()
        table = json.loads(self.installation.state.routing.read_bytes())
        return beat is not None and version in beat.ready and beat.generation == table["generation"]

    def predict(self, **named: Any) -> httpx.Response:
        return self.client.post(f"/predict/{SHOP}", json={**RECORD, **named})

    def fails(self) -> httpx.Response:
        """The answer to a request that a version on trial failed. A worker that is late at its deadline itself, as on a
        full machine, holds that against nobody, and is asked again.
        """
        before = len(self._failures())
        while True:
            response = self.predict()
            if len(self._failures()) > before:
                return response

    def _failures(self) -> list[Record]:
        return [record for record in self.records() if isinstance(record, Failed)]

    def records(self) -> list[Record]:
        with LogReader(self.installation.state.log) as reader:
            return [record for _, record in reader.tail({})]

    def reconnect(self) -> None:
        """A new client, without the connections of the old one."""
        self.client.close()
        self.client = httpx.Client(base_url=self.base, timeout=60)

    def close(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(180)
        self._listener.close()


@contextmanager
def on_trial(
    installation: Installation,
    version: VersionId,
    name: Literal["canary", "shadow"] = "canary",
    deadline_s: float = 30.0,
) -> Iterator[Arm]:
    """A real candidate process that answers for this version, and the arm that sends everybody to it.

    deadline_s: so long that no machine is blamed on the version, except where the deadline is what a test is about.
    """
    arm = Arm(version=version, share=1.0, deadline_s=deadline_s)
    path = installation.state.socket(f"{name}-{version[:10]}-0")
    order = Order(dir=str(installation.state.path), version=version, socket=str(path), arm=name, need="judged")
    with subprocess.Popen(command(order)) as process:
        try:
            until(path.exists)
            yield arm
        finally:
            process.terminate()
