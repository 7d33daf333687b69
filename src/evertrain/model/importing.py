"""A model that was made elsewhere becomes a version: its file is looked at, never run, and kept as it is."""

import re
from pathlib import Path

import msgspec

from evertrain.core.identity import Digest, ServiceName, canonical, digest_of
from evertrain.core.model import Format, Manifest, Output
from evertrain.core.schema import Input, Schema
from evertrain.errors import ModelError, UserError
from evertrain.model.golden import synthesise_golden
from evertrain.model.package import environment_of
from evertrain.runtime.artifact import recognise
from evertrain.store.artifact import Artifacts

__all__ = ["import_model"]

_GENERIC = re.compile(r"Column_\d+")


def import_model(
    artifacts: Artifacts,
    service: ServiceName,
    path: Path,
    schema: Schema,
    *,
    output: Output | None = None,
    declaration: Digest | None = None,
) -> Manifest:
    """Keep the file and a manifest for it; nobody has attested or judged it yet.

    The schema's columns are what a caller sends and, in the model's own order where its file names them, what the
    model takes. Raises UserError for a file that is no model, ModelError when schema and file do not fit.
    """
    kind = recognise(path)
    vector = _lightgbm_vector(path, schema) if kind == "lightgbm" else _vector(schema, kind)
    digest = artifacts.blobs.put_file(path)
    manifest = Manifest(
        service=service,
        format=kind,
        model=digest,
        bundle=None,
        features=digest_of(vector),
        inputs=schema,
        vector=vector,
        output=output or Output(),
        environment=environment_of(kind),
        declaration=declaration,
        golden=artifacts.blobs.put(canonical(synthesise_golden(schema, vector))),
    )
    artifacts.put_manifest(manifest)
    return manifest


def _vector(schema: Schema, kind: Format) -> tuple[Input, ...]:
    text = [column.name for column in schema.columns if column.type == "string"]
    if text and kind != "callable":
        raise ModelError(
            f"Column {text[0]!r} is text, and a {kind} model takes numbers.",
            "Serve a Python file with predict(rows) that turns text into numbers, or leave the column out.",
        )
    return tuple(Input(name=name) for name in schema.names)


def _lightgbm_vector(path: Path, schema: Schema) -> tuple[Input, ...]:
    """The inputs in the model's order; text columns take the categories that LightGBM keeps for pandas columns."""
    lines = path.read_text("utf-8", "replace").splitlines()
    names = next((line.partition("=")[2].split(" ") for line in lines if line.startswith("feature_names=")), [])
    if names and all(_GENERIC.fullmatch(name) for name in names):
        names = list(schema.names) if len(names) == len(schema.names) else names
    if sorted(names) != sorted(schema.names):
        missing = sorted(set(names) ^ set(schema.names))
        raise ModelError(
            f"{path.name} takes {len(names)} inputs ({', '.join(names[:5])} ...), the schema has "
            f"{len(schema.names)} columns; they differ in {', '.join(missing[:5]) or 'number'}.",
            "Declare exactly the columns that it was trained on.",
        )
    types = {column.name: column.type for column in schema.columns}
    text = [name for name in names if types[name] == "string"]
    pinned = _pandas_categories(lines)
    if len(text) != len(pinned):
        raise ModelError(
            f"The schema has {len(text)} text columns, {path.name} knows the categories of {len(pinned)}.",
            "Train with pandas category columns, or send numbers.",
        )
    categories = dict(zip(text, pinned, strict=True))
    return tuple(Input(name=name, categories=categories.get(name)) for name in names)


def _pandas_categories(lines: list[str]) -> list[tuple[str, ...]]:
    stated = next((line.partition(":")[2] for line in reversed(lines) if line.startswith("pandas_categorical:")), "")
    try:
        found = msgspec.json.decode(stated or b"null", type=list[tuple[str, ...]] | None)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"The model's categories cannot be used: {error}.", "Train with categories that are text."
        ) from error
    return found or []
