"""What the controller's newest looks found, left where `evertrain status` and `plan` find it.

looks.json: how much traffic each service has, and how its rollout stands. quality.json: how good the answers of each
service were. observed.json: the gist of each watched service's report; first.json: how many predictions were taken of
those whose first report is being made. unknown.json: what its version is asked and does
not know, by service.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from evertrain.core.evidence import Tally
from evertrain.core.identity import ServiceName
from evertrain.monitor.gist import Gist
from evertrain.monitor.performance import Ripening
from evertrain.monitor.unfamiliar import Unknown
from evertrain.store.file import write_atomically
from evertrain.store.room import NO_ROOM

__all__ = [
    "Figure",
    "Look",
    "leave_gists",
    "leave_looked_at_first",
    "leave_looks",
    "leave_quality",
    "leave_unknown",
    "read_gists",
    "read_looked_at_first",
    "read_looks",
    "read_quality",
    "read_unknown",
]

_FILE, _GISTS, _QUALITY, _UNKNOWN = "looks.json", "observed.json", "quality.json", "unknown.json"
_FIRST = "first.json"
_Value = TypeVar("_Value")


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of everything that was answered since the first champion, on so many labels."""

    name: str
    value: float
    labels: int


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the newest look at a service found. requests_24h, pace, idle: as `core.canary.assess` takes them.

    step, tally: of the rollout that gets a share beside a champion; tally is None without one, and what is left of it
    are its counts. waits: what an open rollout waits for; absent: that its control arm does not stand, and why.
    unmatched: labels that name no prediction that is remembered. ripening: of all others.
    """

    requests_24h: float
    pace: float
    idle: int = 0
    step: int = 0
    tally: Tally | None = None
    waits: str = ""
    absent: str = ""
    unmatched: int = 0
    ripening: Ripening = Ripening()


def leave_looks(reports: Path, looks: Mapping[ServiceName, Look]) -> None:
    """Leave, by service, what was found of it."""
    _leave(reports / _FILE, looks)


def read_looks(reports: Path) -> dict[ServiceName, Look]:
    """What was left last; nothing where no controller has looked yet."""
    return _read(reports / _FILE, dict[ServiceName, Look]) or {}


def leave_quality(reports: Path, figures: Mapping[ServiceName, Sequence[Figure]]) -> None:
    """Leave, by service, how good the answers were."""
    _leave(reports / _QUALITY, figures)


def read_quality(reports: Path) -> dict[ServiceName, tuple[Figure, ...]]:
    """What was left last, of the services that have labels."""
    return _read(reports / _QUALITY, dict[ServiceName, tuple[Figure, ...]]) or {}


def leave_gists(reports: Path, gists: Sequence[Gist]) -> None:
    """Leave the gists of all watched services."""
    _leave(reports / _GISTS, gists)


def read_gists(reports: Path) -> dict[ServiceName, Gist]:
    """The gists that were left last, by service."""
    return {one.service: one for one in _read(reports / _GISTS, list[Gist]) or []}


def leave_looked_at_first(reports: Path, taken: Mapping[ServiceName, int]) -> None:
    """Leave which watched services are looked at for the first time, and how many predictions were taken of each."""
    _leave(reports / _FIRST, taken)


def read_looked_at_first(reports: Path) -> dict[ServiceName, int]:
    """What was left last; a service whose gist was left since is among them still."""
    return _read(reports / _FIRST, dict[ServiceName, int]) or {}


def leave_unknown(reports: Path, found: Mapping[ServiceName, Sequence[Unknown]]) -> None:
    """Leave, by service, what its version was asked lately and does not know."""
    _leave(reports / _UNKNOWN, found)


def read_unknown(reports: Path) -> dict[ServiceName, tuple[Unknown, ...]]:
    """What was left last."""
    return _read(reports / _UNKNOWN, dict[ServiceName, tuple[Unknown, ...]]) or {}


def _read(file: Path, kind: type[_Value]) -> _Value | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def _leave(path: Path, content: object) -> None:
    """Write a report. On a full disk the last one stays: whoever looks for everybody does not end for want of room."""
    try:
        write_atomically(path, msgspec.json.encode(content), durable=False)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
