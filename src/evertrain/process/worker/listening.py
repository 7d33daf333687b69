"""A Unix socket that answers the frames of `core.trial`: one thread a connection, a bounded number of them."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from evertrain.core.trial import Answer, Ask, Pong, Scores, decode_ask, frame, frame_length
from evertrain.errors import RequestError

__all__ = ["Listening"]

_MOST = 256
_DRAIN_S = 5.0
_AGAIN_S = 0.05
_STACK = 2 << 20
"""Bytes of a thread. The usual 8 MiB count against the memory of the version: 244 connections were 2 GiB."""

Respond = Callable[[Ask, Callable[[], bool]], Answer | Scores | Pong | None]
"""Gets a request and a question, "does the asker still wait?"; None closes the connection."""


class Listening:
    """Listens from entry to exit; a socket file that a dead process left is replaced."""

    def __init__(self, path: Path, respond: Respond) -> None:
        self._path = path
        self._respond = respond
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._open: set[socket.socket] = set()
        self._busy = 0
        self._changed = threading.Condition()
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        self._listener.bind(str(self._path))
        self._listener.listen(_MOST)
        threading.Thread(target=self._accept, name="accept", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._close_listener()
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def drain(self) -> None:
        """Take no new connection, and let what is being answered be answered, for a few seconds."""
        self._close_listener()
        end = time.monotonic() + _DRAIN_S
        with self._changed:
            while self._busy and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)

    def _close_listener(self) -> None:
        self._closing.set()
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._closing.wait(_AGAIN_S):
                    return
                continue  # the version has all handles that there are; they may come back
            self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        with self._changed:
            if len(self._open) >= _MOST:
                connection.close()
                return
            self._open.add(connection)
        usual = threading.stack_size(_STACK)
        try:
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()
        except RuntimeError:  # the version has all memory that it may have, and a thread needs some
            self._part(connection)
        finally:
            threading.stack_size(usual)

    def _part(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.discard(connection)
        connection.close()

    def _converse(self, connection: socket.socket) -> None:
        try:
            while self._exchange(connection):
                pass
        except (OSError, EOFError, RequestError):
            pass  # the peer has gone, or speaks something else: either way the connection is over
        finally:
            self._part(connection)

    def _exchange(self, connection: socket.socket) -> bool:
        length = frame_length(_receive(connection, 4))
        ask = decode_ask(_receive(connection, length))
        with self._changed:
            self._busy += 1
        try:
            reply = self._respond(ask, lambda: _is_there(connection))
            if reply is not None:
                connection.sendall(frame(reply))
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()
        return reply is not None


def _receive(connection: socket.socket, size: int) -> bytes:
    content = connection.recv(size, socket.MSG_WAITALL)
    if len(content) < size:
        raise EOFError
    return content


def _is_there(connection: socket.socket) -> bool:
    """Whether the peer has not hung up; pipelined requests count as being there."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
