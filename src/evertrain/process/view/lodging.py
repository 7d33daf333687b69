"""The environments that versions need beside the installation's own, and how it stands with each."""

from collections.abc import Iterator, Mapping

import msgspec

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.registry import ServiceRecord
from evertrain.core.routing import RoutingTable
from evertrain.core.wording import say_many
from evertrain.store.artifact import Artifacts
from evertrain.store.environment import Standing
from evertrain.store.state import State

__all__ = ["Lodging", "look_at_environments"]


class Lodging(msgspec.Struct, frozen=True, kw_only=True):
    """One environment. who: the versions that run in it now, or are to, in words ("version 3 of shop").

    answering: the workers that answer now run in it, so they can load these versions.
    """

    who: tuple[str, ...]
    standing: Standing
    answering: bool = False

    @property
    def says(self) -> str:
        """How it stands, in words.

        >>> Lodging(who=(), standing=Standing(lock="a", state="there", packages={"numpy": "2.1"})).says
        'there, with 1 package'
        """
        if self.standing.state == "there":
            return f"there, with {say_many(len(self.standing.packages), 'package')}"
        return f"{self.standing.state}: {self.standing.says}" if self.standing.says else self.standing.state


def look_at_environments(
    state: State, records: Mapping[ServiceName, ServiceRecord], artifacts: Artifacts, table: RoutingTable
) -> tuple[Lodging, ...]:
    """Of all versions that answer, stand by, are on trial or on their way to it; () where none needs another one."""
    found: dict[str, dict[str, None]] = {}
    for record in records.values():
        for version in _wanted(record):
            environment = artifacts.runs_in(version)
            if environment:
                found.setdefault(environment, {})[f"version {record.versions[version].ordinal} of {record.service}"] = (
                    None
                )
    pool = table.pool(table.accepting)
    return tuple(
        Lodging(
            who=tuple(who),
            standing=state.environments.standing(environment),
            answering=pool is not None and pool.environment == environment,
        )
        for environment, who in sorted(found.items())
    )


def _wanted(record: ServiceRecord) -> Iterator[VersionId]:
    """Versions that have a number."""
    trial = record.open_rollout
    cycles = (cycle.version for cycle in record.open_cycles)
    for version in (record.champion, record.previous, *cycles, None if trial is None else trial.version):
        if version is not None and version in record.versions:
            yield version
