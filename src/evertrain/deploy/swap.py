"""Which versions a worker holds, and how one table of routes gives way to the next without a request in between.

A swap has two phases. First the table names a version under `prepare`: it is loaded and warmed beside those that
answer, on a thread of its own, and the worker's heartbeat says that it is ready. Then a table with a higher generation
names it as champion, and the worker flips to it in one assignment. A request is answered whole by what it started with.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec

from evertrain.core.identity import ServiceName, VersionId, short
from evertrain.core.routing import Route, RoutingTable
from evertrain.deploy.version import Loaded, Loader, Recent
from evertrain.errors import EvertrainError

__all__ = ["Live", "Swap"]

_log = logging.getLogger(__name__)
_RETRY_S = 5.0
_RECENT = 64
_LOADING_NICE = 10
"""Measured with loadings of 7 ms in two workers, on two processors with a training: in the 150 ms after one begins p99
was 7.0 and 7.3 ms in two runs, 8.8 and 9.7 at equal priority, and 4.9 to 6.6 where none began."""


class Live(msgspec.Struct, frozen=True):
    """How a service is answered now. champion: None when it cannot be, `reason` says why."""

    route: Route
    champion: Loaded | None
    recent: deque[Recent]
    reason: str = ""


class Swap:
    """The routes that a worker obeys and the versions that it holds. Used from the event loop alone.

    changed: called after each change that others should hear of.
    """

    def __init__(self, loader: Loader, changed: Callable[[], None]) -> None:
        self._loader = loader
        self._changed = changed
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="loading", initializer=_give_way)
        self._wanted = RoutingTable(generation=0, routes={})
        self._live: dict[ServiceName, Live] = {}
        self._loaded: dict[VersionId, Loaded] = {}
        self._failed: dict[VersionId, str] = {}
        self._retry_at: dict[VersionId, float] = {}
        self._loading: set[VersionId] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.generation = 0

    def live(self, service: str) -> Live | None:
        return self._live.get(ServiceName(service))

    @property
    def services(self) -> Iterable[Live]:
        return self._live.values()

    @property
    def ready(self) -> tuple[VersionId, ...]:
        return tuple(sorted(self._loaded))

    @property
    def failed(self) -> dict[VersionId, str]:
        return dict(self._failed)

    @property
    def settled(self) -> bool:
        """Whether every service that has a champion, and is not turned off, can be answered."""
        return all(
            (live := self._live.get(name)) is not None and live.champion is not None
            for name, route in self._wanted.routes.items()
            if route.champion is not None and route.enabled
        )

    @property
    def arms(self) -> set[tuple[str, VersionId, int]]:
        """The processes on trial that the routes name: arm, version, attempt."""
        found = set()
        for route in self._wanted.routes.values():
            for name, arm in (("canary", route.canary), ("control", route.control), ("shadow", route.shadow)):
                if arm is not None:
                    found.add((name, arm.version, arm.attempt))
        return found

    def offer(self, table: RoutingTable) -> None:
        """Obey this table as far as its versions are loaded, and load the others."""
        self._wanted = table
        self._failed.clear()
        self._retry_at.clear()
        self._settle()
        self.look()

    def look(self) -> None:
        """Start loading what is wanted and neither here nor on its way. Cheap when there is nothing to do."""
        now = time.monotonic()
        for route in self._wanted.routes.values():
            for version in _needed(route):
                if version in self._loaded or version in self._loading or self._retry_at.get(version, 0.0) > now:
                    continue
                self._loading.add(version)
                task = asyncio.get_running_loop().create_task(self._load(version, route))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _load(self, version: VersionId, route: Route) -> None:
        live = self._live.get(route.service)
        recent = tuple(live.recent) if live is not None else ()
        gently = any(one.champion is not None for one in self._live.values())
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(
                self._pool, partial(self._load_here, version, route, recent, gently=gently)
            )
        except EvertrainError as error:
            self._failed[version] = str(error)
            self._retry_at[version] = time.monotonic() + _RETRY_S
            _log.error("version %s is not loaded: %s", short(version), error)
        else:
            self._loaded[version] = loaded
            self._failed.pop(version, None)
        finally:
            self._loading.discard(version)
        self._settle()

    def _load_here(self, version: VersionId, route: Route, recent: tuple[Recent, ...], *, gently: bool) -> Loaded:
        try:
            return self._loader.load(version, route.refused, recent, gently=gently, hidden=bool(route.personal))
        except EvertrainError:
            raise
        except (OSError, MemoryError) as error:
            raise EvertrainError(f"Version {short(version)} cannot be loaded: {error}.") from error

    def _settle(self) -> None:
        """Flip every route whose champion is here; the table's generation holds when all are."""
        for name, route in self._wanted.routes.items():
            self._live[name] = self._flip(name, route)
        for name in set(self._live) - set(self._wanted.routes):
            del self._live[name]
        if all(self._obeys(name, route) for name, route in self._wanted.routes.items()):
            self.generation = self._wanted.generation
        self._drop()
        self._changed()

    def _flip(self, name: ServiceName, route: Route) -> Live:
        before = self._live.get(name)
        recent: deque[Recent] = before.recent if before is not None else deque(maxlen=_RECENT)
        if route.champion is None:
            return Live(route, None, recent, "No version is in service yet.")
        champion = self._loaded.get(route.champion)
        if champion is not None:
            return Live(route, champion, recent)
        if not route.enabled:
            return Live(route, None, recent, route.notice)
        if before is not None and before.champion is not None and not _refuses(route, before.champion):
            # Not loaded yet, or not loadable: who answered goes on, under the routes that it answered under.
            return before
        reason = self._failed.get(route.champion, "Its version is being loaded.")
        standby = self._loaded.get(route.previous) if route.previous is not None else None
        if route.champion in self._failed and standby is not None:
            return Live(route, standby, recent, reason)
        return Live(route, None, recent, reason)

    def _obeys(self, name: ServiceName, wanted: Route) -> bool:
        live = self._live[name]
        if wanted.champion is None or not wanted.enabled:
            return True
        return live.champion is not None and live.champion.version == wanted.champion and live.route is wanted

    def _drop(self) -> None:
        kept = {version for route in self._wanted.routes.values() for version in _needed(route)}
        kept |= {live.champion.version for live in self._live.values() if live.champion is not None}
        dropped = [self._loaded.pop(version) for version in set(self._loaded) - kept]
        if dropped:
            # To free a large model takes as long as many answers: the loading thread is the last to let go of it.
            self._pool.submit(dropped.clear)


def _give_way() -> None:
    """Let who answers go first: who is woken by a request takes the processor from who loads, and does not wait for
    the end of its turn.
    """
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOADING_NICE)


def _needed(route: Route) -> tuple[VersionId, ...]:
    """The versions that a worker holds for a route, the most urgent first."""
    wanted = (route.champion, *route.prepare, route.previous)
    return tuple(dict.fromkeys(version for version in wanted if version is not None))


def _refuses(route: Route, loaded: Loaded) -> bool:
    return any(refusal.fingerprint == loaded.manifest.fingerprint for refusal in route.refused)
