"""What a story replays: history first, then hour by hour what arrives and what is asked, and the planted accidents."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import polars as pl

from evertrain.core.identity import ServiceName
from evertrain.core.time import Instant

__all__ = ["Accident", "Asked", "HourOfStory", "Outcome", "Script"]


class Asked(NamedTuple):
    """One request of the story: its key, its prediction time, and its JSON body."""

    key: str
    at: Instant
    body: bytes


class Outcome(NamedTuple):
    """One label: of which key, its value, and when it was known."""

    key: str
    value: float
    known: Instant


class HourOfStory(msgspec.Struct, frozen=True):
    """What comes in one hour. frames: new rows by source; labels: posted; requests: asked, in order of time."""

    frames: dict[str, pl.DataFrame]
    labels: list[Outcome]
    requests: list[Asked]


class Accident(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody declares broken code at `at` and orders a retraining; the sound code is declared again at `mended`.

    expect: how the loop must end it ("refused" by the gate, or "rolled_back" in the canary).
    """

    name: str
    at: Instant
    mended: Instant
    declaration: Path
    expect: str
    reason: str


class Script(Protocol):
    """A story that can be told.

    begin: the clock starts; first: requests start; last: they end; drained: the story ends. All are whole hours.
    """

    service: ServiceName
    declaration: Path
    begin: Instant
    first: Instant
    last: Instant
    drained: Instant
    accidents: Sequence[Accident]

    def plant(self) -> None:
        """Write the accidents' declarations, before anything else happens."""

    def history(self) -> Mapping[str, pl.DataFrame]:
        """Rows by source that are there when the clock starts."""

    def hour(self, at: Instant) -> HourOfStory:
        """What comes in [at, at + 1h). Requests only from `first` on and before `last`."""
