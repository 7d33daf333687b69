"""Wait until a served file, or the first model of a declared service, answers or is refused, and say which.

    python -m evertrain.process.supervision.greeting --dir DIR --service NAME [--version ID] [--seconds N]
        [--beyond CYCLE] [--telling]

A process of its own, so that the supervisor never loads a database. It prints an `Outcome` as JSON; with --telling,
before that, a line of `Doing` each second.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from evertrain.core.approval import consent
from evertrain.core.cycle import CycleState
from evertrain.core.event import OrderGiven
from evertrain.core.golden import Golden
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.registry import Registry, ServiceRecord, Version
from evertrain.core.schema import Value
from evertrain.core.time import Instant, say_instant
from evertrain.data.freshness import reported_sources
from evertrain.errors import EvertrainError
from evertrain.model.progress import Tasks
from evertrain.process.entry import tell_fault
from evertrain.process.view.standing import show_work
from evertrain.process.view.surroundings import say_reading
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.process import PARENT
from evertrain.store.state import State
from evertrain.web.overview import Work

__all__ = ["Doing", "Outcome", "await_outcome", "main"]

_LOOK_S = 0.1
_TELL_S = 1.0


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """What is being done meanwhile, as `evertrain status` tells it.

    reading: by source, how far its reading is. asks: what a person has to approve before anything answers.
    """

    work: tuple[Work, ...]
    reading: dict[str, str] = {}
    asks: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a version. ordinal: its number. why: of a refusal or another end.

    example: a request that it answers. champion: the number of the version that answers, when that is "another". cycle:
    the newest when this was told. optional: how many columns a file takes, where none has to be sent. asks: whose
    approval it waits for.
    """

    state: Literal["answers", "another", "ended", "refused", "waits"]
    ordinal: int = 0
    champion: int = 0
    why: str = ""
    example: dict[str, Value] = {}
    cycle: str = ""
    optional: int = 0
    asks: str = ""


def await_outcome(
    state: State,
    service: ServiceName,
    version: VersionId | None,
    seconds: float,
    is_wanted: Callable[[], bool] = lambda: True,
    *,
    beyond: str | None = None,
    while_asked: bool = False,
    tell: Callable[[ServiceRecord], None] = lambda _: None,
) -> Outcome:
    """Look until the version answers or is refused, at most so many seconds.

    version: None is whichever is the first to answer. is_wanted: whether anybody still waits for it. beyond: the cycle
    whose failure was told already ("" where there was none): it may be mended, so look on for what a later one
    brings. while_asked: look on as long as somebody has to approve it. tell: is given the record at each look.
    """
    end, clock = time.monotonic() + seconds, business_clock(state.clock)
    with Ledger.open(state.ledger) as ledger:
        stamp, found, ordinal, record = None, None, 0, ServiceRecord(service=service)
        while True:
            if ledger.stamp() != stamp:
                stamp = ledger.stamp()
                record = Registry(ledger.read()).service(service)
                known = _newest(record) if version is None else record.versions.get(version)
                ordinal = 0 if known is None else known.ordinal
                found = _answering(state, record, version)
                if found is None and (beyond is None or (record.newest_cycle or "") != beyond):
                    found = _halted(record, known, one_only=version is not None)
            if found is not None:
                return msgspec.structs.replace(found, cycle=record.newest_cycle or "")
            asks = _say_asked(record, clock.now())
            if (time.monotonic() > end and not (while_asked and asks)) or not is_wanted():
                return Outcome(state="waits", ordinal=ordinal, asks=asks)
            tell(record)
            time.sleep(_LOOK_S)


class _Teller:
    """Writes what is being done, once a second."""

    def __init__(self, state: State) -> None:
        self._reports = state.reports
        self._tasks = Tasks(state.tasks)
        self._clock = business_clock(state.clock)
        self._next = 0.0

    def __call__(self, record: ServiceRecord) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _TELL_S
        now = time.time()
        reading = {
            str(one.source): say_reading(one.reading, now)
            for one in reported_sources(self._reports)
            if one.reading is not None
        }
        work = show_work(record, self._tasks.under_way(), now)
        doing = Doing(work=work, reading=reading, asks=_say_asked(record, self._clock.now()))
        sys.stdout.write(msgspec.json.encode(doing).decode() + "\n")
        sys.stdout.flush()


def _say_asked(record: ServiceRecord, now: Instant) -> str:
    """What a person has to approve before the version on trial goes on, "" where nothing."""
    rollout = record.open_rollout
    if rollout is None or not rollout.unanswered:
        return ""
    ordinal = record.versions[rollout.version].ordinal
    whom = "; ".join(consent(rollout.unanswered, now).reasons)
    return (
        f"version {ordinal} {whom}: evertrain approve {record.service} --version {ordinal} --reason ..., "
        "or evertrain deny"
    )


def _answering(state: State, record: ServiceRecord, version: VersionId | None) -> Outcome | None:
    if record.champion is None or version not in (None, record.champion):
        return None
    ordinal = record.versions[record.champion].ordinal
    return Outcome(
        state="answers",
        ordinal=ordinal,
        example=_example(state, record.champion),
        optional=_optional(state, record.champion),
    )


def _optional(state: State, version: VersionId) -> int:
    """How many columns a file takes, where none of them has to be sent; 0 where one has, or it was trained here."""
    manifest = Artifacts.at(state.artifacts).manifest(version)
    columns = manifest.inputs.columns
    return len(columns) if manifest.origin == "import" and all(column.nullable for column in columns) else 0


def _halted(record: ServiceRecord, known: Version | None, *, one_only: bool) -> Outcome | None:
    """Why nothing more is to be expected soon, if so. one_only: another version than `known` would not do."""
    is_idle = not record.open_cycles and record.open_rollout is None and bool(record.decisions)
    if known is not None and one_only and record.champion is not None and _rests(record, known.version):
        answering = record.versions[record.champion].ordinal
        ended = "" if known.refused else _end_of(record, known.version)
        state: Literal["another", "ended"] = "ended" if ended else "another"
        return Outcome(state=state, ordinal=known.ordinal, champion=answering, why=known.refused or ended)
    if known is not None and known.refused and (one_only or is_idle):
        return Outcome(state="refused", ordinal=known.ordinal, why=known.refused)
    if not is_idle or (known is None and one_only):
        return None
    return Outcome(state="waits", ordinal=0 if known is None else known.ordinal, why=record.decisions[-1].reason)


def _end_of(record: ServiceRecord, version: VersionId) -> str:
    """Why the newest cycle of a version brought it nowhere, as where it could not be checked; "" where it did not."""
    newest = next((one for one in reversed(record.cycles.values()) if one.version == version), None)
    return "" if newest is None or newest.open or newest.state is CycleState.PROMOTED else newest.why


def _rests(record: ServiceRecord, version: VersionId) -> bool:
    """Whether a version neither answers nor is under way to it, and nobody has just asked for it."""
    asked = {event.fact.version for event in record.orders.values() if isinstance(event.fact, OrderGiven)}
    return record.rests(version) and version not in asked


def _newest(record: ServiceRecord) -> Version | None:
    return max(record.versions.values(), key=lambda one: one.ordinal, default=None)


def _example(state: State, version: VersionId) -> dict[str, Value]:
    """The first golden request, which every version was asked in its check server; times as people write them."""
    artifacts = Artifacts.at(state.artifacts)
    manifest = artifacts.manifest(version)
    if manifest.golden is None:
        return {}
    golden = msgspec.json.decode(artifacts.blobs.get(manifest.golden), type=Golden)
    if not golden.requests:
        return {}
    return {
        column.name: say_instant(Instant(value)) if column.type == "timestamp" and isinstance(value, int) else value
        for column, value in zip(manifest.inputs.columns, golden.requests[0].row, strict=True)
    }


def main(arguments: Sequence[str]) -> int:
    """The command line; prints the outcome."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--version", type=VersionId)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--beyond")
    parser.add_argument("--telling", action="store_true")
    given = parser.parse_args(arguments)
    try:
        state = State.open(given.dir)
        parent = int(os.environ.get(PARENT, os.getppid()))
        found = await_outcome(
            state,
            ServiceName(given.service),
            given.version,
            given.seconds,
            lambda: os.getppid() == parent,
            beyond=given.beyond,
            while_asked=given.telling,
            tell=_Teller(state) if given.telling else lambda _: None,
        )
    except EvertrainError as error:
        return tell_fault(error)
    sys.stdout.write(msgspec.json.encode(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
