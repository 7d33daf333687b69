"""Rows of examples with labels and features, from the tables and a version's own code: data meets model here."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from evertrain.config.bundle import digest_of_module, unpack
from evertrain.config.declaration import FunctionRef, RequestSpec, ServiceSpec
from evertrain.config.namespace import module_of, resolve
from evertrain.core.identity import Digest, SourceName, digest_of
from evertrain.core.time import Instant
from evertrain.data.example import training_rows
from evertrain.data.feature import offline
from evertrain.errors import DeclarationError, NotFoundError
from evertrain.store.blob import Blobs
from evertrain.store.state import State
from evertrain.store.table import Table

__all__ = ["bundle_folder", "features_digest", "mature_rows", "resolver", "with_features"]


def mature_rows(
    state: State,
    spec: ServiceSpec,
    folder: Path | None,
    bundle: Digest | None,
    *,
    tables: Mapping[str, int],
    cut: Instant,
) -> pl.DataFrame:
    """The examples mature at `cut`, in the form of `model.assemble`, computed by this declaration and this bundle."""
    frames = {source.name: _rows_of(state, source.name, tables) for source in spec.sources}
    return training_rows(spec, frames, cut, resolver(folder, bundle)).rows


def with_features(
    state: State,
    spec: ServiceSpec,
    folder: Path | None,
    bundle: Digest | None,
    *,
    rows: pl.DataFrame,
    tables: Mapping[str, int],
) -> pl.DataFrame:
    """Rows of requests (`at`, `request.<name>`) with the features as known at each one's prediction time."""
    frames = {source.name: _rows_of(state, source.name, tables) for source in spec.sources}
    features = offline(spec, frames, rows, resolver(folder, bundle))
    return pl.concat([rows, features], how="horizontal")


def _rows_of(state: State, source: SourceName, tables: Mapping[str, int]) -> pl.DataFrame:
    name = f"source.{source}"
    if name not in tables:
        raise NotFoundError(
            f"Source {source!r} has no rows in the snapshot.", "See `evertrain status` for what became of its files."
        )
    return Table(state.tables, name).read(tables[name])


def bundle_folder(state: State, blobs: Blobs, bundle: Digest | None) -> Path | None:
    """Where a bundle lies unpacked; None when there is none."""
    return None if bundle is None else unpack(blobs.get(bundle), bundle, state.bundles)


def resolver(folder: Path | None, bundle: Digest | None) -> Callable[[FunctionRef], Callable[..., Any]]:
    """Finds the user's functions in one bundle."""

    def find(reference: FunctionRef) -> Callable[..., Any]:
        if folder is None or bundle is None:
            raise DeclarationError(
                f"{reference.module}:{reference.name} is named by a declaration that has no bundle.",
                "Declare the service with its code.",
            )
        return resolve(reference, folder, bundle)

    return find


def features_digest(spec: ServiceSpec, folder: Path | None) -> Digest:
    """What decides a vector besides the rows: the definitions, and the code of each function with all it imports."""
    modules = {
        module_of(feature.function.module)
        for feature in spec.features
        if isinstance(feature, RequestSpec) and feature.function is not None
    }
    code = {} if folder is None else {module: digest_of_module(folder, module) for module in sorted(modules)}
    return digest_of(
        {"request": spec.inputs, "at": spec.examples and spec.examples.at, "features": spec.features, "code": code}
    )
