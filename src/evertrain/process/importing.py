"""Take in a model file that was made elsewhere: `python -m evertrain.process.importing --dir DIR ... FILE`.

The file is looked at and kept, never run; the loop is ordered to take it up, and lets the check server judge it. A
service that has only a model file is declared here, from the schema of its requests.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.core.event import Draft, OrderGiven, ServiceDeclared
from evertrain.core.identity import ServiceName, VersionId, canonical, short
from evertrain.core.model import Output
from evertrain.core.schema import Column, Schema
from evertrain.core.time import Instant
from evertrain.errors import EvertrainError, NotFoundError, UserError
from evertrain.model.importing import import_model
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.state import State

__all__ = ["ModelSchema", "main", "order_import"]

_ACTOR = "import"


class ModelSchema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file that `evertrain serve --schema` reads: the columns of a request, and what a score is."""

    columns: tuple[Column, ...]
    output: Output = Output()


def order_import(
    state: State, model: Path, *, service: ServiceName | None, schema: Path | None, role: str, words: str
) -> VersionId:
    """Keep the file, and order the loop to take it up; the same file again is the same order.

    service: may be left out when one is declared. schema: declares the service; without it the one on record holds.
    """
    artifacts, now = Artifacts.at(state.artifacts), business_clock(state.clock).now()
    with Ledger.open(state.ledger) as ledger:
        if schema is None:
            name, spec = _declared(ledger, artifacts, service)
        else:
            spec = _spec_of(service or ServiceName(model.stem), schema)
            name = spec.name
            _declare(ledger, now, artifacts, spec)
        manifest = import_model(
            artifacts, name, model, spec.inputs, output=spec.output, declaration=artifacts.blobs.put(canonical(spec))
        )
        order = OrderGiven(
            service=name, verb="import", role=role, words=ledger.keep_words(words), version=manifest.version
        )
        reason = f"A person ({role}) brought {model.name} as version {short(manifest.version)}."
        _append(ledger, now, f"import:{name}:{manifest.version}", reason, order)
    return manifest.version


def _spec_of(name: ServiceName, schema: Path) -> ServiceSpec:
    try:
        given = msgspec.json.decode(schema.read_bytes(), type=ModelSchema)
    except OSError as error:
        raise UserError(f"{schema} cannot be read: {error.strerror}.", "Name a schema file.") from error
    except msgspec.DecodeError as error:
        raise UserError(
            f"{schema} is no schema: {error}.",
            'Write {"columns": [{"name": "amount", "type": "float64"}, ...]}; types: string, int64, float64, bool, '
            "timestamp.",
        ) from error
    return ServiceSpec(name=name, inputs=Schema(given.columns), output=given.output)


def _declared(ledger: Ledger, artifacts: Artifacts, service: ServiceName | None) -> tuple[ServiceName, ServiceSpec]:
    newest = {
        event.fact.service: event.fact
        for event in ledger.read(kinds=["service.declared"])
        if isinstance(event.fact, ServiceDeclared)
    }
    if service is None and len(newest) == 1:
        service = next(iter(newest))
    if service is None:
        raise UserError(f"There are {len(newest)} services here.", "Name one with --service.")
    if service not in newest:
        raise NotFoundError(f"There is no service {service!r}.", f"Services here: {', '.join(newest) or 'none'}.")
    spec = msgspec.json.decode(artifacts.blobs.get(newest[service].declaration), type=ServiceSpec)
    return service, spec


def _declare(ledger: Ledger, at: Instant, artifacts: Artifacts, spec: ServiceSpec) -> None:
    artifacts.blobs.put(canonical(spec))
    fact = ServiceDeclared(service=spec.name, declaration=spec.digest, bundle=None)
    last = ledger.last(kinds=["service.declared"], subject=f"service/{spec.name}")
    if not last or last[0].fact != fact:
        identity = f"declared:{spec.name}:{ledger.count()}:{spec.digest}"
        _append(ledger, at, identity, f"The declaration is {short(spec.digest)}, from a schema.", fact)


def _append(ledger: Ledger, at: Instant, identity: str, reason: str, fact: ServiceDeclared | OrderGiven) -> None:
    subject = f"service/{fact.service}"
    ledger.append(Draft(id=identity, at=at, actor=_ACTOR, subject=subject, reason=reason, fact=fact))


def main(arguments: Sequence[str]) -> int:
    """The command line; prints the version's id."""
    parser = argparse.ArgumentParser(prog="evertrain.process.importing")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--service", default=None)
    parser.add_argument("--schema", type=Path, default=None)
    parser.add_argument("--role", default="owner")
    parser.add_argument("--words", default="")
    parser.add_argument("model", type=Path)
    given = parser.parse_args(arguments)
    try:
        version = order_import(
            State.open(given.dir),
            given.model,
            service=given.service,
            schema=given.schema,
            role=given.role,
            words=given.words,
        )
    except EvertrainError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
