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
    """Somebody declares broken code and orders a retraining; a day later the sound code is declared again.

    at: a midnight; it happens then, or at the first one after it at which the loop is at rest. expect: how the loop
    must end it ("refused" by the gate, or "rolled_back" in the canary).
    """

    name: str
    at: Instant
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

    def commit(self, accident: Accident, at: Instant) -> Path:
        """Write the accident's declaration, as merged at `at`; returns its file."""

    def history(self) -> Mapping[str, pl.DataFrame]:
        """Rows by source that are there when the clock starts."""

    def hour(self, at: Instant) -> HourOfStory:
        """What comes in [at, at + 1h). Requests only from `first` on and before `last`."""
