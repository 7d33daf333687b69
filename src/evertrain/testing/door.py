"""The control port with hand-made readings, served by the real server on a free port of 127.0.0.1."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from evertrain.testing.overview import overview_in_canary
from evertrain.testing.readings import HandmadeActions, HandmadeReadings
from evertrain.web.application import create_app, create_server
from evertrain.web.overview import Overview
from evertrain.web.session import Access

__all__ = ["TOKEN", "ControlPort", "control_port"]

TOKEN = "a-token-for-tests-that-is-long-enough-0123"  # noqa: S105


class ControlPort(msgspec.Struct, frozen=True):
    """Where it listens, and what it shows and takes."""

    number: int
    readings: HandmadeReadings
    actions: HandmadeActions

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.number}"


@contextmanager
def control_port(
    make: Callable[[], Overview] = overview_in_canary, *, number: int = 0, refresh_s: float = 0.2
) -> Iterator[ControlPort]:
    """Serve until the block ends; number 0 takes any free port."""
    readings, actions = HandmadeReadings(make), HandmadeActions()
    app = create_app(readings, actions, Access(token=TOKEN), refresh_s=refresh_s)
    server = create_server(app, "127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", number)) as listening:  # connections queue until the server takes them
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="control port")
        thread.start()
        try:
            yield ControlPort(listening.getsockname()[1], readings, actions)
        finally:
            server.should_exit = True
            thread.join(120)
