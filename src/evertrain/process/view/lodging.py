"""The environments that versions need beside the installation's own, and how it stands with each."""

import contextlib
from collections.abc import Iterator, Mapping

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.registry import ServiceRecord
from evertrain.core.routing import RoutingTable
from evertrain.core.wording import say_many
from evertrain.errors import EvertrainError
from evertrain.store.artifact import Artifacts
from evertrain.store.environment import Standing
from evertrain.store.state import State

__all__ = ["Lodging", "look_at_environments"]


class Lodging(msgspec.Struct, frozen=True, kw_only=True):
    """One environment. who: what runs in it now, or is to, in words ("version 3 of shop", "the training of shop").

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
    """Of all versions that answer, stand by, are on trial or on their way to it, and of trainings that are under way.

    () where none needs another one.
    """
    found: dict[str, dict[str, None]] = {}
    for record in records.values():
        for version in _wanted(record):
            who = f"version {record.versions[version].ordinal} of {record.service}"
            found.setdefault(artifacts.runs_in(version), {})[who] = None
        for environment in _trained_in(record, artifacts):
            found.setdefault(environment, {})[f"the training of {record.service}"] = None
    found.pop("", None)
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


def _trained_in(record: ServiceRecord, artifacts: Artifacts) -> Iterator[str]:
    """The environments of trainings that have no version yet."""
    for cycle in record.open_cycles:
        if cycle.version is None and cycle.declaration is not None:
            with contextlib.suppress(EvertrainError, msgspec.DecodeError):
                yield msgspec.json.decode(artifacts.blobs.get(cycle.declaration), type=ServiceSpec).runs_in
