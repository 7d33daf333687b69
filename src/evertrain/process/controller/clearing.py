"""What of the cache nobody needs any more: unpacked bundles, which are unpacked again where somebody does."""

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

__all__ = ["MOST_BUNDLES", "clear_bundles"]

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
