"""The socket that a worker listens on, and the connections that came in through it."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from evertrain.deploy.body import Intake
from evertrain.deploy.connection import Bounds, Connection
from evertrain.deploy.entrance import Entrance
from evertrain.deploy.request import Application
from evertrain.store.occupancy import Occupancy

__all__ = ["Listener"]

_SWEEP_S = 0.25
_PART_S, _PART_AGAIN_S = 0.002, 0.5
_AT_ONCE = 64
"""Connections that are given away together: each needs a second handle until somebody has it."""

Give = Callable[[list[socket.socket]], list[socket.socket]]
"""Gives connections to other workers; returns those that nobody took. It may block for a few seconds."""


class Listener:
    """Takes connections for an application, at most so many at once. Used from the event loop alone.

    moved: how many were given to other workers.
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
        self._parting: asyncio.Task[None] | None = None
        self._give: Give = list
        self._stays = True
        self._giving = self._adopting = 0
        self.moved = 0
        self._every_s = min(_SWEEP_S, bounds.arrival_s / 4, bounds.keep_alive_s / 4)

    @property
    def listening(self) -> bool:
        return self._entrance is not None and self._entrance.is_open

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def room(self) -> int:
        """How many more it can hold."""
        return self._most - len(self._open) - self._adopting

    @property
    def is_apart(self) -> bool:
        """Whether no connection here will be answered anything that it has not begun to ask before it was to part."""
        pending = self._giving or self._adopting
        return not (self.listening or self._stays or pending) and all(one.owes for one in self._open)

    def open(self, listener: socket.socket) -> None:
        """Take connections from this socket, which listens or is bound; those that were to part stay."""
        self._stays = True
        for connection in list(self._open):
            connection.stay()
        self._entrance = Entrance(
            listener, self._occupancy, self._connect, held=lambda: len(self._open), most=self._most
        )
        self._entrance.open()
        if self._sweeping is None:
            self._sweep()

    def refuse_new(self) -> None:
        """Take no new connection; those that are open go on."""
        if self.listening and self._entrance is not None:
            self._entrance.close()

    def part(self, give: Give) -> None:
        """Take no new connection, and give each of those that are open away when what it owes is answered.

        Called again it goes on, by the `give` of that call: those who take may be others by then.
        """
        self.refuse_new()
        self._stays, self._give = False, give
        if self._parting is None or self._parting.done():
            for connection in list(self._open):
                connection.part()
            self._parting = asyncio.get_running_loop().create_task(self._part())

    async def _part(self) -> None:
        while self._open and not self._stays:
            for connection in list(self._open):
                connection.part()
            movable = [connection for connection in list(self._open) if connection.movable]
            free = [connection.take() for connection in movable[:_AT_ONCE]]
            if free and await self._given(free):
                await self._keep_for_now()
            await asyncio.sleep(_PART_S)

    async def _given(self, free: list[socket.socket]) -> bool:
        """Give these away; whether nobody took some of them, which are served here again."""
        self._giving = len(free)
        try:
            left = await asyncio.to_thread(self._give, free)
        finally:
            self._giving = 0
        self.moved += len(free) - len(left)
        for taken in left:
            self.adopt(taken)
        return bool(left)

    async def _keep_for_now(self) -> None:
        """Answer here for a moment what nobody takes, and ask whoever is answered to come anew."""
        before, self._application.draining = self._application.draining, True
        for connection in list(self._open):
            connection.stay()
        await asyncio.sleep(_PART_AGAIN_S)
        self._application.draining = before

    def adopt(self, taken: socket.socket) -> None:
        """Serve a connection that somebody else has accepted."""
        taken.setblocking(False)
        self._adopting += 1
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._adopt(taken))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._sweeping is None:
            self._sweep()

    async def _adopt(self, taken: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._connect, taken)
        except OSError:
            taken.close()  # the client has left meanwhile
        finally:
            self._adopting -= 1

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
