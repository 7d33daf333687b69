"""The socket of a process on trial, when its version has taken what the process may have."""

import resource
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from evertrain.core.identity import VersionId
from evertrain.core.trial import Ask, Ping, Pong, frame, frame_length
from evertrain.process.worker.listening import Listening


def pong(_: Ask, __: Callable[[], bool]) -> Pong:
    return Pong(ok=True, version=VersionId("v"), memory_mb=1.0)


def hear(connection: socket.socket) -> Pong:
    length = frame_length(connection.recv(4, socket.MSG_WAITALL))
    return msgspec.msgpack.decode(connection.recv(length, socket.MSG_WAITALL), type=Pong)


def test_it_is_heard_again_after_a_time_without_handles(tmp_path: Path) -> None:
    first, early, late = (socket.socket(socket.AF_UNIX) for _ in range(3))
    with Listening(tmp_path / "socket", pong), first, early, late:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            first.connect(str(tmp_path / "socket"))  # who waits in accept may have a handle for the next one already
            early.settimeout(0.2)
            early.connect(str(tmp_path / "socket"))
            early.sendall(frame(Ping()))
            with_nobody = False
            try:
                hear(early)
            except TimeoutError:
                with_nobody = True
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert with_nobody
        for connection in (early, late):
            connection.settimeout(60)
        late.connect(str(tmp_path / "socket"))
        late.sendall(frame(Ping()))
        assert hear(early).ok
        assert hear(late).ok
