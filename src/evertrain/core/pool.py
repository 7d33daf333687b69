"""Pools: complete sets of workers, each with processes and an environment of its own, of which one accepts connections.

A version that cannot enter the workers that answer enters with new ones: a second pool is started, loads and warms
everything that is routed, and takes over in one generation. The pool that answered before stays warm for a while, so
that going back is one generation too. There are never more than two.
"""

from typing import Final, Literal

import msgspec

from evertrain.core.identity import RolloutId, ServiceName, VersionId
from evertrain.core.time import Instant

__all__ = [
    "FIRST",
    "MOST_STALL_MS",
    "Entry",
    "Lack",
    "Pool",
    "PoolClosed",
    "PoolHeld",
    "PoolMember",
    "PoolOpened",
    "Pools",
    "entry_of",
]

MOST_STALL_MS: Final = 25.0
"""A version whose loading keeps others from the interpreter for longer enters with workers that answer nobody yet."""

_MOST_CRASHES: Final = 1_000

Lack = Literal["memory", "environment"]
"""Why no second pool can be started."""


class PoolMember(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool answers for one service when it is not the one that accepts, and so the routes do not say."""

    service: ServiceName
    version: VersionId | None


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A set of workers. environment: the libraries that they run with, as `Manifest.runs_in` says it.

    own: what keeps it apart from the pool that accepts; None for a pool that answers what the routes say.
    """

    number: int
    environment: str = ""
    own: PoolMember | None = None


FIRST: Final = Pool(number=0)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """How a version comes to the workers that answer. reason: why not into those that are there."""

    by_pool: bool = False
    reason: str = ""


def entry_of(
    *, environment: str, accepting: str, stall_ms: float | None = None, declared: bool = False, answering: bool = True
) -> Entry:
    """The way in of a version that runs in `environment`, where the workers that accept run in `accepting`.

    stall_ms: how long its loading was measured to hold up others. declared: all versions enter with new workers.
    answering: whether anything answers now that could be held up.

    >>> entry_of(environment="", accepting="", stall_ms=609.0).reason
    'its loading would hold up answers for 609 ms'
    >>> entry_of(environment="", accepting="", stall_ms=609.0, answering=False).by_pool
    False
    """
    if environment != accepting:
        return Entry(by_pool=True, reason="it runs with other libraries than the workers that answer")
    if answering and stall_ms is not None and stall_ms > MOST_STALL_MS:
        return Entry(by_pool=True, reason=f"its loading would hold up answers for {stall_ms:.0f} ms")
    if answering and declared:
        return Entry(by_pool=True, reason="it is declared so")
    return Entry()


class Pools(msgspec.Struct, kw_only=True):
    """Which pools stand, as the ledger says.

    other: the one that does not accept: it comes, until its version is promoted, or stands by `until` then. opened:
    when; back: how long it is to stand by, in microseconds. owner: the service that moved them last. last: the highest
    number that was given. lacks: what is on record to keep a rollout from its pool. lived: in which environment each
    version answered that did; a version is not named where that is the installation's own. crashes: when workers of the
    pools that stand ended by their own doing, by the pool's number.
    """

    accepting: Pool = FIRST
    other: Pool | None = None
    opened: Instant = Instant(0)
    back: int = 0
    until: Instant | None = None
    owner: ServiceName | None = None
    last: int = 0
    lacks: dict[str, tuple[Lack, ...]] = {}
    lived: dict[VersionId, str] = {}
    crashes: dict[int, list[Instant]] = {}

    @property
    def standing(self) -> tuple[Pool, ...]:
        """By number."""
        found = (self.accepting,) if self.other is None else (self.accepting, self.other)
        return tuple(sorted(found, key=lambda pool: pool.number))

    def held_by_other(self, service: ServiceName) -> VersionId | None:
        """The version of a service that the pool which does not accept is kept for."""
        own = None if self.other is None else self.other.own
        return own.version if own is not None and own.service == service else None

    def reaches(self, service: ServiceName, version: VersionId) -> bool:
        """Whether a version that has answered can do so again at once: its libraries are here, or stand by."""
        here = self.lived.get(version, "") == self.accepting.environment
        return here or (self.until is not None and self.held_by_other(service) == version)

    def open(self, pool: Pool, at: Instant, back: int) -> None:
        """A second pool comes."""
        self.other, self.opened, self.back, self.until = pool, at, back, None
        self.owner = pool.own.service if pool.own is not None else None
        self.last = max(self.last, pool.number)

    def close(self, owner: ServiceName) -> None:
        """The second pool ends."""
        if self.other is not None:
            self.crashes.pop(self.other.number, None)
        self.other, self.until, self.owner = None, None, owner

    def crashed(self, pool: int, at: Instant) -> None:
        """A worker of this pool has ended by its own doing."""
        if any(pool == one.number for one in self.standing):
            self.crashes[pool] = [*self.crashes.get(pool, []), at][-_MOST_CRASHES:]

    def crashes_of(self, pool: int, begin: Instant, end: Instant | None = None) -> int:
        """How many workers of a pool have in (begin, end]."""
        return sum(begin < at and (end is None or at <= end) for at in self.crashes.get(pool, []))

    def crowned(self, service: ServiceName, before: VersionId | None, after: VersionId | None, until: Instant) -> None:
        """A service has another champion: the pool that is kept for it accepts, and the one before stands by."""
        if after is None:
            return
        if self.other is not None and self.held_by_other(service) == after:
            stands_by = msgspec.structs.replace(self.accepting, own=PoolMember(service=service, version=before))
            self.accepting, self.other = msgspec.structs.replace(self.other, own=None), stands_by
            self.until, self.owner = until, service
        if self.accepting.environment:
            self.lived[after] = self.accepting.environment


class _Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of the facts here; each names its tag."""


class PoolOpened(_Fact, frozen=True, kw_only=True, tag="pool.opened"):
    """A second pool of workers is started for a version, which enters with it.

    environment: the libraries that it runs with, "" for the installation's own. back: how long the pool before it
    stays warm after the switch, in microseconds.
    """

    service: ServiceName
    rollout: RolloutId
    version: VersionId
    pool: int
    environment: str = ""
    back: int = 0


class PoolHeld(_Fact, frozen=True, kw_only=True, tag="pool.held"):
    """No second pool can be started for a version now; the reason says what is lacking. Told once a rollout."""

    service: ServiceName
    rollout: RolloutId
    version: VersionId
    lack: Lack


class PoolClosed(_Fact, frozen=True, kw_only=True, tag="pool.closed"):
    """The pool of workers that did not accept ends; the event's reason says why."""

    service: ServiceName
    pool: int
