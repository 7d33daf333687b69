"""How a source stands. One that is staler than was declared: its owner is told, and again when it is fresh."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from evertrain.core.event import AlertCleared, AlertRaised, Draft, Event
from evertrain.core.identity import SourceName
from evertrain.core.time import Instant, say_instant, say_span
from evertrain.data.commit import ACTOR

__all__ = ["ALERTS", "Freshness", "FreshnessAlerts", "Reading", "is_stale", "reported_sources"]

ALERTS = frozenset({"alert.raised", "alert.cleared"})
"""The kinds of events that tell which alerts stand."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Files that are being read, which takes a while: how many of how many. In seconds since 1970 when it began,
    and when that many were reached.
    """

    files: int
    of: int
    began: float
    reached: float


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """How a source stands. newest: the latest event time of a row; pending: rows that wait for the next commit.
    quarantined, files_quarantined: what is still set aside, by the newest reading of each file. again: of so many
    files it is to be read once more, by a declaration that came since.

    trouble: why it cannot be read now, or what is not read of it; "" when all is well. reading: of what is under way.
    """

    source: SourceName
    newest: Instant | None
    arrived: Instant | None
    rows: int
    quarantined: int
    files_quarantined: int
    pending: int
    fresh_within: int | None
    owner: str
    trouble: str = ""
    reading: Reading | None = None
    again: int = 0


def reported_sources(reports: Path) -> list[Freshness]:
    """How each source stands, as the data process wrote it down last; none before its first second."""
    try:
        return msgspec.json.decode((reports / "sources.json").read_bytes(), type=list[Freshness])
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return []


def is_stale(source: Freshness, now: Instant) -> bool:
    """Whether its newest row is older than declared. A source that promises nothing, or has no row yet, is not."""
    return source.fresh_within is not None and source.newest is not None and now - source.newest > source.fresh_within


class FreshnessAlerts:
    """Which sources' owners have been told. events: those of the ledger about alerts, in order."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._standing: set[str] = set()
        for event in events:
            if isinstance(event.fact, AlertRaised):
                self._standing.add(event.fact.alert)
            elif isinstance(event.fact, AlertCleared):
                self._standing.discard(event.fact.alert)

    def judge(self, sources: Iterable[Freshness], now: Instant) -> list[Draft]:
        """What has changed by `now`, when all that is known by then has been taken in. The same again tells nothing."""
        drafts = []
        for source in sources:
            alert, stale = f"source/{source.source}/freshness", is_stale(source, now)
            if stale and alert not in self._standing:
                self._standing.add(alert)
                drafts.append(_raised(alert, source, now))
            elif not stale and alert in self._standing:
                self._standing.discard(alert)
                drafts.append(_cleared(alert, source, now))
        return drafts


def _raised(alert: str, source: Freshness, now: Instant) -> Draft:
    within = "no time" if source.fresh_within is None else say_span(source.fresh_within)
    newest = "never" if source.newest is None else say_instant(source.newest)
    return Draft(
        id=f"stale/{source.source}/{source.fresh_within}/{source.newest}",
        at=now,
        actor=ACTOR,
        subject=f"source/{source.source}",
        reason=f"The newest row of source {source.source} is from {newest}; a newer one was due within {within}.",
        fact=AlertRaised(alert=alert, owner=source.owner, severity="warning"),
    )


def _cleared(alert: str, source: Freshness, now: Instant) -> Draft:
    newest = "none" if source.newest is None else say_instant(source.newest)
    return Draft(
        id=f"fresh/{source.source}/{source.fresh_within}/{source.newest}",
        at=now,
        actor=ACTOR,
        subject=f"source/{source.source}",
        reason=f"Source {source.source} is fresh again: its newest row is from {newest}.",
        fact=AlertCleared(alert=alert),
    )
