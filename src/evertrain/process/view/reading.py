"""What the page and the control API read: snapshots that the controller's thread makes and the web's threads take.

The loop's own records are never touched by another thread. About once a second the controller makes one frozen
`Overview` of each service and puts it up; whoever asks gets the newest one.
"""

import logging
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.config.wording import suggestion
from evertrain.control.loop import Loop
from evertrain.control.rescoring import found_of
from evertrain.core.canary import Assessment, assess, assess_shadow
from evertrain.core.card import Card
from evertrain.core.event import Event
from evertrain.core.flag import ServiceFlags
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.paired import PairedFigures
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.registry import Rollout as RolloutRecord
from evertrain.core.rollout import RolloutState
from evertrain.core.routing import Route, RoutingTable
from evertrain.core.time import Instant
from evertrain.errors import NotFoundError
from evertrain.model.progress import Tasks, UnderWay
from evertrain.monitor.gist import expose_gists
from evertrain.monitor.health import expose, expose_lag, expose_room, expose_standstill
from evertrain.monitor.report import Report
from evertrain.monitor.unfamiliar import Unknown, expose_unknown
from evertrain.process.observation.reports import ObservedReports
from evertrain.process.steering.order import find_service, find_version
from evertrain.process.steering.planes import InstalledPlanes
from evertrain.process.view.caution import minds_of_rollback
from evertrain.process.view.chronicle import Chronicle
from evertrain.process.view.looks import Figure, Look, leave_looks, leave_quality, leave_unknown
from evertrain.process.view.overseeing import Overseer
from evertrain.process.view.pools import show_pools
from evertrain.process.view.quality import QualityHistory, metrics_of
from evertrain.process.view.standing import show_cycles, show_rollout, show_shares, show_versions, show_work
from evertrain.process.view.surroundings import (
    lag_of,
    say_standstill,
    show_alerts,
    show_processes,
    show_sources,
    show_story,
    taken_in,
)
from evertrain.process.view.traffic import Speed, TrafficHistory
from evertrain.process.view.verification import Verification
from evertrain.store.artifact import Artifacts
from evertrain.store.ledger import Ledger
from evertrain.store.process import alive, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State
from evertrain.store.statistics import Series, read_statistics
from evertrain.web.overview import LedgerState, Overview, Rollout, SourceState

__all__ = ["Board", "Observer"]

_EVERY_S = 1.0
_ROLLOUTS = 20

_log = logging.getLogger(__name__)


class Board:
    """The `Readings` of an installation: takes snapshots from one thread, gives them to all others."""

    def __init__(self, state: State, ledger: Ledger) -> None:
        self._state = state
        self._statistics = state.path / "serving" / "statistics"
        self._blobs = Artifacts.at(state.artifacts).blobs
        self._ledger = ledger
        self._observed = ObservedReports(state, ledger)
        self.overseer = Overseer(state, self._observed)
        self._shown: Mapping[ServiceName, Overview] = MappingProxyType({})
        self.unknown: Mapping[ServiceName, tuple[Unknown, ...]] = MappingProxyType({})
        self.keys: Mapping[ServiceName, tuple[str, ...]] = MappingProxyType({})
        self.standstill = ""

    def put_up(self, shown: Mapping[ServiceName, Overview]) -> None:
        """Replace all snapshots at once."""
        self._shown = MappingProxyType(dict(shown))

    def services(self) -> tuple[ServiceName, ...]:
        return tuple(self._shown)

    def overview(self, service: ServiceName) -> Overview:
        shown = self._shown
        if service not in shown:
            raise NotFoundError(f"There is no service {service!r}.", suggestion(service, shown))
        return shown[service]

    def card(self, service: ServiceName, version: str) -> Card:
        record = find_service(Registry(self._ledger.read()), service)
        found = record.versions[find_version(record, version)]
        if found.card is None:
            raise NotFoundError(f"Version {found.ordinal} of {service} was not judged yet.", "Come back later.")
        return msgspec.json.decode(self._blobs.get(found.card), type=Card)

    def report(self, service: ServiceName) -> Report:
        return self._observed.of(service)

    def events(self, after: int, limit: int) -> list[Event]:
        return self._ledger.read(after=after, limit=limit)

    def flags(self) -> tuple[ServiceFlags, ...]:
        routes, shown = RoutingFile(self._state.routing).read().routes, self._shown
        return tuple(
            ServiceFlags.of(routes[name], self.keys.get(name, ()), {one.id: one.ordinal for one in overview.versions})
            for name, overview in shown.items()
            if name in routes and not overview.watched
        )

    def metrics(self) -> str:
        living = [one for one in heartbeats(self._state) if alive(one)]
        readers = [one for one in living if one.role in ("controller", "data") and not one.starting]
        told = expose(read_statistics(self._statistics))
        told += expose_room({one.name: one.room for one in living if one.role == "worker"})
        told += expose_lag({one.name: lag_of(one) for one in readers}) + expose_standstill(self.standstill)
        return told + expose_gists(self.overseer.gists) + expose_unknown(self.unknown)


class _Memory:
    """What is kept of one service between two snapshots."""

    def __init__(self, spec: ServiceSpec) -> None:
        self.quality = QualityHistory(metrics_of(spec), declared=spec.label is not None)
        self.traffic = TrafficHistory()
        self.speed = Speed(spec.name)


class Observer:
    """Makes the snapshots, on the controller's thread alone: it reads the loop's records and the watch.

    standstill: what keeps that thread from putting anything on record, as it met it; "" where nothing does.
    """

    def __init__(
        self, state: State, ledger: Ledger, loop: Loop, planes: InstalledPlanes, now: Callable[[], Instant]
    ) -> None:
        self._state = state
        self._statistics = state.path / "serving" / "statistics"
        self._ledger = ledger
        self._loop = loop
        self._planes = planes
        self._artifacts = Artifacts.at(state.artifacts)
        self.board = Board(state, ledger)
        self._chronicle = Chronicle(ledger.words_if_kept)
        self.verification = Verification(state, now)
        self._memories: dict[ServiceName, _Memory] = {}
        self._tasks = Tasks(state.tasks)
        self._running: list[UnderWay] = []
        self._looked = float("-inf")
        self._left: dict[ServiceName, Look] | None = None
        self._quality: dict[ServiceName, list[Figure]] | None = None
        self.standstill = ""

    def look(self, now: Instant) -> None:
        """Put up new snapshots, if the last ones are a second old. Nothing that goes wrong here stops the loop."""
        if time.monotonic() - self._looked < _EVERY_S:
            return
        try:
            self.show(now)
        except Exception:  # noqa: BLE001 - a page that shows yesterday is better than a loop that stands still
            _log.exception("The page's snapshot could not be made")
        self._looked = time.monotonic()

    def show(self, now: Instant) -> None:
        """Put up new snapshots."""
        for event in self._ledger.read(after=self._chronicle.sequence):
            self._chronicle.fold(event)
        series = read_statistics(self._statistics)
        self._running = self._tasks.under_way()
        table = self._planes.routing()
        around = self._around(table, now)
        shown, looks, keys = {}, {}, {}
        for name, record in self._loop.registry.services.items():
            if record.declaration is not None:
                spec = self._planes.declaration(record.declaration)
                look = self._look(record, now)
                route = table.routes.get(name) or Route(service=name)
                one = self._show(record, spec, route, series, look=look, around=around)
                waits = one.rollouts[0].waiting if one.trial and one.rollouts else ""
                counts = None if look.tally is None else look.tally.counts()
                keys[name] = () if spec.examples is None else spec.examples.entity
                shown[name], looks[name] = one, msgspec.structs.replace(look, tally=counts, waits=waits)
        self.board.put_up(shown)
        self.board.standstill = around.standstill
        self.board.keys = keys
        self.board.overseer.oversee([name for name, one in shown.items() if one.watched])
        if looks != self._left:
            self._left = looks
            leave_looks(self._state.reports, looks)
        quality = {name: figures for name, one in shown.items() if (figures := _figures(one))}
        if quality != self._quality:
            self._quality = quality
            leave_quality(self._state.reports, quality)
        unknown = {name: found for name in shown if (found := self._planes.watch.service(name).unfamiliar.found())}
        if unknown != self.board.unknown:
            self.board.unknown = unknown
            leave_unknown(self._state.reports, unknown)

    def _around(self, table: RoutingTable, now: Instant) -> Overview:
        """What all services have in common, in an overview of none of them."""
        return Overview(
            service=ServiceName(""),
            at=now,
            generation=table.generation,
            champion=None,
            since=None,
            why="",
            alerts=show_alerts(self._loop.registry.alerts),
            processes=show_processes(self._state, table.generation),
            pools=show_pools(table, self._loop.registry.pools, self._loop.registry.services, heartbeats(self._state)),
            ledger=self._ledger_state(),
            story=show_story(self._state, self._chronicle.story_span(), now, finished="ended" in self._chronicle.story),
            standstill=say_standstill(self._state, self.standstill or self._ledger.hindered),
        )

    def _ledger_state(self) -> LedgerState:
        head, last = self._ledger.head(), self.verification.newest
        if last is None:
            return LedgerState(events=head.size, root=head.root)
        return LedgerState(events=head.size, root=head.root, verified=last.holds, checked=last.at)

    def _show(
        self,
        record: ServiceRecord,
        spec: ServiceSpec,
        route: Route,
        series: list[Series],
        *,
        look: Look,
        around: Overview,
    ) -> Overview:
        memory = self._memories.setdefault(record.service, _Memory(spec))
        memory.speed.look(series)
        watch = self._planes.watch.service(record.service)
        ordinals = {version.version: version.ordinal for version in record.versions.values()}
        champion = record.versions.get(record.champion) if record.champion is not None else None
        first = min((one.championed for one in record.versions.values() if one.championed is not None), default=None)
        quality = memory.quality.show(watch.performance, first, around.at) if first is not None else ()
        return msgspec.structs.replace(
            around,
            service=record.service,
            champion=champion.ordinal if champion is not None else None,
            since=champion.championed if champion is not None else None,
            why=self._why(record, max((one.labels for one in quality), default=0)),
            enabled=route.enabled,
            notice=route.notice,
            minds=minds_of_rollback(record, self._artifacts),
            owner=spec.owner,
            watched=spec.watched is not None,
            undeclared=spec.label is None,
            trial=record.open_rollout is not None,
            shares=show_shares(record, route),
            requests=memory.speed.requests(series),
            traffic=memory.traffic.show(watch, ordinals, around.at),
            latency=memory.speed.latency(series, _answering(record)),
            latency_over_time=memory.speed.over_time,
            quality=quality,
            rollouts=self._rollouts(record, spec, look, around.at),
            cycles=show_cycles(record),
            work=show_work(record, self._running, time.time()),
            decisions=self._chronicle.decisions(record.service),
            versions=show_versions(record, self._chronicle.crowning),
            sources=self._sources(spec, around.at),
            recipes=tuple(sorted(spec.recipes, key=lambda name: (name != "default", name))),
        )

    def _sources(self, spec: ServiceSpec, now: Instant) -> tuple[SourceState, ...]:
        names = [source.name for source in spec.sources]
        as_of = taken_in(self._state) if self._planes.paced() else now
        return show_sources(self._state.reports, names, self._chronicle.set_aside, as_of)

    def _why(self, record: ServiceRecord, labels: int) -> str:
        """Why the champion serves; without one, what is being done about it. labels: of its service's answers."""
        if record.champion is not None:
            return self._chronicle.crowning(record.champion, labels)
        cycle = next(reversed(record.cycles.values()), None)
        if cycle is None:
            return "No version was made yet."
        return f"Cycle {cycle.cycle.rpartition('/')[2]} is {cycle.state.replace('_', ' ')}: {cycle.why}"

    def _rollouts(self, record: ServiceRecord, spec: ServiceSpec, look: Look, now: Instant) -> tuple[Rollout, ...]:
        newest = list(reversed(record.rollouts.values()))[:_ROLLOUTS]
        under_way = record.open_rollout
        if under_way is not None:
            newest = [under_way, *(one for one in newest if one is not under_way)]
        found = self._found(record, spec, look, now)
        timed = not self._planes.paced()
        return tuple(
            show_rollout(record, one, found, timed=timed, now=now, absent=look.absent)
            if one is under_way
            else show_rollout(record, one, timed=timed, now=now)
            for one in newest
        )

    def _look(self, record: ServiceRecord, now: Instant) -> Look:
        """The traffic, and the open rollout's evidence as the loop last folded it; nothing is folded here."""
        watch = self._planes.watch.service(record.service)
        look = Look(
            requests_24h=self._planes.foreseen(record.service, now),
            pace=self._planes.pace(record.service, now),
            idle=self._planes.idle(record.service, now),
            unmatched=0 if watch.join is None else watch.join.unmatched,
            ripening=watch.performance.ripening(),
        )
        rollout = record.open_rollout
        if rollout is None or rollout.state is not RolloutState.STEPPING or rollout.champion is None:
            return look
        tally, absent = watch.trial.standing(rollout.rollout), self._absent(record, rollout)
        return msgspec.structs.replace(look, step=rollout.step, tally=tally, absent=absent)

    def _absent(self, record: ServiceRecord, rollout: RolloutRecord) -> str:
        """That the process does not stand, beside which it is seen how late a version on trial answers; else ""."""
        route = self._planes.routing().routes.get(record.service)
        if rollout.absence is None or route is None or route.control is None:
            return ""
        return "" if self._planes.standing("control", route.control).ready else rollout.absence.says

    def _found(self, record: ServiceRecord, spec: ServiceSpec, look: Look, now: Instant) -> Assessment | None:
        """What the newest look at the open rollout found; None where there is nothing to see."""
        rollout = record.open_rollout
        if rollout is None:
            return None
        paired = found_of(record, rollout)
        if rollout.state is not RolloutState.SHADOWING or rollout.shadow is None:
            return self._assess(look, spec, now, paired, rollout.stepped)
        trial = self._planes.watch.service(record.service).trial
        tally = trial.standing(rollout.rollout)
        if tally is None:
            return None
        pace, idle = look.pace, look.idle
        seen = assess_shadow(rollout.shadow, spec.rollout, tally, trial.alike, now, pace=pace, idle=idle, paired=paired)
        return seen.known_to(self._planes.watch.known_to)

    def _assess(
        self, look: Look, spec: ServiceSpec, now: Instant, paired: PairedFigures | None, since: Instant | None
    ) -> Assessment | None:
        if look.tally is None:
            return None
        return assess(
            look.step,
            spec.rollout,
            look.tally,
            look.requests_24h,
            now,
            pace=look.pace,
            idle=look.idle,
            latency_decides=not self._planes.paced(),
            paired=paired,
            since=since,
        ).known_to(self._planes.watch.known_to)


def _figures(shown: Overview) -> list[Figure]:
    """What `evertrain status` says of the quality."""
    return [
        Figure(name=metric.name, value=metric.champion, labels=metric.labels)
        for metric in shown.quality
        if metric.champion is not None
    ]


def _answering(record: ServiceRecord) -> dict[VersionId, int]:
    """The ordinals of the versions that may answer now: the champion, the one before it, and the one on trial."""
    trial = record.open_rollout
    names = (record.champion, record.previous, trial.version if trial is not None else None)
    return {name: record.versions[name].ordinal for name in names if name is not None}
