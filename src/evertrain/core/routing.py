"""The routing table: an immutable value that says which version answers what. Workers obey it and nothing else."""

import msgspec

from evertrain.core.identity import RolloutId, ServiceName, VersionId
from evertrain.core.model import Fingerprint, Output
from evertrain.core.pool import FIRST, Pool
from evertrain.core.time import Moment

__all__ = ["Arm", "Refusal", "Route", "RoutingTable", "seen_by"]


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """A version that runs in a process of its own and gets a share of the traffic over a Unix socket.

    share: of all requests, 0 to 1. deadline_s: after so long the champion answers instead.
    attempt: counts up when the process is to be replaced, so that its socket's name is new.
    """

    version: VersionId
    share: float
    deadline_s: float
    attempt: int = 0


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A version that must not return, by fingerprint, with the reason in words."""

    version: VersionId
    fingerprint: Fingerprint
    reason: str


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """How one service is answered.

    champion: answers, in every worker. previous: stays loaded beside it, so that a revert is one flip. prepare: each
    worker loads and warms these and says so in its heartbeat; they get no traffic. canary: the version on trial;
    control: the champion in a twin process on the same path, with the same share, so that latency is comparable.
    shadow: a version that sees its share of the requests after they were answered, and answers nobody.
    reference: a version that answers nobody and scores logged rows (the never-retrained model).
    salt: of the hash that puts an entity into a cohort; it changes with the rollout. enabled: False turns the model
    off (503 with the reason in `notice`). observed: somebody else answers, and posts what was answered; output: what
    kind of answer that is, None of a model of our own. certain: from when on a label is, where that is declared.
    personal: request columns of which only pseudonyms are logged.
    """

    service: ServiceName
    champion: VersionId | None = None
    previous: VersionId | None = None
    prepare: tuple[VersionId, ...] = ()
    rollout: RolloutId | None = None
    canary: Arm | None = None
    control: Arm | None = None
    shadow: Arm | None = None
    reference: VersionId | None = None
    salt: str = ""
    refused: tuple[Refusal, ...] = ()
    enabled: bool = True
    notice: str = ""
    observed: bool = False
    output: Output | None = None
    certain: Moment | None = None
    personal: tuple[str, ...] = ()


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """All routes of an installation. A higher generation replaces a lower one; nothing replaces an equal one.

    pools: which sets of workers stand; accepting: the number of the one that takes connections and obeys the routes.
    """

    generation: int
    routes: dict[ServiceName, Route]
    pools: tuple[Pool, ...] = (FIRST,)
    accepting: int = 0

    def pool(self, number: int) -> Pool | None:
        """The pool of this number, where it stands."""
        return next((pool for pool in self.pools if pool.number == number), None)


def seen_by(table: RoutingTable, number: int) -> RoutingTable:
    """The table as the workers of a pool are to obey it.

    Who does not accept holds what the pool would answer with, and nothing that is on trial or only a standby.

    >>> from evertrain.core.pool import PoolMember
    >>> shop = ServiceName("shop")
    >>> routes = {shop: Route(service=shop, champion=VersionId("a"), previous=VersionId("c"))}
    >>> green = Pool(number=1, own=PoolMember(service=shop, version=VersionId("b")))
    >>> table = RoutingTable(generation=7, routes=routes, pools=(FIRST, green))
    >>> seen_by(table, 0) is table, seen_by(table, 1).routes[shop].champion
    (True, 'b')
    """
    pool = table.pool(number)
    if pool is None or number == table.accepting:
        return table
    return msgspec.structs.replace(table, routes={name: _held_by(pool, route) for name, route in table.routes.items()})


def _held_by(pool: Pool, route: Route) -> Route:
    own = pool.own if pool.own is not None and pool.own.service == route.service else None
    return msgspec.structs.replace(
        route,
        champion=route.champion if own is None else own.version,
        prepare=route.prepare if own is None else (),
        previous=None,
        rollout=None,
        canary=None,
        control=None,
        shadow=None,
        reference=None,
    )
