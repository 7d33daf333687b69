"""A process as `evertrain status` tells it."""

import msgspec

from evertrain.store.process import Heartbeat, alive
from evertrain.store.room import Room

__all__ = ["Running"]


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A process by its last heartbeat. room: what the disk leaves to what it logs."""

    name: str
    role: str
    pid: int
    alive: bool
    note: str = ""
    starting: bool = False
    room: Room = Room()

    @classmethod
    def of(cls, beat: Heartbeat) -> "Running":
        """What this heartbeat says now."""
        return cls(
            name=beat.name,
            role=beat.role,
            pid=beat.pid,
            alive=alive(beat),
            note=beat.note,
            starting=beat.starting,
            room=beat.room,
        )
