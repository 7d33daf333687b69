"""What the controller's newest look at each rollout waits for, left where `evertrain status` finds it."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from evertrain.core.identity import ServiceName
from evertrain.store.file import write_atomically

__all__ = ["leave_looks", "read_looks"]

_FILE = "looks.json"


def leave_looks(reports: Path, waits: Mapping[ServiceName, str]) -> None:
    """Leave, by service, what its rollout waits for."""
    write_atomically(reports / _FILE, msgspec.json.encode(waits), durable=False)


def read_looks(reports: Path) -> dict[ServiceName, str]:
    """What was left last; nothing where no controller has looked yet."""
    try:
        return msgspec.json.decode((reports / _FILE).read_bytes(), type=dict[ServiceName, str])
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
