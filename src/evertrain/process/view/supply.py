"""How the sources of an installation stand, as the data process last wrote it down."""

import time

import msgspec

from evertrain.core.identity import SourceName
from evertrain.core.time import Instant, Span
from evertrain.data.freshness import is_stale, reported_sources
from evertrain.data.quarantine import Quarantine, SetAside
from evertrain.process.view.surroundings import say_reading
from evertrain.store.state import State

__all__ = ["SourceSituation", "look_at_sources"]


class SourceSituation(msgspec.Struct, frozen=True, kw_only=True):
    """One source. set_aside: what was set aside last; rows_aside and files_aside: how many wait in quarantine;
    files_again: of so many files it is being read again, by a declaration that came since.

    trouble: why it cannot be read now, or what is not read of it. reading: how far a reading is that takes a while.
    """

    source: SourceName
    rows: int
    newest: Instant | None
    fresh_within: Span | None
    stale: bool
    owner: str
    rows_aside: int
    files_aside: int
    files_again: int = 0
    set_aside: SetAside | None = None
    trouble: str = ""
    reading: str = ""


def look_at_sources(state: State, as_of: Instant, *, reads: bool) -> tuple[SourceSituation, ...]:
    """As the data process last reported them; as_of: when the report knew everything; reads: it lives."""
    return tuple(
        SourceSituation(
            source=one.source,
            rows=one.rows + one.pending,
            newest=one.newest,
            fresh_within=None if one.fresh_within is None else Span(one.fresh_within),
            stale=is_stale(one, as_of),
            owner=one.owner,
            rows_aside=one.quarantined,
            files_aside=one.files_quarantined,
            files_again=one.again,
            set_aside=Quarantine(state.quarantine(one.source)).newest(),
            trouble=one.trouble,
            reading="" if one.reading is None or not reads else say_reading(one.reading, time.time()),
        )
        for one in reported_sources(state.reports)
    )
