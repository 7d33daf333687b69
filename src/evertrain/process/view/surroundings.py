"""What stands around the services: processes, sources, alerts, the ledger, a story."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from evertrain.core.event import AlertRaised, Event
from evertrain.core.identity import SourceName
from evertrain.core.time import SECOND, Instant, Span
from evertrain.core.wording import say_many
from evertrain.data.freshness import Reading
from evertrain.store.process import Heartbeat, alive, heartbeats
from evertrain.store.room import free_bytes
from evertrain.store.state import State
from evertrain.web.overview import Alert, Process, SourceState, Story, Tone
from evertrain.web.wording import say_missed, say_seconds

__all__ = [
    "lag_of",
    "say_reading",
    "say_standstill",
    "show_alerts",
    "show_processes",
    "show_sources",
    "show_story",
    "taken_in",
]

_LEAST_BYTES = 64 << 10
"""What SQLite takes for its index and a few events."""


class _Reported(msgspec.Struct, frozen=True):
    """What the data process reports of a source; its other fields are not shown."""

    source: SourceName
    newest: Instant | None
    rows: int
    quarantined: int
    pending: int
    fresh_within: Span | None
    owner: str
    trouble: str = ""
    reading: Reading | None = None


_decoder = msgspec.json.Decoder(list[_Reported])


def show_processes(state: State, generation: int) -> tuple[Process, ...]:
    """Who runs. generation: of the routing table, which a ready worker follows."""
    return tuple(_show_process(beat, generation, alive=alive(beat)) for beat in heartbeats(state))


def _show_process(beat: Heartbeat, generation: int, *, alive: bool) -> Process:
    state, tone = _state_of(beat, generation) if alive else ("ended", "plain" if beat.role == "candidate" else "bad")
    return Process(name=beat.name, role=beat.role, pid=beat.pid, state=state, tone=tone)


def _state_of(beat: Heartbeat, generation: int) -> tuple[str, Tone]:
    """What a process that runs is doing."""
    if beat.starting:
        return "starts", "waiting"
    if beat.failed:
        return "cannot load a version", "bad"
    if beat.role == "worker" and beat.generation < generation:
        return "takes over a new routing table", "waiting"
    if beat.known_to is not None:
        return say_missed(beat.known_to), "waiting"
    if beat.room.level != "enough":
        return f"room for its log is {beat.room.level}", "watch" if beat.room.for_trials else "bad"
    return "ready", "good"


def lag_of(beat: Heartbeat) -> float:
    """Seconds of the log that a process has still to read, which was away while they were written."""
    return 0.0 if beat.known_to is None else max(0.0, time.time() - beat.known_to / SECOND)


def taken_in(state: State) -> Instant:
    """Up to when the data process has taken in everything that was known. A story runs on while it reports."""
    return max((one.settled for one in heartbeats(state) if one.role == "data"), default=Instant(0))


def show_sources(
    reports: Path, names: Iterable[SourceName], set_aside: Mapping[SourceName, str], as_of: Instant
) -> tuple[SourceState, ...]:
    """The named sources, as the data process last reported them.

    set_aside: why a file of one was refused last. as_of: the business time up to which the report knows everything.
    """
    try:
        reported = {one.source: one for one in _decoder.decode((reports / "sources.json").read_bytes())}
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        # Written anew with the next commit.
        reported = {}
    return tuple(_show_source(reported[name], set_aside.get(name, ""), as_of) for name in names if name in reported)


def _show_source(one: _Reported, set_aside: str, as_of: Instant) -> SourceState:
    is_late = one.fresh_within is not None and one.newest is not None and as_of - one.newest > one.fresh_within
    return SourceState(
        name=one.source,
        rows=one.rows + one.pending,
        quarantined=one.quarantined,
        newest=one.newest,
        fresh_within=one.fresh_within,
        tone="watch" if is_late or one.trouble else "good",
        owner=one.owner,
        reading="" if one.reading is None else say_reading(one.reading, time.time()),
        reason=one.trouble or ("Its newest row is older than was declared." if is_late else set_aside),
    )


def say_reading(reading: Reading, now_s: float) -> str:
    """How far the data process is with files that take a while. now_s: seconds since 1970.

    >>> say_reading(Reading(files=10, of=40, began=100.0, reached=120.0), 121.0)
    '10 of 40 files are read, for 21 s; about 59 s left'
    >>> say_reading(Reading(files=0, of=1, began=100.0, reached=100.0), 121.0)
    'reading 1 file, for 21 s'
    >>> say_reading(Reading(files=1, of=1, began=100.0, reached=120.0), 121.0)
    '1 file is read, for 21 s; the online states take up its rows'
    """
    lasting = f"for {say_seconds(max(now_s - reading.began, 0.0))}"
    if reading.files >= reading.of:
        one = reading.of == 1
        said = f"{say_many(reading.of, 'file')} {'is' if one else 'are'} read, {lasting}"
        return f"{said}; the online states take up {'its' if one else 'their'} rows"
    if not reading.files:
        return f"reading {say_many(reading.of, 'file')}, {lasting}"
    rate = (reading.reached - reading.began) / reading.files
    left = max(rate * (reading.of - reading.files) - (now_s - reading.reached), 0.0)
    return f"{reading.files:,} of {say_many(reading.of, 'file')} are read, {lasting}; about {say_seconds(left)} left"


def say_standstill(state: State, cause: str) -> str:
    """Why nothing can be put on record, "" where it can. cause: what whoever tried it last was told, "" of nobody."""
    folder = state.ledger.parent
    if not folder.is_dir():
        return ""  # that there is no ledger is said by who reads it, and room would not bring it back
    free = free_bytes(folder)
    if not cause and free >= _LEAST_BYTES:
        return ""
    told = f"{cause.rstrip('.')}; " if cause else ""
    return (
        f"Nothing can be put on record: {told}{free >> 10:,} KiB are free at {folder}. Until there is room nothing is "
        "decided and no order is taken; users are answered, and all goes on by itself then."
    )


def show_alerts(standing: Mapping[str, Event]) -> tuple[Alert, ...]:
    """What people are told now."""
    return tuple(
        Alert(name=fact.alert, severity=fact.severity, since=event.at, reason=event.reason, owner=fact.owner)
        for event in standing.values()
        if isinstance(fact := event.fact, AlertRaised)
    )


def show_story(state: State, span: tuple[Instant, Instant] | None, now: Instant, *, finished: bool) -> Story | None:
    """How far a story is told; None without one. wall_s counts from the making of the state directory."""
    if span is None:
        return None
    began, ends = span
    done = 1.0 if finished else min(1.0, max(0.0, (now - began) / (ends - began)))
    wall_s = time.time() - (state.path / "state.json").stat().st_mtime
    return Story(began=began, now=now, ends=ends, done=done, wall_s=wall_s, finished=finished)
