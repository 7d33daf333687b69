"""A process as `evertrain status` tells it."""

import msgspec

from evertrain.core.routing import RoutingTable
from evertrain.core.time import Instant
from evertrain.store.process import Heartbeat, alive
from evertrain.store.room import Room

__all__ = ["Running"]


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A process by its last heartbeat. starting: it does not do its work yet. room: what the disk leaves to its log.

    known_to: up to when it knows the log, while it reads what came when it was away; None once it knows all of it.
    """

    name: str
    role: str
    pid: int
    alive: bool
    note: str = ""
    starting: bool = False
    known_to: Instant | None = None
    room: Room = Room()

    @classmethod
    def of(cls, beat: Heartbeat, table: RoutingTable) -> "Running":
        """What this heartbeat says now. table: what a worker is to load before it takes connections."""
        wanted = beat.role == "worker" and any(route.champion is not None for route in table.routes.values())
        loads = wanted and not (beat.generation or beat.ready or beat.failed)
        return cls(
            name=beat.name,
            role=beat.role,
            pid=beat.pid,
            alive=alive(beat),
            note=beat.note,
            starting=beat.starting or loads,
            known_to=beat.known_to,
            room=beat.room,
        )
