"""Who has to run: the processes that a routing table and the settings ask for. Pure."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from evertrain.core.identity import VersionId
from evertrain.core.routing import Route, RoutingTable

__all__ = ["Trial", "hides", "lacks", "serves", "trials"]


class Trial(msgspec.Struct, frozen=True):
    """A version that gets a process of its own."""

    arm: Literal["canary", "control", "shadow", "reference"]
    version: VersionId
    attempt: int = 0

    @property
    def name(self) -> str:
        """Of its process, its heartbeat and its socket."""
        return f"{self.arm}-{self.version[:10]}-{self.attempt}"


def trials(table: RoutingTable) -> dict[str, Trial]:
    """The processes beside the workers that this table needs, by name."""
    return {trial.name: trial for route in table.routes.values() for trial in _trials_of(route)}


def _trials_of(route: Route) -> list[Trial]:
    found = []
    if route.canary is not None:
        found.append(Trial("canary", route.canary.version, route.canary.attempt))
    if route.control is not None:
        found.append(Trial("control", route.control.version, route.control.attempt))
    if route.shadow is not None:
        found.append(Trial("shadow", route.shadow.version, route.shadow.attempt))
    if route.reference is not None:
        found.append(Trial("reference", route.reference))
    return found


def hides(table: RoutingTable, version: VersionId | None) -> bool:
    """Whether a version is on trial, and is asked what holds personal values."""
    return any(
        bool(route.personal) and any(trial.version == version for trial in _trials_of(route))
        for route in table.routes.values()
    )


def serves(table: RoutingTable, generation: int, ready: tuple[VersionId, ...]) -> bool:
    """Whether a worker that says this of itself answers everything that the table asks for.

    >>> serves(RoutingTable(generation=3, routes={}), 3, ())
    True
    >>> serves(RoutingTable(generation=3, routes={}), 2, ())
    False
    """
    return generation >= table.generation and _champions(table) <= set(ready)


def lacks(table: RoutingTable, failed: Mapping[VersionId, str]) -> str:
    """Why a worker that says this of itself does not answer with a champion of the table; "" where it only loads."""
    return next((why for version, why in failed.items() if version in _champions(table)), "")


def _champions(table: RoutingTable) -> set[VersionId]:
    return {route.champion for route in table.routes.values() if route.enabled and route.champion is not None}
