"""What application code may know of a service before it asks: whether it answers, and who answers whom.

Pure, so that it is decided beside the caller, by the same hash as in the worker, without a request for each answer.
"""

from collections.abc import Mapping

import msgspec

from evertrain.core.cohort import arm_of, entity_key
from evertrain.core.identity import RolloutId, ServiceName, VersionId
from evertrain.core.prediction import ArmName
from evertrain.core.routing import Arm, Route
from evertrain.core.schema import Value

__all__ = ["ServiceFlags", "assigned", "key_in"]


class ServiceFlags(msgspec.Struct, frozen=True, kw_only=True):
    """One service. ordinals: of the versions that are named here. key: the columns by which entities are told apart.

    enabled: False where a person turned it off, `notice` says so. share: of the version on trial, 0 without one.
    control: of the champion's twin.
    """

    service: ServiceName
    enabled: bool
    notice: str = ""
    champion: VersionId | None = None
    canary: VersionId | None = None
    share: float = 0.0
    control: float = 0.0
    rollout: RolloutId | None = None
    salt: str = ""
    key: tuple[str, ...] = ()
    ordinals: dict[VersionId, int] = {}

    @classmethod
    def of(cls, route: Route, key: tuple[str, ...], ordinals: Mapping[VersionId, int]) -> "ServiceFlags":
        """As a route has it."""
        canary, control = route.canary, route.control
        named = [one for one in (route.champion, canary.version if canary else None) if one is not None]
        return cls(
            service=route.service,
            enabled=route.enabled,
            notice=route.notice,
            champion=route.champion,
            canary=canary.version if canary else None,
            share=canary.share if canary else 0.0,
            control=control.share if control else 0.0,
            rollout=route.rollout,
            salt=route.salt,
            key=key,
            ordinals={version: ordinals[version] for version in named if version in ordinals},
        )

    @property
    def splits(self) -> bool:
        """Whether two versions share the traffic now."""
        return self.canary is not None and self.share > 0


def assigned(flags: ServiceFlags, key: str) -> tuple[VersionId, ArmName] | None:
    """Which version answers an entity, on which arm; None where no version does.

    The worker answers from the champion all the same when the version on trial fails, is late, or is not given work.

    >>> two = ServiceFlags(service="s", enabled=True, champion="a", canary="b", share=0.5, salt="r1")
    >>> [assigned(two, key)[0] for key in ("c1", "c2", "c3", "c4")]
    ['a', 'a', 'b', 'a']
    """
    if flags.champion is None:
        return None
    route = Route(
        service=flags.service,
        champion=flags.champion,
        canary=None if flags.canary is None else Arm(version=flags.canary, share=flags.share, deadline_s=1.0),
        control=Arm(version=flags.champion, share=flags.control, deadline_s=1.0) if flags.control else None,
        salt=flags.salt,
    )
    arm = arm_of(route, key)
    return (flags.canary if arm == "canary" and flags.canary is not None else flags.champion), arm


def key_in(flags: ServiceFlags, targeting_key: str, attributes: Mapping[str, Value]) -> str:
    """The key of an entity: of the columns where they are given by name, else as the caller has it as text.

    >>> flight = ServiceFlags(service="s", enabled=True, key=("carrier", "flight"))
    >>> key_in(flight, "", {"carrier": "UA", "flight": 1545}), key_in(flight, "c17", {})
    ('["UA",1545]', 'c17')
    """
    if flags.key and all(name in attributes for name in flags.key):
        return entity_key([attributes[name] for name in flags.key])
    return targeting_key
