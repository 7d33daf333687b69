"""A model that was made elsewhere becomes a version: its file is looked at, never run, and kept as it is."""

from collections.abc import Sequence
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

import msgspec

from evertrain.core.golden import Golden, GoldenRequest
from evertrain.core.identity import Digest, ServiceName, canonical, digest_of
from evertrain.core.lock import read_lock
from evertrain.core.model import Format, Manifest, Output
from evertrain.core.schema import Column, Input, Schema, Value
from evertrain.core.wording import say_many
from evertrain.errors import ModelError, PackageError, UserError
from evertrain.model.golden import synthesise_golden, take_golden
from evertrain.model.package import environment_of, locked_environment
from evertrain.runtime.artifact import describe, recognise
from evertrain.runtime.description import Description
from evertrain.runtime.pickle_file import look_into
from evertrain.store.artifact import Artifacts

__all__ = ["Computed", "Foreign", "import_model", "look_at", "packages_of", "schema_for", "vector_for"]


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """A model file that was looked at. signature: the columns that a folder around it states, None without any."""

    path: Path
    kind: Format
    told: Description
    signature: Schema | None = None


class Computed(msgspec.Struct, frozen=True, kw_only=True):
    """The features of a declaration, which the model takes in place of the request.

    features: their names and types. bundle, digest: of the code that computes them, and of all that decides them.
    tried: requests that a version with these features was tried with, and `vector`, its inputs.
    """

    features: Schema
    bundle: Digest | None
    digest: Digest
    tried: Golden
    vector: tuple[Input, ...]

    def golden(self, vector: Sequence[Input]) -> Golden:
        """The same requests with these of the features, in this order; what a model must score is not known."""
        places = {item.name: place for place, item in enumerate(self.vector)}
        missing = [item.name for item in vector if item.name not in places]
        if missing:
            raise ModelError(
                f"No version of the service has taken {missing[0]!r} yet, so there is no request to try the file with.",
                "Let a version be trained under this declaration first.",
            )
        chosen = [places[item.name] for item in vector]
        requests = (
            GoldenRequest(row=one.row, at=one.at, vector=tuple(one.vector[place] for place in chosen))
            for one in self.tried.requests
        )
        return Golden(requests=tuple(requests))


def look_at(path: Path, signature: Schema | None = None) -> Foreign:
    """What a file is and says of itself. UserError for a file that is no model, ModelError for a damaged one."""
    kind = recognise(path)
    return Foreign(path=path, kind=kind, told=describe(path, kind), signature=signature)


def schema_for(found: Foreign, sample: Sequence[Column] | None = None) -> Schema:
    """The columns of a request: those of the model, with the types of the sample; all of the sample's without names.

    sample: columns of a file of example rows, None without one; more columns than the model's do not matter.
    """
    stated = _stated(found)
    if sample is None:
        if stated is None:
            raise UserError(
                f"{found.path.name} does not say which columns it takes.",
                "Name a file of example rows with --sample, or the columns with --schema.",
            )
        return Schema(stated)
    names = [column.name for column in stated] if stated is not None else [one.name for one in found.told.vector or ()]
    if not names or (found.told.generic and found.signature is None and len(sample) == len(names)):
        return _refuse_times(Schema(tuple(sample)))
    there = {column.name: column for column in sample}
    missing = [name for name in names if name not in there]
    if missing:
        raise UserError(
            f"The sample lacks {', '.join(map(repr, missing[:5]))}, which {found.path.name} takes.",
            f"It takes {', '.join(names)}.",
        )
    told = {column.name: column for column in stated or ()}
    return _refuse_times(Schema(tuple(_merged(told.get(name), there[name]) for name in names)))


def _stated(found: Foreign) -> tuple[Column, ...] | None:
    return found.signature.columns if found.signature is not None else found.told.columns


def _merged(stated: Column | None, seen: Column) -> Column:
    """The sample's type, but text where the model knows the categories, and what may be missing by either."""
    if stated is None:
        return seen
    kind = "string" if stated.type == "string" else seen.type
    return msgspec.structs.replace(seen, type=kind, nullable=stated.nullable or seen.nullable)


def _refuse_times(schema: Schema) -> Schema:
    times = [column.name for column in schema.columns if column.type == "timestamp"]
    if times:
        raise UserError(
            f"Column {times[0]!r} of the sample is a time, and a model file takes numbers and categories.",
            "Leave the column out of the sample.",
        )
    return schema


def import_model(
    artifacts: Artifacts,
    service: ServiceName,
    file: Path | Foreign,
    schema: Schema,
    *,
    output: Output | None = None,
    declaration: Digest | None = None,
    rows: Sequence[tuple[Value, ...]] = (),
    computed: Computed | None = None,
    lock: bytes | None = None,
) -> Manifest:
    """Keep the file and a manifest for it; nobody has attested or judged it yet.

    The schema's columns are what a caller sends and, in the model's own order where its file names them, what the
    model takes, unless its inputs are `computed` from them. rows: requests to try it with, in the schema's order;
    without any they are made from the schema. lock: of the environment that it runs in, None for the installation's.
    Raises ModelError when what it is given and the file do not fit.
    """
    found = look_at(file) if isinstance(file, Path) else file
    vector = vector_for(found, schema if computed is None else computed.features)
    if computed is not None:
        golden = computed.golden(vector)
    else:
        golden = take_golden(rows, schema, vector) if rows else synthesise_golden(schema, vector)
    digest = artifacts.blobs.put_file(found.path)
    manifest = Manifest(
        service=service,
        format=found.kind,
        model=digest,
        bundle=None if computed is None else computed.bundle,
        features=digest_of(vector) if computed is None else computed.digest,
        inputs=schema,
        vector=vector,
        output=output or Output(),
        environment=packages_of(found, lock),
        declaration=declaration,
        golden=artifacts.blobs.put(canonical(golden)),
        lock=msgspec.UNSET if lock is None else artifacts.blobs.put(lock),
    )
    artifacts.put_manifest(manifest)
    return manifest


def packages_of(found: Foreign, lock: bytes | None) -> dict[str, str]:
    """Name to version of what the file needs: as installed here, or as locked."""
    if lock is None:
        return environment_of(found.kind) | _libraries(found)
    locked = read_lock(lock, "the lock")
    homes = packages_distributions()
    names = (homes.get(name, [name])[0] for name in _imported(found))
    versions = {name: locked.version(name) for name in names}
    return locked_environment(found.kind, locked) | {name: has for name, has in versions.items() if has is not None}


def _imported(found: Foreign) -> Sequence[str]:
    """The modules that loading a pickle imports."""
    return look_into(found.path.read_bytes()).libraries if found.kind == "pickle" else ()


def _libraries(found: Foreign) -> dict[str, str]:
    """The packages that a pickle imports, by version: it is bound to them."""
    libraries = _imported(found)
    if not libraries:
        return {}
    homes = packages_distributions()
    missing = [name for name in libraries if name not in homes and find_spec(name) is None]
    if missing:
        raise PackageError(
            f"{found.path.name} needs {', '.join(missing)}, which cannot be imported here.",
            "Install the package where evertrain runs, and give the file again.",
        )
    names = (homes[name][0] for name in libraries if name in homes)
    return {name: version(name) for name in names}


def vector_for(found: Foreign, schema: Schema) -> tuple[Input, ...]:
    """The model's inputs in its own order; text columns take the categories that its file keeps."""
    names = _order(found, schema)
    types = {column.name: column.type for column in schema.columns}
    text = [name for name in names if types[name] == "string"]
    if found.kind == "lightgbm":
        return _by_category(found, names, text)
    known = {item.name: item.categories for item in found.told.vector or ()}
    numbered = [name for name in names if known.get(name) is not None and types[name] != "string"]
    if numbered:
        raise ModelError(
            f"{found.path.name} takes categories in column {numbered[0]!r}, and requests have numbers there.",
            "Train it on numbers there, or serve it under another name: evertrain serve FILE --service NAME.",
        )
    unknown = [name for name in text if known.get(name) is None]
    if unknown and not found.told.text:
        raise ModelError(
            f"Column {unknown[0]!r} is text, and a {found.kind} model takes numbers.",
            "Train it with an encoder of that column in its pipeline (scikit-learn: OneHotEncoder in a "
            "ColumnTransformer), or without the column: one that no step reads is asked for as well. Or serve a Python "
            "file with predict(rows) that turns text into numbers.",
        )
    return tuple(Input(name=name, categories=known.get(name) if name in text else None) for name in names)


def _order(found: Foreign, schema: Schema) -> tuple[str, ...]:
    """The names in the model's order; the schema's where the model has none, or only those that its library made."""
    own, width = tuple(item.name for item in found.told.vector or ()), found.told.width
    if not own or (found.told.generic and sorted(schema.names) != sorted(own)):
        own = found.signature.names if found.signature is not None else ()
    if not own:
        if width is not None and width != len(schema.names):
            raise ModelError(
                f"{found.path.name} takes {width} inputs, and {len(schema.names)} columns were given: "
                f"{', '.join(schema.names[:8])}.",
                "Declare exactly the columns that it was trained on, in their order.",
            )
        return schema.names
    if sorted(own) != sorted(schema.names):
        raise ModelError(
            f"{found.path.name} takes {say_many(len(own), 'input')}, and there are "
            f"{say_many(len(schema.names), 'column')}: {_differing(own, schema.names)}.",
            "A file takes exactly the columns of its service. Train it on them; or serve it under another name: "
            "evertrain serve FILE --service NAME.",
        )
    return own


def _differing(own: Sequence[str], given: Sequence[str]) -> str:
    """Which names only one side has.

    >>> _differing(["age", "visit"], ["age", "device", "visits"])
    "it lacks 'device', 'visits', and takes 'visit', which nobody sends"
    """
    lacking, strange = ([one for one in a if one not in set(b)] for a, b in ((given, own), (own, given)))
    said = [
        *([f"it lacks {', '.join(map(repr, lacking[:5]))}"] if lacking else []),
        *([f"takes {', '.join(map(repr, strange[:5]))}, which nobody sends"] if strange else []),
    ]
    return ", and ".join(said) if len(said) > 1 or lacking else f"it {''.join(said) or 'names one twice'}"


def _by_category(found: Foreign, names: Sequence[str], text: Sequence[str]) -> tuple[Input, ...]:
    """LightGBM keeps the texts of pandas categories in the order of the columns, without their names."""
    from evertrain.runtime.lightgbm_file import pandas_categories

    pinned = pandas_categories(found.path.read_bytes())
    if len(text) != len(pinned):
        raise ModelError(
            f"The schema has {len(text)} text columns, {found.path.name} knows the categories of {len(pinned)}.",
            "Train with pandas category columns, or send numbers.",
        )
    categories = dict(zip(text, pinned, strict=True))
    return tuple(Input(name=name, categories=categories.get(name)) for name in names)
