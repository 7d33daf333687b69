"""Take in a declaration: import the user's file, freeze its code, put both on record.

    python -m evertrain.process.declaration.declaring [--dir DIR [--install]] FILE [--data FOLDER]

Without a state directory the declaration is looked at, and put on record where a line on stdin says. It is a process of
its own because it runs the user's code; the supervisor and the controller never do.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from evertrain.config.authoring import load
from evertrain.config.bundle import Bundle, freeze
from evertrain.config.declaration import ServiceSpec, SourceSpec
from evertrain.config.environment import files_of_locks, with_locks
from evertrain.config.origin import waiting
from evertrain.config.output import refuse_other_classes
from evertrain.config.script import files_of_scripts
from evertrain.config.validation import agree
from evertrain.core.event import BundleFrozen, Draft, Event, ServiceDeclared, SourceTypesFixed
from evertrain.core.identity import ServiceName, SourceName, canonical, short
from evertrain.core.registry import Registry
from evertrain.core.schema import Column
from evertrain.core.time import Instant
from evertrain.core.wording import say_many
from evertrain.errors import DeclarationError, EvertrainError
from evertrain.process.declaration.inspecting import closed
from evertrain.process.declaration.origins import keep_tables, look_at_source
from evertrain.process.declaration.retyping import refuse_retyping
from evertrain.process.entry import await_folder, tell_fault
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import business_clock
from evertrain.store.installation import complete
from evertrain.store.ledger import Ledger
from evertrain.store.state import State

__all__ = ["check", "declare", "fixed_types", "main"]


def check(
    file: Path, data: Path | None = None, fixed: Mapping[SourceName, Sequence[Column]] | None = None
) -> tuple[ServiceSpec, ...]:
    """The services of `file`, or a refusal; a source's folder must be there, its files may come later.

    data: where the sources' files are looked for; None means beside `file`. fixed: the types of sources that are on
    record.
    """
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for what this process answers
        waiting()  # what another file left
        services = with_locks(load(file), file.resolve().parent)
        tables = waiting()
    keep_tables(tables, _place(file, data))
    for spec in services:
        for source in spec.sources:
            _look_at(source, spec.name, file, data)
    refuse_retyping(services, fixed or {})
    return closed(services, _place(file, data), fixed)


def fixed_types(events: Iterable[Event]) -> dict[SourceName, tuple[Column, ...]]:
    """The types of the sources that are on record, which hold from then on."""
    return {event.fact.source: event.fact.columns for event in events if isinstance(event.fact, SourceTypesFixed)}


def _place(file: Path, data: Path | None) -> Path:
    return (data or file.resolve().parent).absolute()


def _look_at(source: SourceSpec, service: ServiceName, file: Path, data: Path | None) -> None:
    try:
        look_at_source(source, service, _place(file, data))
    except DeclarationError as error:
        raise DeclarationError(f"{file}: {error.what}", error.remedy) from error


def declare(state: State, file: Path, data: Path | None = None) -> tuple[ServiceSpec, ...]:
    """Put the services of `file` on record, with their code. What stands on record already is not written again.

    data: where the sources' files are looked for; None means beside `file`.
    """
    with Ledger.open(state.ledger) as ledger:
        fixed = fixed_types(ledger.read(kinds={"source.types_fixed"}))
    return _put_on_record(state, check(file, data, fixed), file, data)


def _put_on_record(
    state: State, services: tuple[ServiceSpec, ...], file: Path, data: Path | None
) -> tuple[ServiceSpec, ...]:
    place = file.resolve().parent
    locks = files_of_locks(services)
    bundle = freeze(place, file.stem, (*files_of_scripts(place, services), *locks))
    artifacts = Artifacts.at(state.artifacts)
    for name, digest in locks.items():
        if artifacts.blobs.put((place / name).read_bytes()) != digest:
            raise DeclarationError(f"{name} was changed while it was taken in.", "Take the declaration in again.")
    artifacts.blobs.put(bundle.content)
    folder = str(_place(file, data))
    now = business_clock(state.clock).now()
    with Ledger.open(state.ledger) as ledger:
        _refuse_conflicts(services, Registry(ledger.read()), artifacts)
        for spec in services:
            artifacts.blobs.put(canonical(spec))
            last = ledger.last(kinds=["service.declared"], subject=f"service/{spec.name}")
            fact = ServiceDeclared(service=spec.name, declaration=spec.digest, bundle=bundle.digest, folder=folder)
            if not last or last[0].fact != fact:
                _record(ledger, spec, bundle, fact, now)
    return services


def _refuse_conflicts(services: Sequence[ServiceSpec], registry: Registry, artifacts: Artifacts) -> None:
    """The services of a file must agree with each other, and with those on record that it does not declare anew."""
    standing = {
        name: msgspec.json.decode(artifacts.blobs.get(record.declaration), type=ServiceSpec)
        for name, record in registry.services.items()
        if record.declaration is not None
    }
    names = {spec.name for spec in services}
    others = [spec for name, spec in standing.items() if name not in names]
    for spec in services:
        if spec.name in standing and registry.service(spec.name).versions:
            refuse_other_classes(spec.name, standing[spec.name].output, spec.output)
    for place, spec in enumerate(services):
        for other in (*services[:place], *others):
            agree(spec, other)


def _record(ledger: Ledger, spec: ServiceSpec, bundle: Bundle, fact: ServiceDeclared, now: Instant) -> None:
    frozen = BundleFrozen(service=spec.name, bundle=bundle.digest, files=len(bundle.contents.files))
    ledger.append(
        Draft(
            id=f"bundle:{spec.name}:{bundle.digest}",
            at=now,
            actor="declaration",
            subject=f"service/{spec.name}",
            reason=f"{say_many(frozen.files, 'file')} frozen as bundle {short(bundle.digest)}.",
            fact=frozen,
        ),
        Draft(
            id=f"declared:{spec.name}:{ledger.count()}:{spec.digest}",
            at=now,
            actor="declaration",
            subject=f"service/{spec.name}",
            reason=f"The declaration is {short(spec.digest)}, its code {short(bundle.digest)}.",
            fact=fact,
        ),
    )


def main(arguments: Sequence[str]) -> int:
    """The command line; prints the names of the services, one a line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--install", action="store_true", help="make first what is missing of the installation")
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("file", type=Path)
    given = parser.parse_args(arguments)
    try:
        if given.dir is None:
            services = check(given.file, given.data)
            folder = await_folder()
            if folder is None:
                return 0
            _put_on_record(complete(folder), services, given.file, given.data)
        else:
            state = complete(given.dir) if given.install else State.open(given.dir)
            services = declare(state, given.file, given.data)
    except EvertrainError as error:
        return tell_fault(error)
    sys.stdout.write("\n".join(spec.name for spec in services) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
