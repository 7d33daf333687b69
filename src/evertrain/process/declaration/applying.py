"""Put a changed declaration into force, on an installation that runs or rests, and say what changed.

    python -m evertrain.process.declaration.applying --dir DIR FILE [--data FOLDER]

The declaration is checked whole before anything is written: a broken file leaves what is on record as it is. Running
processes take the new one up from the ledger; versions keep the code that they were made with. A process of its own,
because it runs the user's code; it prints an `Applied` as JSON.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from evertrain.config.bundle import CONTENTS, Contents
from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import Digest, ServiceName, SourceName
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.data.freshness import Freshness, reported_sources
from evertrain.data.standing import rules_of
from evertrain.errors import EvertrainError
from evertrain.process.declaration.caution import cautions_on_files
from evertrain.process.declaration.change import Change, changes_of, code_changes
from evertrain.process.declaration.declaring import declare
from evertrain.process.entry import tell_fault
from evertrain.process.trainer.assembly import bundle_folder, resolver
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.process import alive, heartbeat_at
from evertrain.store.state import State

__all__ = ["Applied", "AppliedService", "ReadAgain", "apply", "main"]

_PATIENCE_S = 15.0
_LOOK_S = 0.05


class AppliedService(msgspec.Struct, frozen=True, kw_only=True):
    """One service of the file. new: nothing of it was on record. changes: empty where all was as it is.

    cautions: what `evertrain plan` says to look at, of a service that is new or changed.
    """

    service: ServiceName
    new: bool
    changes: tuple[Change, ...]
    cautions: tuple[str, ...] = ()


class ReadAgain(msgspec.Struct, frozen=True, kw_only=True):
    """A source whose files are read by other rules from now on, and so much of which is set aside: it is read again."""

    source: SourceName
    rows: int
    files: int


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What was put on record. files: those of the code, by path from the declaration's folder.

    taken_up: the controller has looked since; None where none runs, so that it is taken up at the next start.
    others: services on record that the file does not declare; they go on. trains: services whose training began since.
    """

    services: tuple[AppliedService, ...]
    files: tuple[str, ...]
    taken_up: bool | None
    others: tuple[ServiceName, ...]
    again: tuple[ReadAgain, ...] = ()
    trains: tuple[ServiceName, ...] = ()


def apply(state: State, file: Path, data: Path | None = None) -> Applied:
    """Put the services of `file` on record, and wait a little for the controller to take them up.

    data: where the sources' files are looked for; None means beside `file`.
    """
    before = _registry(state)
    reported = reported_sources(state.reports)
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for what this process answers
        declared = declare(state, file, data)
    after = _registry(state)
    names = [spec.name for spec in declared]
    services = tuple(_applied(state, before.services.get(name), after.services[name]) for name in names)
    files = {name for one in names for name in _files(state, after.services[one].bundle)}
    changed = any(one.new or one.changes for one in services)
    taken_up = _await_look(state) if changed else _controller_runs(state) or None
    specs = {spec.name: spec for spec in declared}
    return Applied(
        services=tuple(
            _with_cautions(one, specs[one.service], state, file, data) if one.new or one.changes else one
            for one in services
        ),
        files=tuple(sorted(files)),
        taken_up=taken_up,
        others=tuple(name for name, one in after.services.items() if one.declaration and name not in names),
        again=tuple(_read_again(_rules(state, before, names), _rules(state, after, names), reported)),
        trains=tuple(_trained_since(after, _registry(state), names)),
    )


def _trained_since(before: Registry, now: Registry, services: Iterable[ServiceName]) -> Iterator[ServiceName]:
    """Services with a cycle under way that was not on record before."""
    for name in services:
        known = before.services[name].cycles
        if any(one.cycle not in known for one in now.services[name].open_cycles):
            yield name


def _rules(state: State, registry: Registry, names: Iterable[ServiceName]) -> dict[SourceName, Digest]:
    """What decides how the files of each source are read, of these services."""
    blobs = Artifacts.at(state.artifacts).blobs
    found: dict[SourceName, Digest] = {}
    for record in (registry.services[name] for name in names if name in registry.services):
        if record.declaration is not None:
            folder = bundle_folder(state, blobs, record.bundle)
            spec = msgspec.json.decode(blobs.get(record.declaration), type=ServiceSpec)
            found |= {source.name: rules_of(source, folder) for source in spec.sources}
    return found


def _read_again(
    before: Mapping[SourceName, Digest], after: Mapping[SourceName, Digest], reported: Iterable[Freshness]
) -> Iterator[ReadAgain]:
    for one in reported:
        differs = one.source in before and before[one.source] != after.get(one.source, before[one.source])
        if differs and (one.quarantined or one.files_quarantined):
            yield ReadAgain(source=one.source, rows=one.quarantined, files=one.files_quarantined)


def _registry(state: State) -> Registry:
    with Ledger.open(state.ledger) as ledger:
        return Registry(ledger.read())


def _applied(state: State, before: ServiceRecord | None, after: ServiceRecord) -> AppliedService:
    if before is None or before.declaration is None or after.declaration is None:
        return AppliedService(service=after.service, new=True, changes=())
    blobs = Artifacts.at(state.artifacts).blobs
    old, new = (
        msgspec.json.decode(blobs.get(digest), type=ServiceSpec) for digest in (before.declaration, after.declaration)
    )
    code = code_changes(_files(state, before.bundle), _files(state, after.bundle))
    return AppliedService(service=after.service, new=False, changes=(*changes_of(old, new), *code))


def _with_cautions(
    one: AppliedService, spec: ServiceSpec, state: State, file: Path, data: Path | None
) -> AppliedService:
    """The service with what is to be looked at; it is in force by now, so nothing waits for that."""
    record = _registry(state).services[one.service]
    folder = bundle_folder(state, Artifacts.at(state.artifacts).blobs, record.bundle)
    place, now = file.resolve().parent, business_clock(state.clock).now()
    with contextlib.redirect_stdout(sys.stderr):
        told = cautions_on_files(spec, data or place, place, resolver(folder, record.bundle), now)
    return msgspec.structs.replace(one, cautions=told)


def _files(state: State, bundle: Digest | None) -> dict[str, Digest]:
    folder = bundle_folder(state, Artifacts.at(state.artifacts).blobs, bundle)
    if folder is None:
        return {}
    return msgspec.json.decode((folder / CONTENTS).read_bytes(), type=Contents).files


def _controller_runs(state: State) -> bool:
    found = heartbeat_at(state, "controller")
    return found is not None and alive(found)


def _await_look(state: State) -> bool | None:
    """Whether the controller has looked since now; None where none runs.

    Its heartbeat says up to when it has done everything, and it looks at once when anything went on record.
    """
    now, end = business_clock(state.clock).now(), time.monotonic() + _PATIENCE_S
    while _controller_runs(state):
        found = heartbeat_at(state, "controller")
        if found is not None and found.settled > now:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_S)
    return None


def main(arguments: Sequence[str]) -> int:
    """The command line; prints what was applied."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("file", type=Path)
    given = parser.parse_args(arguments)
    try:
        applied = apply(State.open(given.dir), given.file, given.data)
    except EvertrainError as error:
        return tell_fault(error)
    sys.stdout.write(msgspec.json.encode(applied).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
