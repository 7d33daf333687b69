"""The feature function of a version: from a validated request and its time to the model's inputs.

It is composed here, from the version's own declaration and its own bundle, and handed to whoever answers requests,
in a worker or in a process on trial.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from evertrain.config.bundle import unpack
from evertrain.config.declaration import ServiceSpec
from evertrain.core.model import Manifest
from evertrain.core.schema import Value
from evertrain.core.time import Instant
from evertrain.store.artifact import Artifacts
from evertrain.store.state import State

__all__ = ["FeatureFunction", "declaration_of", "feature_function", "model_code"]

FeatureFunction = Callable[[Mapping[str, Value], Instant], tuple[Value, ...]]
"""Request columns by name, and the prediction time; gives the vector, in the order of the manifest's inputs."""


def declaration_of(artifacts: Artifacts, manifest: Manifest) -> ServiceSpec | None:
    """The declaration that a version was made under; None for a model file that was served without one."""
    if manifest.declaration is None:
        return None
    return msgspec.json.decode(artifacts.blobs.get(manifest.declaration), type=ServiceSpec)


def feature_function(state: State, artifacts: Artifacts, manifest: Manifest) -> FeatureFunction:
    """Build it for an admitted version. A service without features gives its request columns as they are."""
    spec = declaration_of(artifacts, manifest)
    if spec is None or not spec.features:
        names = tuple(item.name for item in manifest.vector)
        return lambda row, _: tuple(row[name] for name in names)
    from evertrain.data.online import online_features

    function: FeatureFunction = online_features(spec, state, _unpacked(state, artifacts, manifest))
    names = tuple(item.name for item in manifest.vector)
    if names == spec.vector or not set(names) <= set(spec.vector):
        return function
    return _chosen(function, [spec.vector.index(name) for name in names])


def model_code(state: State, artifacts: Artifacts, manifest: Manifest) -> Path | None:
    """Where the bundle lies that a version's model may hold classes and functions of; None where its format cannot."""
    return _unpacked(state, artifacts, manifest) if manifest.format == "sklearn" else None


def _unpacked(state: State, artifacts: Artifacts, manifest: Manifest) -> Path | None:
    if manifest.bundle is None:
        return None
    return unpack(artifacts.blobs.get(manifest.bundle), manifest.bundle, state.bundles)


def _chosen(function: FeatureFunction, places: Sequence[int]) -> FeatureFunction:
    """For a model that takes some of the features, or takes them in another order."""

    def choose(row: Mapping[str, Value], at: Instant) -> tuple[Value, ...]:
        values = function(row, at)
        return tuple(values[place] for place in places)

    return choose
