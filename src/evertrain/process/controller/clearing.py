"""Files that nobody needs any more: unpacked bundles, and the models of versions that were cleared on record."""

import contextlib
import time
from collections.abc import Iterable
from typing import Final

from evertrain.config.bundle import sweep
from evertrain.core.identity import Digest, VersionId
from evertrain.core.registry import ServiceRecord
from evertrain.core.routing import Route, RoutingTable
from evertrain.errors import EvertrainError
from evertrain.store.artifact import Artifacts
from evertrain.store.state import State

__all__ = ["MOST_BUNDLES", "clear_bundles", "clear_models"]

MOST_BUNDLES: Final = 20
"""Of those that nothing needs."""
_UNASKED_S: Final = 24 * 3600.0
"""A process that runs may read a file of its bundle late; a training takes no day."""


def clear_bundles(
    state: State, table: RoutingTable, records: Iterable[ServiceRecord], most: int = MOST_BUNDLES
) -> None:
    """Remove those that no declaration in force and no version that is routed needs, but for the newest."""
    wanted: set[Digest | None] = set()
    try:
        for record in records:
            wanted |= {record.bundle, *(_bundle_of(state, one) for one in _versions(record, table))}
    except (EvertrainError, OSError):
        return  # who cannot tell what is needed removes nothing
    with contextlib.suppress(OSError):
        sweep(state.bundles, {one for one in wanted if one}, most=most, before=time.time() - _UNASKED_S)


def clear_models(state: State, records: Iterable[ServiceRecord]) -> None:
    """Remove the model files of cleared versions that no other version has, a day after they came at the earliest.

    Who pushes such a file again has a day to put it into service. What cannot be removed now is tried again.
    """
    versions = [version for record in records for version in record.versions.values()]
    cleared = {one.fingerprint.model for one in versions if one.cleared}
    blobs = Artifacts.at(state.artifacts).blobs
    for model in cleared - {one.fingerprint.model for one in versions if not one.cleared}:
        with contextlib.suppress(OSError):
            if blobs.path(model).stat().st_mtime < time.time() - _UNASKED_S:
                blobs.path(model).unlink()


def _versions(record: ServiceRecord, table: RoutingTable) -> set[VersionId]:
    """That answer, are on trial, stand by, or may be gone back to."""
    route, trial = table.routes.get(record.service) or Route(service=record.service), record.open_rollout
    arms = (route.canary, route.control, route.shadow)
    found = {record.champion, record.previous, record.anchor, route.champion, route.previous, route.reference}
    found |= {*route.prepare, *(arm.version for arm in arms if arm is not None)}
    found |= {record.pools.held_by_other(record.service), None if trial is None else trial.version}
    return {one for one in found if one is not None}


def _bundle_of(state: State, version: VersionId) -> Digest | None:
    return Artifacts.at(state.artifacts).manifest(version).bundle
