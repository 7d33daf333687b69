"""Facts of the ledger about the machine itself: its processes, the people who are told, and replays.

All other facts are about services and stand in `core.event`, which offers these as well.
"""

from typing import Literal

import msgspec

from evertrain.core.identity import VersionId

__all__ = ["AlertCleared", "AlertRaised", "ProcessExited", "ProcessesRestarted", "StoryMarked"]


class _Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of the facts here; each names its tag."""


class AlertRaised(_Fact, frozen=True, kw_only=True, tag="alert.raised"):
    """A person is told; nothing repeats while the alert stands."""

    alert: str
    owner: str
    severity: Literal["notice", "warning", "critical"]


class AlertCleared(_Fact, frozen=True, kw_only=True, tag="alert.cleared"):
    """What the alert was about is over."""

    alert: str


class ProcessExited(_Fact, frozen=True, kw_only=True, tag="process.exited"):
    """A process of the tree ended without being told to. version: the one that it was running, if any.

    untold: how many ends of it before this one are not on record, because nobody came for the notes of them.
    pool: of a worker, the set that it belongs to. crashed: whether it is its own doing, by a fault or a hang; what was
    killed from outside, by a person or by the kernel when memory ends, speaks against nothing that it ran.
    """

    process: str
    code: int | None
    signal: str | None
    version: VersionId | None
    untold: int = 0
    pool: int | None = None
    crashed: bool = False


class ProcessesRestarted(_Fact, frozen=True, kw_only=True, tag="processes.restarted"):
    """A planned restart, asked for by a person, is over. replaced: name of each old process to its successor's.

    whole: whether everything that was asked for was replaced; the event's reason says what stood in the way.
    """

    scope: Literal["workers", "all"]
    replaced: dict[str, str]
    whole: bool


class StoryMarked(_Fact, frozen=True, kw_only=True, tag="story.marked"):
    """A scripted replay began, planted an accident, or ended."""

    mark: str
    figures: dict[str, float] = {}
