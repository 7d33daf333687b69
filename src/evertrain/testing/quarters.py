# ruff: noqa: ARG002 - the planes ask for more than a simulation needs
"""What a simulation says of the machine's room for workers, and of what they answered: what a test wants to hear."""

from collections.abc import Mapping

from evertrain.core.aftermath import Aftermath
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.time import Instant

__all__ = ["Quarters"]


class Quarters:
    """others: the environments of other services' champions. no_room: why no second pool can be started.

    aftermaths: what came of versions that took over at once.
    """

    def __init__(self) -> None:
        self.others: dict[ServiceName, str] = {}
        self.no_room = ""
        self.aftermaths: dict[VersionId, Aftermath] = {}

    def environments(self, besides: ServiceName) -> Mapping[ServiceName, str]:
        return self.others

    def room_for_pool(self) -> str:
        return self.no_room

    def aftermath(self, service: ServiceName, version: VersionId, before: VersionId, since: Instant) -> Aftermath:
        return self.aftermaths.get(version, Aftermath())
