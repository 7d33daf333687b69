"""The socket that a worker listens on, and the connections that came in through it."""

import asyncio
import contextlib
import socket

from evertrain.deploy.body import Intake
from evertrain.deploy.connection import Bounds, Connection
from evertrain.deploy.entrance import Entrance
from evertrain.deploy.request import Application
from evertrain.store.occupancy import Occupancy

__all__ = ["Listener"]

_SWEEP_S = 0.25


class Listener:
    """Takes connections for an application, at most so many at once. Used from the event loop alone.

    occupancy: of all that take connections from the same socket, by which they are shared out.
    """

    def __init__(
        self, application: Application, intake: Intake, bounds: Bounds, *, occupancy: Occupancy, most: int = 2_048
    ) -> None:
        self._application = application
        self._intake = intake
        self._bounds = bounds
        self._open: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._occupancy = occupancy
        self._most = most
        self._entrance: Entrance | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._every_s = min(_SWEEP_S, bounds.arrival_s / 4, bounds.keep_alive_s / 4)

    @property
    def listening(self) -> bool:
        return self._entrance is not None and self._entrance.is_open

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def open(self, listener: socket.socket) -> None:
        """Take connections from this socket, which listens or is bound."""
        self._entrance = Entrance(
            listener, self._occupancy, self._connect, held=lambda: len(self._open), most=self._most
        )
        self._entrance.open()
        self._sweep()

    def refuse_new(self) -> None:
        """Take no new connection; those that are open go on."""
        if self.listening and self._entrance is not None:
            self._entrance.close()

    def tell(self) -> None:
        """Say to the others how many connections are held."""
        if self._entrance is not None:
            self._entrance.tell()

    async def close(self, within_s: float) -> None:
        """End the connections: idle ones now, others when they are answered, all of them within this time."""
        self.refuse_new()
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        while self._open and loop.time() < end:
            for connection in [found for found in self._open if not found.busy]:
                connection.leave()
            await asyncio.sleep(0.01)
        for connection in list(self._open):
            connection.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.1, end - loop.time())):
                while self._tasks or self._open:
                    await asyncio.sleep(0.01)
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _connect(self) -> Connection:
        return Connection(self._application, self._intake, self._bounds, self._open, self._tasks)

    def _sweep(self) -> None:
        """One timer for all connections: one of its own for each request would cost more than reading it."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._open):
            connection.look(now)
        self._sweeping = loop.call_later(self._every_s, self._sweep)
