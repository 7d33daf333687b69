"""How far the tables have the prediction log: `control/log.json`, the place in each writer's segments.

It moves only when every table holds what was read, so that whatever is killed before is done again, and counts once.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from evertrain.store.file import write_atomically
from evertrain.store.segment import Position
from evertrain.store.state import State

__all__ = ["move_cursor", "read_cursor"]


def read_cursor(state: State) -> dict[str, Position]:
    """The place in each writer's log up to which the tables hold everything; anybody may look."""
    try:
        return msgspec.json.decode(_file(state).read_bytes(), type=dict[str, Position])
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        # Without it the log is read from its beginning; the tables know what they hold.
        return {}


def move_cursor(state: State, positions: Mapping[str, Position]) -> None:
    """Say that the tables hold everything up to here."""
    write_atomically(_file(state), msgspec.json.encode(positions), durable=False)


def _file(state: State) -> Path:
    return state.path / "control" / "log.json"
