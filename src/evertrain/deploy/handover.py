"""Open connections given from one worker to another: their file descriptors, over a Unix socket (SCM_RIGHTS).

Whoever gives says so, whoever takes says that it has them, and only when the giver then lets go are they used. So each
connection has one owner at every moment: a taker that is killed before has read nothing of them, and the giver tries
another one; a giver that is killed has let go.

    giver   c + descriptors         g (they are yours), n (close your copies), or its end: killed, they are yours
    taker                 y or n
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["Reception", "give"]

_BATCH = 64
_PATIENCE_S = 1.0
_OFFER, _TAKEN, _REFUSED, _YOURS = b"c", b"y", b"n", b"g"


class Reception:
    """Takes connections from other workers. Used from the event loop alone.

    room: how many more this worker can hold. adopt: serves a connection that was taken.
    """

    def __init__(self, path: Path, *, room: Callable[[], int], adopt: Callable[[socket.socket], None]) -> None:
        self._path = path
        self._room = room
        self._adopt = adopt
        self._loop = asyncio.get_running_loop()
        self._offered: dict[socket.socket, list[socket.socket]] = {}
        path.unlink(missing_ok=True)  # left by a process of this name that is gone
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._welcome)

    def close(self) -> None:
        """Take nothing more."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        for giver, offered in list(self._offered.items()):
            self._end(giver)
            _close(offered)

    def _welcome(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            giver, _ = self._listener.accept()
            giver.setblocking(False)
            self._offered[giver] = []
            self._loop.add_reader(giver, self._hear, giver)

    def _hear(self, giver: socket.socket) -> None:
        try:
            word, handles, flags, _ = socket.recv_fds(giver, 1, _BATCH)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            word, handles, flags = b"", [], 0  # reset: the giver is gone
        offered = self._offered[giver]
        if word == _OFFER:
            offered += [socket.socket(fileno=handle) for handle in handles]
            self._consider(giver, offered, whole=not flags & socket.MSG_CTRUNC)
            return
        self._end(giver)
        if word == _REFUSED:
            _close(offered)
            return
        for connection in offered:
            self._adopt(connection)

    def _consider(self, giver: socket.socket, offered: list[socket.socket], *, whole: bool) -> None:
        promised = sum(map(len, self._offered.values()))  # to others too, who have not let go yet
        accepts = whole and promised <= self._room()
        if not accepts:
            _close(offered)
            offered.clear()
        with contextlib.suppress(OSError):  # the giver is gone; that is heard next
            giver.send(_TAKEN if accepts else _REFUSED)

    def _end(self, giver: socket.socket) -> None:
        self._loop.remove_reader(giver)
        del self._offered[giver]
        giver.close()


def give(connections: Sequence[socket.socket], takers: Sequence[Path]) -> list[socket.socket]:
    """Give connections away, to the takers in turn; returns those that nobody took. Blocks, each time for a second.

    What was taken is closed here.
    """
    if not takers:
        return list(connections)
    size = min(_BATCH, -(-len(connections) // len(takers)))
    left: list[socket.socket] = []
    for number, start in enumerate(range(0, len(connections), max(1, size))):
        batch = connections[start : start + size]
        places = [takers[(number + step) % len(takers)] for step in range(len(takers))]
        if any(_offer(batch, place) for place in places):
            _close(batch)
        else:
            left += batch
    return left


def _offer(batch: Sequence[socket.socket], taker: Path) -> bool:
    """Whether the taker has them now."""
    try:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError:
        return False  # no handle is left for it
    with line:
        line.settimeout(_PATIENCE_S)
        try:
            line.connect(str(taker))
            socket.send_fds(line, [_OFFER], [connection.fileno() for connection in batch])
        except OSError:
            return False
        with contextlib.suppress(OSError):
            if line.recv(1) == _TAKEN:
                line.sendall(_YOURS)
                return True
        with contextlib.suppress(OSError):
            line.sendall(_REFUSED)
        return False


def _close(connections: Sequence[socket.socket]) -> None:
    for connection in connections:
        connection.close()
