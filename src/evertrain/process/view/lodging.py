"""The environments that versions need beside the installation's own, and how it stands with each."""

from collections.abc import Iterator, Mapping

import msgspec

from evertrain.core.identity import Digest, ServiceName, VersionId
from evertrain.core.registry import ServiceRecord
from evertrain.core.wording import say_many
from evertrain.store.artifact import Artifacts
from evertrain.store.environment import Standing
from evertrain.store.state import State

__all__ = ["Lodging", "look_at_environments"]


class Lodging(msgspec.Struct, frozen=True, kw_only=True):
    """One environment. who: the versions that run in it now, or are to, in words ("version 3 of shop").

    waits: why one of them stays on trial.
    """

    who: tuple[str, ...]
    standing: Standing
    waits: str = ""

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
    state: State, records: Mapping[ServiceName, ServiceRecord], artifacts: Artifacts
) -> tuple[Lodging, ...]:
    """Of all versions that answer, stand by, are on trial or on their way to it; () where none needs another one."""
    found: dict[str, dict[str, bool]] = {}
    for record in records.values():
        for version, is_on_trial in _wanted(record):
            environment = artifacts.runs_in(version)
            if environment:
                name = f"version {record.versions[version].ordinal} of {record.service}"
                found.setdefault(environment, {})[name] = is_on_trial
    return tuple(
        Lodging(who=tuple(who), standing=state.environments.standing(Digest(environment)), waits=_waits(who))
        for environment, who in sorted(found.items())
    )


def _wanted(record: ServiceRecord) -> Iterator[tuple[VersionId, bool]]:
    """Versions with a number, each with whether it is on trial."""
    trial = record.open_rollout
    cycles = (cycle.version for cycle in record.open_cycles)
    for version in (record.champion, record.previous, *cycles, None if trial is None else trial.version):
        if version is not None and version in record.versions:
            yield version, trial is not None and version == trial.version


def _waits(who: Mapping[str, bool]) -> str:
    tried = [name for name, is_on_trial in who.items() if is_on_trial]
    return f"{', '.join(tried)} stays on trial: the workers, which it would enter, run in another" if tried else ""
