"""Where connections come in: all workers accept from one socket, each no more than its share.

The socket belongs to the supervisor, so whoever waits in it survives the death of any worker and is taken by the next
one that is free. Left to themselves, workers would take as they happen to wake up: one could hold all connections of a
proxy for hours. So a worker that holds more than another one leaves the next connection to that one, for a moment. One
that does not take it (it is busy, or was killed) is not waited for again until it has shown itself.
"""

import asyncio
import contextlib
import errno
import logging
import resource
import select
import socket
from collections.abc import Callable

from evertrain.store.occupancy import Occupancy, Place

__all__ = ["Entrance", "affordable"]

_log = logging.getLogger("worker")
_WAITING = 2048
"""Connections that may wait in the kernel; the system may allow fewer."""
_PATIENCE_S = 0.05
_GLANCE_S = 0.001
_FULL_S = 0.02
_STARVED_S = 1.0
_OTHER_FILES = 256
"""Handles that a worker needs for what is no connection: models, log segments, states, processes on trial."""
_STARVED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Entrance:
    """Accepts connections of one worker. Used from the event loop alone.

    protocol: makes what speaks with a client. held: how many connections are open now. most: a worker that holds so
    many takes none until one is closed; they wait for another worker, or in the kernel.
    """

    def __init__(
        self,
        listener: socket.socket,
        occupancy: Occupancy,
        protocol: Callable[[], asyncio.BaseProtocol],
        *,
        held: Callable[[], int],
        most: int,
    ) -> None:
        self._listener = listener
        self._occupancy = occupancy
        self._protocol = protocol
        self._held = held
        self._most = most
        self._coming: set[asyncio.Task[object]] = set()
        self._asleep: dict[int, Place] = {}
        self._until = 0.0
        self._loop = asyncio.get_running_loop()
        self._waiting = select.poll()
        self._waiting.register(listener, select.POLLIN)
        self._again: asyncio.TimerHandle | None = None
        self._is_open = False

    def open(self) -> None:
        """Listen, and take connections from now on."""
        self._listener.setblocking(False)
        self._listener.listen(_WAITING)
        self._is_open = True
        self.tell()
        self._watch()

    def close(self) -> None:
        """Take no more. The socket goes on listening as long as anybody else has it."""
        self._is_open = False
        self._occupancy.retire()
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    @property
    def is_open(self) -> bool:
        return self._is_open

    def tell(self) -> None:
        """Say how many connections are held: others go by it."""
        if self._is_open:
            self._occupancy.say(self._count())

    def _count(self) -> int:
        return self._held() + len(self._coming)

    def _watch(self) -> None:
        self._again = None
        if not self._waiting.poll(0):
            self._until = 0.0  # somebody else took it
        self._loop.add_reader(self._listener, self._take)

    def _look_away(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._again = self._loop.call_later(seconds, self._watch)

    def _take(self) -> None:
        """Take one connection, or leave it to somebody else."""
        count = self._count()
        if count >= self._most:
            self._occupancy.say(count)
            self._look_away(_FULL_S)
        elif not self._yields(count):
            self._accept(count)

    def _yields(self, count: int) -> bool:
        """Whether the next connection is left to a worker that holds fewer."""
        freer = {
            number: place
            for number, place in self._occupancy.others().items()
            if place.held < count and self._asleep.get(number) != place
        }
        now = self._loop.time()
        if freer and not self._until:
            self._until = now + _PATIENCE_S
        if freer and now < self._until:
            self._occupancy.say(count)
            self._look_away(_GLANCE_S)
            return True
        self._asleep |= freer
        self._until = 0.0
        return False

    def _accept(self, count: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # somebody else was faster, or the client has left
        except OSError as error:
            if error.errno not in _STARVED:
                raise
            _log.error("No connection can be taken: %s", error.strerror)
            self._look_away(_STARVED_S)
            return
        connection.setblocking(False)
        self._occupancy.say(count + 1, took=True)
        task = self._loop.create_task(self._loop.connect_accepted_socket(self._protocol, connection))
        self._coming.add(task)
        task.add_done_callback(self._came)

    def _came(self, task: "asyncio.Task[object]") -> None:
        self._coming.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.info("A client left as it came: %s", task.exception())


def affordable(most: int) -> int:
    """How many of `most` connections this process can hold; it asks the system for as many as it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with contextlib.suppress(ValueError, OSError):  # macOS has a bound of its own, below the one that it tells
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    return most if soft == resource.RLIM_INFINITY else min(most, max(1, soft - _OTHER_FILES))
