"""Pools: complete sets of workers, each with processes and an environment of its own, of which one accepts connections.

A version that cannot enter the workers that answer enters with new ones: a second pool is started, loads and warms
everything that is routed, and takes over in one generation. The pool that answered before stays warm for a while, so
that going back is one generation too. There are never more than two.
"""

import msgspec

from evertrain.core.identity import ServiceName, VersionId

__all__ = ["FIRST", "Pool", "PoolMember"]


class PoolMember(msgspec.Struct, frozen=True, kw_only=True):
    """What a pool answers for one service when it is not the one that accepts, and so the routes do not say."""

    service: ServiceName
    version: VersionId | None


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """A set of workers. environment: digest of the packages that they run with; "" are those of the installation.

    own: what keeps it apart from the pool that accepts; None for a pool that answers what the routes say.
    """

    number: int
    environment: str = ""
    own: PoolMember | None = None


FIRST = Pool(number=0)
