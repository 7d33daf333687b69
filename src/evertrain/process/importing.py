"""Take in a model file as a version, by an order to the loop; it answers nobody before check server and canary.

    python -m evertrain.process.importing --dir DIR --service NAME [--schema FILE] MODEL

A process of its own, so that neither the supervisor nor the controller parses a stranger's file. It runs none of it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.core.event import Draft, Event, OrderGiven, ServiceDeclared
from evertrain.core.identity import ServiceName, VersionId, canonical, short
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.schema import Schema
from evertrain.errors import EvertrainError, UserError
from evertrain.model.importing import import_model
from evertrain.process.entry import tell_fault
from evertrain.process.order import give_order
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.state import State

__all__ = ["Imported", "import_file", "main"]


class Imported(NamedTuple):
    """A file as a version. order: on record about it; None when it is a version in good standing already."""

    version: VersionId
    order: Event | None


def import_file(state: State, model: Path, service: ServiceName, schema: Path | None, words: str) -> Imported:
    """Keep the file as a version of the service and order its rollout. The same file again orders nothing.

    A file that was refused is ordered again, so that the attempt and the loop's answer to it are on record.

    schema: JSON of the columns of a request; needed when the service is new.
    """
    artifacts = Artifacts.at(state.artifacts)
    with Ledger.open(state.ledger) as ledger:
        record = Registry(ledger.read()).service(service)
        spec = _declared(artifacts, record, service, schema)
        manifest = import_model(
            artifacts, service, model, spec.inputs, output=spec.output, declaration=artifacts.blobs.put(canonical(spec))
        )
        version = artifacts.put_manifest(manifest)
        if record.declaration is None:
            _declare(state, ledger, spec)
        if version in record.versions and not record.versions[version].refused:
            return Imported(version, None)
        order = OrderGiven(
            service=service, verb="import", role="operator", words=ledger.keep_words(words), version=version
        )
        return Imported(version, give_order(state, ledger, order))


def _declared(artifacts: Artifacts, record: ServiceRecord, service: ServiceName, schema: Path | None) -> ServiceSpec:
    """The service as it is on record; a new one takes its columns from the schema file."""
    if record.declaration is not None:
        return msgspec.json.decode(artifacts.blobs.get(record.declaration), type=ServiceSpec)
    if schema is None:
        raise UserError(
            f"There is no service {service!r} yet.", "Start it with `evertrain serve MODEL --schema FILE` first."
        )
    return ServiceSpec(name=service, inputs=_read_schema(schema))


def _read_schema(path: Path) -> Schema:
    remedy = 'Write {"columns": [{"name": "amount", "type": "float64"}, ...]}; types: string, int64, float64, bool.'
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Schema)
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"The schema {path} cannot be read: {error}.", remedy) from error
    if not found.columns or len(set(found.names)) < len(found.names):
        raise UserError(f"The schema {path} needs at least one column, and each name once.", remedy)
    return found


def _declare(state: State, ledger: Ledger, spec: ServiceSpec) -> None:
    ledger.append(
        Draft(
            id=f"declared:{spec.name}:0:{spec.digest}",
            at=business_clock(state.clock).now(),
            actor="declaration",
            subject=f"service/{spec.name}",
            reason=f"A model file is served; the declaration is {short(spec.digest)}.",
            fact=ServiceDeclared(service=spec.name, declaration=spec.digest, bundle=None),
        )
    )


def main(arguments: Sequence[str]) -> int:
    """The command line; prints the version's id."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--schema", type=Path, default=None)
    parser.add_argument("--words", default="imported")
    parser.add_argument("model", type=Path)
    given = parser.parse_args(arguments)
    try:
        state = State.open(given.dir)
        version, _ = import_file(state, given.model, ServiceName(given.service), given.schema, given.words)
    except EvertrainError as error:
        return tell_fault(error)
    sys.stdout.write(f"{version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
