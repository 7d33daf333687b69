"""What runs now, and how long the like of it took before: read from the folders of the executor's tasks.

Times are the wall clock's, on a story's clock too: who waits for a training waits in seconds. Nothing is locked or
written, so anybody may look while the executor works.
"""

import os
from collections import deque
from pathlib import Path
from typing import Final

import msgspec

from evertrain.core.identity import ServiceName
from evertrain.model.executor import is_at_work

__all__ = ["Tasks", "UnderWay"]

_NEWEST: Final = 400
_REMEMBERED: Final = 5


class UnderWay(msgspec.Struct, frozen=True, kw_only=True):
    """A task that runs. began: seconds since 1970. limit_s: it is ended then.

    took: seconds that the last five of the same service, stage and recipe took, newest first; none that failed, or
    that were interrupted.
    """

    service: ServiceName
    stage: str
    recipe: str
    began: float
    limit_s: float
    took: tuple[float, ...]


class _Asked(msgspec.Struct, frozen=True):
    """What `core.stage` has every task say of itself."""

    stage: str
    service: ServiceName
    recipe: str = ""


class _Submitted(msgspec.Struct, frozen=True):
    arguments: _Asked
    timeout_s: float


class Tasks:
    """The tasks of an installation. What has ended is read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._over: set[str] = set()
        self._took: dict[_Asked, deque[float]] = {}

    def under_way(self) -> list[UnderWay]:
        """What runs now, the longest first."""
        running = [found for path in self._open() if (found := self._look(path)) is not None]
        return [
            UnderWay(
                service=asked.arguments.service,
                stage=asked.arguments.stage,
                recipe=asked.arguments.recipe,
                began=began,
                limit_s=asked.timeout_s,
                took=tuple(self._took.get(asked.arguments, ())),
            )
            for asked, began in sorted(running, key=lambda one: one[1])
        ]

    def _open(self) -> list[Path]:
        """Folders that were not seen to be over, oldest first; of many new ones only the newest tell anything."""
        try:
            with os.scandir(self._folder) as entries:
                found = [entry for entry in entries if entry.name not in self._over]
        except FileNotFoundError:
            return []
        found.sort(key=lambda entry: entry.stat().st_mtime)
        self._over.update(entry.name for entry in found[:-_NEWEST])
        return [Path(entry.path) for entry in found[-_NEWEST:]]

    def _look(self, folder: Path) -> tuple[_Submitted, float] | None:
        """The task if it runs, and since when; how long it took is noted when it has ended."""
        try:
            asked = msgspec.json.decode((folder / "submitted.json").read_bytes(), type=_Submitted)
            began = (folder / "submitted.json").stat().st_mtime
        except (FileNotFoundError, NotADirectoryError):  # it is being made; or it is no task
            return None
        except msgspec.DecodeError:  # a task of another kind
            self._over.add(folder.name)
            return None
        ended = _changed(folder / "result.json")
        if ended is None and _changed(folder / "crash.json") is None:
            return (asked, began) if is_at_work(folder) else None
        self._over.add(folder.name)
        if ended is not None and _changed(folder / "restarts") is None:
            self._took.setdefault(asked.arguments, deque(maxlen=_REMEMBERED)).appendleft(max(ended - began, 0.0))
        return None


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
