"""Work out what a declaration will do, without doing any of it.

    python -m evertrain.process.declaration.planning [FILE] [--data FOLDER] [--dir DIR]

With a FILE it reads the sources' files as ingestion would; without one it looks at the services that are on record in
DIR, and their tables. Nothing is written. A process of its own, because it runs the user's code; it prints a `Plan` as
JSON.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import polars as pl

from evertrain.config.bundle import freeze, unpack
from evertrain.config.declaration import ServiceSpec
from evertrain.config.environment import files_of_locks
from evertrain.config.script import files_of_scripts
from evertrain.control.review import FEWEST_ROWS
from evertrain.core.card import Card
from evertrain.core.event import Event
from evertrain.core.identity import Digest, SourceName, short
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.time import DAY, Instant, Span
from evertrain.core.trigger import Observed
from evertrain.data.batch import Resolve
from evertrain.data.commit import source_table
from evertrain.data.example import examples, training_rows
from evertrain.errors import EvertrainError, UserError
from evertrain.model.assemble import split
from evertrain.process.declaration.caution import cautions_of
from evertrain.process.declaration.declaring import check, fixed_types
from evertrain.process.declaration.lodging import plan_environment
from evertrain.process.declaration.plan import (
    EnvironmentPlan,
    HistoryPlan,
    Plan,
    ServicePlan,
    SourcePlan,
    StepPlan,
    TriggerPlan,
    changes_between,
    comparison,
    foresee_canary,
    foresee_gate,
    foresee_trigger,
)
from evertrain.process.declaration.supply import read_source, recorded_source
from evertrain.process.entry import tell_fault
from evertrain.process.trainer.assembly import resolver
from evertrain.process.view.looks import Look, read_looks
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import SystemClock, business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.state import State
from evertrain.store.table import Table

__all__ = ["main", "plan_file", "plan_record"]

_RATE_DAYS = 28
Frames = dict[SourceName, pl.DataFrame]


class _History(NamedTuple):
    """asked: all examples, in order of time. mature: those whose label's clock has run out, with label."""

    asked: pl.DataFrame
    mature: pl.DataFrame


def plan_file(file: Path, data: Path | None = None, state: State | None = None) -> Plan:
    """What the services of a file will do. data: where the sources' files are; None means beside it.

    state: an installation to compare with.
    """
    events = () if state is None else _events(state)
    services = check(file, data, fixed_types(events))
    place = file.resolve().parent
    bundle = freeze(place, file.stem, (*files_of_scripts(place, services), *files_of_locks(services)))
    now = SystemClock().now() if state is None else business_clock(state.clock).now()
    registry = Registry(events)
    looks = {} if state is None else read_looks(state.reports)
    folder = (data or file.resolve().parent).absolute()
    planned = []
    # stdout carries the plan, whatever the user's code prints.
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
        find = resolver(unpack(bundle.content, bundle.digest, Path(scratch)), bundle.digest)
        for spec in services:
            record = registry.services.get(spec.name)
            read = [read_source(source, folder, find, now) for source in spec.sources]
            frames = {plan.name: rows for plan, rows in read if rows is not None}
            planned.append(
                _plan_service(
                    spec,
                    record,
                    now,
                    sources=[plan for plan, _ in read],
                    history=_history(spec, frames, now, find),
                    changes=_changes(state, record, spec, bundle.digest),
                    card=None if record is None or state is None else _newest_card(state, record),
                    look=looks.get(spec.name),
                    cautions=cautions_of(spec, frames, place),
                    environment=plan_environment(spec, lambda lock: (place / lock.name).read_bytes(), state),
                )
            )
    return Plan(at=now, services=tuple(planned))


def plan_record(state: State) -> Plan:
    """What the services on record will do next."""
    now = business_clock(state.clock).now()
    events = _events(state)
    blobs, looks = Artifacts.at(state.artifacts).blobs, read_looks(state.reports)
    planned = []
    for _, record in sorted(Registry(events).services.items()):
        if record.declaration is None:
            continue
        spec = msgspec.json.decode(blobs.get(record.declaration), type=ServiceSpec)
        tables = {source.name: Table(state.tables, source_table(source.name)) for source in spec.sources}
        frames = {name: table.read() for name, table in tables.items() if table.version() >= 0}
        planned.append(
            _plan_service(
                spec,
                record,
                now,
                sources=[recorded_source(source, events) for source in spec.sources],
                history=_history(spec, frames, now, resolver(None, None)),
                changes=(),
                card=_newest_card(state, record),
                look=looks.get(spec.name),
                environment=plan_environment(spec, lambda lock: blobs.get(lock.content), state),
            )
        )
    return Plan(at=now, services=tuple(planned))


def _events(state: State) -> list[Event]:
    with Ledger.open(state.ledger) as ledger:
        return ledger.read()


# Services -------------------------------------------------------------------------------------------------------------


def _plan_service(
    spec: ServiceSpec,
    record: ServiceRecord | None,
    now: Instant,
    *,
    sources: Sequence[SourcePlan],
    history: _History | None,
    changes: tuple[str, ...] | None,
    card: Card | None,
    look: Look | None,
    cautions: tuple[str, ...] = (),
    environment: EnvironmentPlan | None = None,
) -> ServicePlan:
    counted = None if history is None else _count(history, spec, now)
    per_day = counted.per_day if counted is not None else 0.0
    trial = None if record is None or changes is None or "rollout" in changes else _on_trial(record, look)
    return ServicePlan(
        service=spec.name,
        changes=changes,
        inputs=len(spec.vector),
        recipes=tuple(spec.recipes),
        sources=tuple(sources),
        history=counted,
        gate=foresee_gate(spec.gate, card) if spec.recipes else None,
        triggers=_triggers(spec, record, now, history, per_day) if spec.recipes else (),
        canary=_canary(spec, look, per_day, goes_on=trial is not None),
        trial=trial,
        presumed=per_day if trial is None and (look is None or not look.requests_24h) and per_day > 0 else None,
        back=Span(spec.rollout.back) if spec.rollout.by_pool else None,
        cautions=cautions,
        environment=environment,
    )


def _on_trial(record: ServiceRecord, look: Look | None) -> int | None:
    """The number of the version whose evidence is being gathered."""
    rollout = record.open_rollout
    return None if rollout is None or look is None or look.tally is None else record.versions[rollout.version].ordinal


def _canary(spec: ServiceSpec, look: Look | None, per_day: float, *, goes_on: bool) -> tuple[StepPlan, ...]:
    """The steps of a canary, by the traffic that there is; per_day: by the history, where there is none yet.

    goes_on: from where the one under way stands, by the same figures as `evertrain status` counts it.
    """
    if look is None:
        return foresee_canary(spec.rollout, per_day, per_day)
    if goes_on:
        return foresee_canary(spec.rollout, look.requests_24h, look.pace, step=look.step, tally=look.tally)
    return foresee_canary(spec.rollout, look.requests_24h or per_day, look.pace or per_day)


def _history(spec: ServiceSpec, frames: Frames, now: Instant, find: Resolve) -> _History | None:
    """The examples, features left out; None where a source has no rows yet."""
    if spec.examples is None or spec.label is None or not {spec.examples.source, spec.label.source} <= frames.keys():
        return None
    bare = msgspec.structs.replace(spec, features=())
    return _History(
        asked=examples(bare, frames[spec.examples.source]).select("key", "at"),
        mature=training_rows(bare, frames, now, find).rows.select("key", "at", "mature_at", "label"),
    )


def _count(history: _History, spec: ServiceSpec, now: Instant) -> HistoryPlan:
    asked, mature = history
    parts = split(mature, cut=now, holdout=Span(spec.gate.holdout))
    first, last = (Instant(asked["at"][place]) if asked.height else None for place in (0, -1))
    return HistoryPlan(
        examples=asked.height,
        first=first,
        last=last,
        per_day=_per_day(asked),
        mature=mature.height,
        labelled=mature.height - mature["label"].null_count(),
        training=parts.training.height,
        holdout=parts.holdout.height,
        fewest=FEWEST_ROWS,
    )


def _per_day(rows: pl.DataFrame) -> float:
    """Examples a day over the newest weeks of the history."""
    if rows.is_empty():
        return 0.0
    first, last = int(rows["at"][0]), int(rows["at"][-1])
    days = min(_RATE_DAYS, max(1.0, (last - first) / DAY))
    recent = rows.filter(pl.col("at") > last - days * DAY)
    return recent.height / days


def _triggers(
    spec: ServiceSpec, record: ServiceRecord | None, now: Instant, history: _History | None, per_day: float
) -> tuple[TriggerPlan, ...]:
    last = record.last_run if record is not None else None
    if last is None:
        first = TriggerPlan(name="first", says="there is no version yet: a first training begins at once", at=now)
        seen, earliest = Observed(now=now, since=now), Instant(now + spec.cooldown)
        return (first, *(foresee_trigger(one, seen, earliest=earliest, per_day=per_day) for one in spec.triggers))
    earliest = Instant(last.began + spec.cooldown)
    planned = []
    for trigger in spec.triggers:
        run = None if record is None else record.last_run_by(trigger.recipe, spec.recipes)
        began = record.declared if run is None and record is not None else (run or last).began
        cut = run.dataset.cut if run is not None and run.dataset is not None else began
        fresh = 0 if history is None else history.mature.filter(pl.col("mature_at") > cut).height
        seen = Observed(now=now, since=began, rows=fresh)
        planned.append(foresee_trigger(trigger, seen, earliest=earliest, per_day=per_day))
    return tuple(planned)


def _changes(
    state: State | None, record: ServiceRecord | None, spec: ServiceSpec, bundle: Digest
) -> tuple[str, ...] | None:
    """What differs from the record: parts of the declaration, and the code; None when nothing is on record."""
    if state is None or record is None or record.declaration is None:
        return None
    before = msgspec.json.decode(Artifacts.at(state.artifacts).blobs.get(record.declaration), type=ServiceSpec)
    code = () if record.bundle == bundle else (f"the code ({_said(record.bundle)} to {short(bundle)})",)
    return (*changes_between(before, spec), *code)


def _said(bundle: Digest | None) -> str:
    return "none" if bundle is None else short(bundle)


def _newest_card(state: State, record: ServiceRecord) -> Card | None:
    """The card of the newest version that was about as good as its champion."""
    blobs = Artifacts.at(state.artifacts).blobs
    for version in reversed(record.versions.values()):
        if version.card is not None:
            card = msgspec.json.decode(blobs.get(version.card), type=Card)
            if comparison(card) is not None:
                return card
    return None


def main(arguments: Sequence[str]) -> int:
    """The command line; prints the plan."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("file", type=Path, nargs="?", default=None)
    given = parser.parse_args(arguments)
    try:
        state = None if given.dir is None else State.open(given.dir)
        if given.file is not None:
            plan = plan_file(given.file, given.data, state)
        elif state is not None:
            plan = plan_record(state)
        else:
            raise UserError("There is nothing to plan.", "Name a declaration, or a state directory with --dir.")
    except EvertrainError as error:
        return tell_fault(error)
    sys.stdout.write(msgspec.json.encode(plan).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
