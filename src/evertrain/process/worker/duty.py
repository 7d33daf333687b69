"""What a worker does with the shared port: take connections, or leave them to the pool of workers that takes them now.

A worker stands down when the table names another pool, and not before somebody of that pool takes connections. Its own
go over to that pool's workers, so that no client has to come anew, and none is answered any more by what answered
before.
"""

import logging
import socket
import time
from functools import partial
from pathlib import Path

from evertrain.core.routing import RoutingTable
from evertrain.deploy.handover import Reception, give
from evertrain.deploy.listener import Listener
from evertrain.store.process import at_work, heartbeats
from evertrain.store.state import State

__all__ = ["Duty"]

_log = logging.getLogger("worker")
_TOGETHER_S = 0.25
"""So long the others are waited for when one takes connections: it alone would get them all, for hours."""


class Duty:
    """The place of one worker at the port. Used from the event loop alone.

    takes: whether its pool is the one that accepts. obeyed: the newest generation that holds for everything that this
    worker will answer. together_s: how long those of a pool are waited for that do not take connections yet.
    """

    def __init__(
        self,
        state: State,
        name: str,
        pool: int,
        listener: Listener,
        port: socket.socket,
        *,
        together_s: float = _TOGETHER_S,
    ) -> None:
        self._state = state
        self._name = name
        self._pool = pool
        self._listener = listener
        self._port = port
        self._together_s = together_s
        self._reception = Reception(_line(state, name), room=lambda: listener.room, adopt=listener.adopt)
        self._followed = RoutingTable(generation=0, routes={})
        self._since = 0.0
        self.takes = pool == 0
        self.obeyed = 0

    def follow(self, table: RoutingTable) -> None:
        """Obey a new table: `look` does what it comes to."""
        self._followed, self._since = table, 0.0
        self.takes = table.accepting == self._pool

    def look(self, loaded: int, *, able: bool) -> None:
        """Take or leave connections. loaded: the generation whose versions are in place; able: it can answer."""
        if self.takes:
            if able and not self._listener.listening:
                self._listener.open(self._port.dup())
            self.obeyed = loaded
            return
        if self._listener.listening or self._listener.connections:
            takers = self._takers()
            if takers:
                self._stand_down(takers)
        if not self._listener.listening and (self._listener.is_apart or not self._listener.connections):
            self.obeyed = loaded

    def leave(self) -> None:
        """Take nothing any more; the socket ends with the last process that has it."""
        self._listener.refuse_new()
        self._reception.close()
        self._port.close()

    def _stand_down(self, takers: list[Path]) -> None:
        if self._listener.listening:
            _log.info("pool %d takes over", self._followed.accepting)
        self._listener.part(partial(give, takers=takers))

    def _takers(self) -> list[Path]:
        """Where the workers of the pool that accepts are reached; those alone that obey the table.

        None of them as long as others of it may be about to. Each time another one comes first.
        """
        table, now = self._followed, time.monotonic()
        pool = [one for one in heartbeats(self._state) if one.role == "worker" and one.pool == table.accepting]
        pool = [one for one in pool if at_work(one)]
        taking = [one for one in pool if one.generation >= table.generation and one.ready]
        if not taking:
            return []
        self._since = self._since or now
        if len(taking) < len(pool) and now - self._since < self._together_s:
            return []
        first = self._listener.moved % len(taking)
        return [_line(self._state, one.name) for one in (*taking[first:], *taking[:first])]


def _line(state: State, name: str) -> Path:
    return state.socket(f"port-{name}")
