"""Asking a process on trial whether it is there, without waiting for it."""

import contextlib
import socket
import time
from pathlib import Path

from evertrain.core.trial import Ping, frame

__all__ = ["Pulse"]


class Pulse:
    """One ping at a time on a connection of its own. `silent_s`: how long the one in flight has been unanswered."""

    def __init__(self, path: Path, every_s: float = 1.0) -> None:
        self._path = path
        self._every_s = every_s
        self._connection: socket.socket | None = None
        self._sent = 0.0

    def look(self) -> float:
        """Send the next ping when it is due, take an answer when it came; returns `silent_s`.

        A process that does not listen counts as silent from the first try on: it has to be ready before.
        """
        now = time.monotonic()
        if self._connection is not None:
            if not self._answered():
                return now - self._sent
            self.close()
        if now - self._sent >= self._every_s:
            self._sent = now
            self._send()
        return 0.0

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self) -> None:
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._connection.setblocking(False)
        with contextlib.suppress(OSError):
            self._connection.connect(str(self._path))
            self._connection.send(frame(Ping()))

    def _answered(self) -> bool:
        if self._connection is None:
            return False
        try:
            return self._connection.recv(4096) != b""
        except OSError:
            return False
