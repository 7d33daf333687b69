"""Take in a model file as a version, by an order to the loop; it answers nobody before check server and canary.

    python -m evertrain.process.steering.importing [--dir DIR [--install]] --service NAME
        [--schema FILE | --sample FILE] MODEL

A process of its own, so that neither the supervisor nor the controller parses a stranger's file. It runs none of it.
Without --dir it looks whether the file and its columns would be taken, and takes them in where a line on stdin says.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import msgspec
import polars as pl

from evertrain.config.declaration import CanarySpec, GateSpec, ServiceSpec
from evertrain.control.review import unjudged_until
from evertrain.core.event import Draft, Event, OrderGiven, ServiceDeclared
from evertrain.core.golden import Golden
from evertrain.core.identity import ServiceName, VersionId, canonical, digest_of_bytes, short
from evertrain.core.model import Manifest, Output
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.schema import Column, Schema, Value
from evertrain.core.time import DAY, Instant, say_instant
from evertrain.data.column import UNFIT, fix_columns, parse
from evertrain.data.source import ROW, Cells, read_cells
from evertrain.errors import EvertrainError, UserError
from evertrain.model.importing import Computed, Foreign, import_model, look_at, packages_of, schema_for, vector_for
from evertrain.model.likeness import changes_of_inputs
from evertrain.model.mlflow import MLMODEL, unfold
from evertrain.process.entry import await_folder, tell_fault
from evertrain.process.steering.entering import add_entering, refuse_other_way, said_of
from evertrain.process.steering.environment import lock_for, lock_of, unhashed, without_lock
from evertrain.process.steering.order import give_order
from evertrain.process.trainer.assembly import bundle_folder, features_digest
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import business_clock
from evertrain.store.installation import complete
from evertrain.store.ledger import Ledger
from evertrain.store.signature import Verifier, check_vouched, untrusted
from evertrain.store.state import State

__all__ = ["Imported", "Request", "import_file", "look_into_folder", "main"]


class Imported(NamedTuple):
    """A file as a version. order: on record about it; None when it is a version in good standing already.

    cautions: what it takes in otherwise than the version that answers, each in half a sentence.
    """

    version: VersionId
    order: Event | None
    cautions: tuple[str, ...] = ()


class Request(NamedTuple):
    """What a person said of the columns and the output of a new service. Without any, the model file says it.

    named: the service was called so by a person, not after the file. enters: how its successors enter, as fields of a
    CanarySpec; what is not said is as by default, or as it was. environment: a lock whose packages the version runs
    with; None takes those of the declaration.
    """

    schema: Path | None = None
    sample: Path | None = None
    output: Literal["probability", "value"] | None = None
    classes: tuple[str, ...] = ()
    named: bool = True
    enters: Mapping[str, Any] = MappingProxyType({})
    environment: Path | None = None


def import_file(
    state: State,
    model: Path,
    service: ServiceName,
    request: Request,
    words: str,
    *,
    again: bool = False,
    shadow: bool = False,
) -> Imported:
    """Keep the file as a version of the service and order its rollout. The same file again orders nothing.

    A file that was refused is ordered again, so that the attempt and the loop's answer to it are on record.

    request: used when the service is new; its successors take the columns that it has. again: a version in good
    standing that neither answers nor is under way is to go on trial once more.
    """
    found = look_into_folder(model)
    artifacts = Artifacts.at(state.artifacts)
    if found.kind == "pickle":
        check_vouched(
            artifacts, Verifier.load(state.trusted), digest_of_bytes(found.path.read_bytes()), found.path.name
        )
    with Ledger.open(state.ledger) as ledger:
        registry = Registry(ledger.read())
        record = registry.service(service)
        if record.declaration is None and not request.named:
            _refuse_second(registry, service, model)
        declared = _declared(artifacts, record)
        if declared is not None:
            refuse_other_way(declared, request.enters)
        spec = declared or _new_service(service, found, request)
        if spec.watched is not None:
            raise UserError(
                f"Service {service!r} is only watched.", "Bring the model in under another name: --service."
            )
        _refuse_other_classes(found, spec.output)
        manifest = import_model(
            artifacts,
            service,
            found,
            spec.inputs,
            output=spec.output,
            declaration=artifacts.blobs.put(canonical(spec)),
            rows=_rows_of(request, spec.inputs) or _rows_before(artifacts, record, spec.inputs),
            computed=_computed(state, artifacts, record, spec) if spec.features else None,
            lock=lock_for(artifacts, spec, request.environment),
        )
        version = artifacts.put_manifest(manifest)
        if record.declaration is None:
            _declare(state, ledger, spec)
        if record.champion is None and not again:
            _refuse_refused(record, manifest, model)
        known = record.versions.get(version)
        anew = (again or record.champion is None) and record.rests(version)
        if known is not None and not known.refused and not anew:
            return Imported(version, None)
        order = OrderGiven(
            service=service,
            verb="import",
            role="operator",
            words=ledger.keep_words(words),
            version=version,
            shadow=shadow,
        )
        now = business_clock(state.clock).now()
        cautions = (
            *_cautions(artifacts, manifest, record),
            *(_other_output(found, spec.output) if declared is not None else ()),
            *_unjudged(record, spec, now),
            *without_lock(artifacts, manifest, record),
            *unhashed(artifacts, manifest),
        )
        return Imported(version, give_order(state, ledger, order), cautions)


def look_into_folder(model: Path) -> Foreign:
    """What a model file is and says of itself; of a folder of MLflow's, the file in it and its signature."""
    if model.is_dir() and (model / MLMODEL).exists():
        path, signature = unfold(model)
        inside = [one for one in path.iterdir() if one.is_file()] if path.is_dir() else [path]
        return look_at(inside[0] if len(inside) == 1 else path, signature)
    return look_at(model)


def _refuse_second(registry: Registry, service: ServiceName, model: Path) -> None:
    """A file that is served where another one is was more likely meant as its successor."""
    others = [name for name, record in registry.services.items() if record.declaration is not None]
    if others:
        raise UserError(
            f"{', '.join(others)} is served here already, and {service!r} would be one more service beside it.",
            f"A successor comes in by `evertrain push {model}`. For one more, name it: --service {service}; "
            "or keep it apart: --dir FOLDER.",
        )


def _cautions(artifacts: Artifacts, manifest: Manifest, record: ServiceRecord) -> tuple[str, ...]:
    if record.champion is None:
        return ()
    return tuple(one.words for one in changes_of_inputs(artifacts, manifest, artifacts.manifest(record.champion)))


def _other_output(found: Foreign, output: Output) -> Iterator[str]:
    """That a successor was trained for another kind of score than its service answers with."""
    told = found.told.output
    if told is not None and told.kind != output.kind:
        yield f"it was trained to give a {told.kind}, by its objective, and its service answers with a {output.kind}"


def _unjudged(record: ServiceRecord, spec: ServiceSpec, now: Instant) -> Iterator[str]:
    """That no label can speak for or against a file yet, beside a version that answers."""
    until = None if record.champion is None else unjudged_until(record, spec, now)
    if until is not None:
        yield (
            f"what is asked for today has no certain label before about {say_instant(until)[:10]}; where there are no "
            "labels of earlier times, its health, its errors and its scores decide alone; "
            'approval="promotion" in its declaration, or a hook with veto, has somebody asked'
        )


def _refuse_refused(record: ServiceRecord, manifest: Manifest, model: Path) -> None:
    """A file that was refused would be refused again, and a service that has nothing else would answer nobody."""
    refusal = record.refusal_of(manifest.fingerprint)
    if refusal is not None:
        number = record.versions[refusal.version].ordinal
        raise UserError(
            f"{model.name} was refused already, as version {number} of {record.service}, and nothing else answers: "
            f"{refusal.reason}",
            f"Serve a mended file; or `evertrain up`, then `evertrain promote {number} --yes --reason ...`.",
        )


def _declared(artifacts: Artifacts, record: ServiceRecord) -> ServiceSpec | None:
    """The service as it is on record; None when it is new."""
    if record.declaration is None:
        return None
    return msgspec.json.decode(artifacts.blobs.get(record.declaration), type=ServiceSpec)


def _new_service(service: ServiceName, found: Foreign, request: Request) -> ServiceSpec:
    """A service with no more than a schema; the gate is asked when there are labels, and again after a day."""
    if request.schema is not None:
        inputs = _read_schema(request.schema)
    else:
        inputs = schema_for(found, None if request.sample is None else _read_sample(request.sample))
    vector_for(found, inputs)  # refuses columns that do not fit
    output = _output(found, request)
    gate = GateSpec(primary="rmse" if output.kind == "value" else "log_loss", hold=DAY)
    return ServiceSpec(name=service, inputs=inputs, output=output, gate=gate, rollout=CanarySpec(**request.enters))


def _output(found: Foreign, request: Request) -> Output:
    """What a person says of it, else the file, else a probability."""
    if request.classes:
        output = Output.of_classes(request.classes)
        _refuse_other_classes(found, output)
        return output
    if request.output is not None:
        return Output() if request.output == "probability" else Output.of_values()
    return found.told.output or Output()


def _refuse_other_classes(found: Foreign, output: Output) -> None:
    """Refuse a file that says how many classes it has, where those of the service are not as many."""
    told = found.told.output
    if told is not None and told.kind == "classes" and len(told.names) != len(output.names):
        raise UserError(
            f"{found.path.name} has {len(told.names)} classes ({', '.join(told.names[:8])}), and "
            + (f"{len(output.names)} are declared." if output.names else f"its service answers with a {output.kind}."),
            "Serve it under another name, or with the classes that it has.",
        )


def _read_schema(path: Path) -> Schema:
    remedy = 'Write {"columns": [{"name": "amount", "type": "float64"}, ...]}; types: string, int64, float64, bool.'
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Schema)
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"The schema {path} cannot be read: {error}.", remedy) from error
    if not found.columns or len(set(found.names)) < len(found.names):
        raise UserError(f"The schema {path} needs at least one column, and each name once.", remedy)
    return found


def _read_sample(path: Path) -> tuple[Column, ...]:
    """The columns of a file of example rows, typed as those of a source are; nullable where a cell is empty."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"The sample {path} cannot be read: {error.strerror}.", "Name a CSV or Parquet file."
        ) from error
    cells = read_cells(path.name, content)
    if not cells.frame.height:
        raise UserError(f"The sample {path} has no rows.", "Give it a few rows, so that types can be told.")
    filled = {name: cells.frame[name].null_count() == 0 for name in cells.names if name != ROW}
    return tuple(
        msgspec.structs.replace(column, nullable=not filled[column.name])
        for column in fix_columns(cells, (), (), "UTC")
    )


def _rows_of(request: Request, inputs: Schema) -> list[tuple[Value, ...]]:
    """The rows of the sample, in the schema's order; none without a sample, or where a column does not fit its type."""
    if request.sample is None:
        return []
    cells = read_cells(request.sample.name, request.sample.read_bytes())
    typed = parse(cells, _typed(cells, inputs), "UTC").filter(pl.col(UNFIT).is_null())
    return typed.select(inputs.names).collect().rows()


def _typed(cells: Cells, inputs: Schema) -> list[Column]:
    """The schema's columns, and those that the file holds besides as text, since a file is parsed whole."""
    known = {column.name: column for column in inputs.columns}
    return [known.get(column.name, column) for column in fix_columns(cells, (), (), "UTC")]


def _rows_before(artifacts: Artifacts, record: ServiceRecord, inputs: Schema) -> list[tuple[Value, ...]]:
    """The requests that the newest version before was tried with, where it took the same columns."""
    for version in reversed(record.versions):
        manifest = artifacts.manifest(version)
        if manifest.golden is not None and manifest.inputs == inputs:
            golden = msgspec.json.decode(artifacts.blobs.get(manifest.golden), type=Golden)
            return [request.row for request in golden.requests]
    return []


def _computed(state: State, artifacts: Artifacts, record: ServiceRecord, spec: ServiceSpec) -> Computed:
    """The features that the declaration computes, and what the newest version with the same ones was tried with."""
    digest = features_digest(spec, bundle_folder(state, artifacts.blobs, record.bundle))
    for version in reversed(record.versions):
        manifest = artifacts.manifest(version)
        if manifest.golden is not None and manifest.features == digest and manifest.inputs == spec.inputs:
            texts = {item.name for item in manifest.vector if item.categories is not None}
            columns = (
                Column(name=name, type="string" if name in texts else "float64", nullable=True) for name in spec.vector
            )
            return Computed(
                features=Schema(tuple(columns)),
                bundle=record.bundle,
                digest=digest,
                tried=msgspec.json.decode(artifacts.blobs.get(manifest.golden), type=Golden),
                vector=manifest.vector,
            )
    raise UserError(
        f"Service {spec.name!r} computes features, and no version has been trained with them yet.",
        "Wait for the first training: a file is tried with the requests that it was trained on.",
    )


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


def _look(model: Path, service: ServiceName, request: Request) -> None:
    """Refuse what could not be taken in; nothing is written."""
    found = look_into_folder(model)
    if found.kind == "pickle":
        raise untrusted(str(found.path), str(model))
    packages_of(found, None if request.environment is None else lock_of(request.environment))
    _new_service(service, found, request)


def main(arguments: Sequence[str]) -> int:
    """The command line; prints the version's id."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--install", action="store_true", help="make first what is missing of the installation")
    parser.add_argument("--service", required=True)
    parser.add_argument("--schema", type=Path, default=None)
    parser.add_argument("--sample", type=Path, default=None)
    parser.add_argument("--output", choices=["probability", "value"], default=None)
    parser.add_argument("--classes", default="")
    add_entering(parser)
    parser.add_argument("--environment", type=Path, default=None)
    parser.add_argument("--words", default="imported")
    parser.add_argument("--unnamed", action="store_true", help="the service is called after the file")
    parser.add_argument("model", type=Path)
    given = parser.parse_args(arguments)
    classes = tuple(name.strip() for name in given.classes.split(",")) if given.classes else ()
    request = Request(
        given.schema,
        given.sample,
        given.output,
        classes,
        named=not given.unnamed,
        enters=said_of(given),
        environment=given.environment,
    )
    service = ServiceName(given.service)
    folder, is_new = given.dir, given.install
    try:
        if folder is None:
            _look(given.model, service, request)
            folder, is_new = await_folder(), True
        if folder is None:
            return 0
        state = complete(folder) if is_new else State.open(folder)
        version = import_file(state, given.model, service, request, given.words).version
    except EvertrainError as error:
        return tell_fault(error)
    sys.stdout.write(f"{version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
