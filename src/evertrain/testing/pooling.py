"""Switches between two pools of workers under load: who published what when, and when everybody followed."""

import time
from collections.abc import Callable

import msgspec
import psutil

from evertrain.core.identity import VersionId
from evertrain.core.pool import FIRST, Pool, PoolMember
from evertrain.core.routing import Route
from evertrain.store.process import Heartbeat, alive, heartbeats
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.swapping import Swap

__all__ = ["PoolSwapper"]

_LOOK_S = 0.005


class PoolSwapper:
    """Publishes tables by which versions enter with new workers, and waits until all follow.

    champion: the place of the version that answers; pools: those that stand.
    """

    def __init__(self, installation: Installation, versions: list[VersionId], *, workers: int = 2) -> None:
        self._installation = installation
        self._versions = versions
        self._workers = workers
        self.pools: tuple[Pool, ...] = (FIRST,)
        self._answers = {0: 0}
        self._accepting = self._last = 0
        self.champion = 0
        self._publish()

    def workers(self, pool: int) -> list[Heartbeat]:
        """Those of a pool that are at work."""
        found = heartbeats(self._installation.state)
        return [one for one in found if one.role == "worker" and one.pool == pool and not one.starting and alive(one)]

    @property
    def accepting(self) -> int:
        """The number of the pool that takes connections."""
        return self._accepting

    def load(self, place: int) -> Swap:
        """A version enters with a new pool; the pool that answered stays warm."""
        begun = time.monotonic_ns()
        self.close()
        number = self._last = self._last + 1  # as the loop does: a number that stood before would be no new pool
        self.pools = (*self.pools, Pool(number=number))
        self._answers[number] = place
        self._publish()
        self._await(lambda one: self._versions[place] in one.ready, number, self._workers)
        return self._switch("load", number, begun)

    def revert(self) -> Swap:
        """The pool that stands by answers again."""
        other = next(pool.number for pool in self.pools if pool.number != self._accepting)
        return self._switch("revert", other, time.monotonic_ns())

    def close(self) -> None:
        """The pool that stands by ends."""
        standing = tuple(pool for pool in self.pools if pool.number == self._accepting)
        if standing != self.pools:
            self.pools = standing
            self._publish()

    def connections(self, port: int) -> set[int]:
        """The clients' ends of what the workers of the pool that accepts have open."""
        return {
            one.raddr.port
            for worker in self.workers(self._accepting)
            for one in psutil.Process(worker.pid).net_connections("tcp4")
            if one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port
        }

    def _switch(self, kind: str, number: int, begun: int) -> Swap:
        before, self._accepting = self.champion, number
        self.champion = self._answers[number]
        committed = time.monotonic_ns()
        generation = self._publish()
        for pool in self.pools:
            self._await(lambda one: one.generation >= generation, pool.number, self._workers)
        done = time.monotonic_ns()
        return Swap(
            kind="load" if kind == "load" else "revert",
            before=before,
            after=self.champion,
            begun=begun,
            committed=committed,
            done=done,
        )

    def _publish(self) -> int:
        pools = tuple(
            pool
            if pool.number == self._accepting
            else msgspec.structs.replace(
                pool, own=PoolMember(service=SHOP, version=self._versions[self._answers[pool.number]])
            )
            for pool in self.pools
        )
        route = Route(service=SHOP, champion=self._versions[self.champion])
        return self._installation.route(route, pools, self._accepting).generation

    def _await(self, holds: Callable[[Heartbeat], bool], pool: int, count: int) -> None:
        end = time.monotonic() + 180
        while True:
            found = self.workers(pool)
            if len(found) >= count and all(holds(one) for one in found):
                return
            if time.monotonic() > end:
                raise AssertionError(f"Pool {pool} does not follow: {found}")
            time.sleep(_LOOK_S)
