"""How an installation stands, read from its directory alone: for whoever is on call, whatever has died.

Nothing is written, no process is asked, and no part hides another: where the ledger cannot be read, processes and
routing are still told, with the reason for what is missing.
"""

import time
from collections.abc import Iterable

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.control.review import unjudged_until
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.registry import Cycle, Registry, Rollout, ServiceRecord
from evertrain.core.routing import Route, RoutingTable
from evertrain.core.time import Instant
from evertrain.errors import EvertrainError, NotFoundError
from evertrain.model.progress import Tasks
from evertrain.monitor.gist import Gist
from evertrain.monitor.health import Totals, totals
from evertrain.monitor.performance import Ripening
from evertrain.monitor.unfamiliar import Unknown
from evertrain.process.view.caution import cautions_of, doubts_of, mended_by, override_of, standing_caution
from evertrain.process.view.chronicle import Chronicle
from evertrain.process.view.fruitless import Fruitless, fruitless_of
from evertrain.process.view.lodging import Lodging, look_at_environments
from evertrain.process.view.looks import (
    Figure,
    Look,
    read_gists,
    read_looked_at_first,
    read_looks,
    read_quality,
    read_unknown,
)
from evertrain.process.view.pools import show_pools, standby_of
from evertrain.process.view.running import Running
from evertrain.process.view.standing import show_work, why_it_waits
from evertrain.process.view.supply import SourceSituation, look_at_sources
from evertrain.process.view.surroundings import say_standstill, show_alerts, taken_in
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import StoryClock, business_clock
from evertrain.store.hook import HookProgress, HookRoll, read_hook_progress
from evertrain.store.ledger import Ledger
from evertrain.store.process import Heartbeat, alive, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.store.start import Start, last_start
from evertrain.store.state import State
from evertrain.store.statistics import read_statistics
from evertrain.web.overview import Alert, Decision, Work, WorkerPool

__all__ = [
    "Refusing",
    "ServiceSituation",
    "Situation",
    "Trial",
    "Waiting",
    "look_at",
]

_DECISIONS = 5


class Refusing(msgspec.Struct, frozen=True, kw_only=True):
    """A process that cannot load what is wanted of it. instead: the version that it answers with meanwhile."""

    process: str
    version: VersionId
    ordinal: int | None
    reason: str
    instead: int | None = None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A version on its way into service. step counts from 1, 0 before the first; waits: what it waits for now.

    hold: why it gets no traffic before labels or a person speak for it, "" when nothing speaks against it.
    labelled, early: logged requests whose label was certain, or was not yet, when it was judged last; matures: when
    the first of the latter is. cautions: what it takes in otherwise than the champion. asks: what needs whose approval.
    trained: here, by a recipe: no label decides about its hold, a person does. unjudged: it came as a file, and no
    label of a request is certain before that. absent: which process keeps it from being tried, and why.
    """

    version: VersionId
    ordinal: int
    state: str
    share: float
    step: int
    steps: int
    since: Instant
    why: str
    waits: str = ""
    hold: str = ""
    labelled: int = 0
    early: int = 0
    matures: Instant | None = None
    cautions: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    trained: bool = False
    unjudged: Instant | None = None
    absent: str = ""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """An open cycle. until: it is held, and looked at again then. pushed: its version came as a file."""

    cycle: str
    state: str
    since: Instant
    why: str
    ordinal: int | None = None
    until: Instant | None = None
    pushed: bool = False


class ServiceSituation(msgspec.Struct, frozen=True, kw_only=True):
    """One service. champion: what is wanted to answer, by the routing table; without a ledger it has no ordinal.

    gist: what was observed of a watched service, once it was looked at; taken: predictions, before the first look ends.
    watched: somebody else answers. override: that a person put the champion into service, why, and past which refusal.
    caution: what its training says of the champion, until a later one by its recipe says it no more; mended: the number
    of a later one that did not, and was refused; renewed: whether another declaration than that of the last training is
    in force. cautions: what it takes in otherwise than the one before; doubts: why its figures are hard to believe.
    quality: how good the answers were, once there are labels. unknown: what the version is asked and does not know.
    unmatched: labels that name no prediction that is remembered; ripening: of all others. numbers: of those refused.
    """

    service: ServiceName
    enabled: bool
    notice: str
    champion: VersionId | None
    ordinal: int | None = None
    since: Instant | None = None
    why: str = ""
    standby: int | None = None
    requests: Totals
    trial: Trial | None = None
    cycles: tuple[Waiting, ...] = ()
    work: tuple[Work, ...] = ()
    refused: dict[str, str] = {}
    numbers: dict[str, int] = {}
    refusing: tuple[Refusing, ...] = ()
    decisions: tuple[Decision, ...] = ()
    watched: bool = False
    gist: Gist | None = None
    taken: int = 0
    override: str = ""
    caution: str = ""
    mended: int | None = None
    renewed: bool = False
    cautions: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    fruitless: Fruitless | None = None
    quality: tuple[Figure, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    unmatched: int = 0
    ripening: Ripening = Ripening()

    @property
    def answers(self) -> bool:
        """Whether a version is in service, where one is to be."""
        return self.watched or (self.enabled and self.champion is not None)


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at once. lacking: what could not be read, and why. page: its address, "" while nobody shows it.

    again: what to type to start it as it was started last. astray: by hook, services that it names and there are not.
    standstill: why nothing can be put on record.
    """

    at: Instant
    dir: str
    events: int
    routing: RoutingTable
    services: tuple[ServiceSituation, ...]
    sources: tuple[SourceSituation, ...]
    alerts: tuple[Alert, ...]
    processes: tuple[Running, ...]
    hooks: tuple[HookProgress, ...] = ()
    astray: dict[str, tuple[str, ...]] = {}
    environments: tuple[Lodging, ...] = ()
    pools: tuple[WorkerPool, ...] = ()
    lacking: tuple[str, ...] = ()
    page: str = ""
    again: str
    standstill: str = ""

    @property
    def only_watches(self) -> bool:
        """Whether there are services, and somebody else answers them all."""
        return bool(self.services) and all(one.watched for one in self.services)

    @property
    def answers(self) -> bool:
        """Whether anybody answers predictions."""
        return any(one.role == "worker" and one.alive and not one.starting for one in self.processes)

    @property
    def starting(self) -> str:
        """What everything that is only being started waits for; "" when it is up, or nobody starts it."""
        starts = (one.note for one in self.processes if one.role == "supervisor" and one.alive and one.starting)
        return next(starts, "")

    @property
    def is_whole(self) -> bool:
        """Whether every service is answered."""
        return self.answers and all(one.answers for one in self.services)


class _Known:
    """What was read, to tell each service from: of the ledger nothing, where it cannot be read."""

    def __init__(self, state: State) -> None:
        self.now = business_clock(state.clock).now()
        self.beats = heartbeats(state)
        self.series = read_statistics(state.path / "serving" / "statistics")
        self.looks = read_looks(state.reports)
        self.quality = read_quality(state.reports)
        self.unknown = read_unknown(state.reports)
        self.gists = read_gists(state.reports)
        self.looked_at_first = read_looked_at_first(state.reports)
        # A task that outlives those who began it is none of theirs: nobody takes up what it makes before they are back.
        self.running = Tasks(state.tasks).under_way() if any(map(alive, self.beats)) else []
        self.tasks = state.tasks
        self.artifacts = Artifacts.at(state.artifacts)
        self.registry = Registry()
        self.chronicle = Chronicle(lambda _: "")
        self.events = 0
        self.hindered = next((one.note for one in self.beats if one.role == "controller" and alive(one)), "")

    def read(self, state: State) -> None:
        """Read the ledger."""
        if not state.ledger.exists():
            raise NotFoundError(f"There is no ledger at {state.ledger}.", "Restore it from a backup.")
        with Ledger.open(state.ledger) as ledger:
            self.chronicle = Chronicle(ledger.words_if_kept)
            for event in ledger.read():
                self.registry.fold(event)
                self.chronicle.fold(event)
                self.events = event.sequence + 1
            self.hindered = self.hindered or ledger.hindered


def look_at(state: State) -> Situation:
    """How the installation stands now."""
    lacking: list[str] = []
    known, table = _Known(state), RoutingTable(generation=0, routes={})
    try:
        known.read(state)
    except (EvertrainError, KeyError) as error:  # KeyError: an event refers to one that is gone
        lacking.append(str(error) if isinstance(error, EvertrainError) else f"The ledger lacks events about {error}.")
    try:
        table = RoutingFile(state.routing).read()
    except EvertrainError as error:
        lacking.append(str(error))
    clock = business_clock(state.clock)
    now = clock.now()
    names = sorted({*table.routes, *(name for name, one in known.registry.services.items() if one.declaration)})
    return Situation(
        at=now,
        dir=str(state.path),
        events=known.events,
        routing=table,
        services=tuple(_service(name, table, known) for name in names),
        sources=look_at_sources(
            state,
            taken_in(state) if isinstance(clock, StoryClock) else now,
            reads=any(beat.role == "data" and alive(beat) for beat in known.beats),
        ),
        alerts=show_alerts(known.registry.alerts),
        processes=tuple(Running.of(beat, table) for beat in known.beats),
        hooks=tuple(one for one in read_hook_progress(state) if one.active),
        astray=HookRoll(state).astray(names),
        environments=look_at_environments(state, known.registry.services, known.artifacts, table),
        pools=show_pools(table, known.registry.pools, known.registry.services, known.beats),
        lacking=tuple(lacking),
        again=(last_start(state) or Start()).command(state),
        page=next((beat.page for beat in known.beats if beat.page and alive(beat)), ""),
        standstill=say_standstill(state, known.hindered),
    )


# Services -------------------------------------------------------------------------------------------------------------


def _service(name: ServiceName, table: RoutingTable, known: _Known) -> ServiceSituation:
    route = table.routes.get(name) or Route(service=name)
    record = known.registry.services.get(name) or ServiceRecord(service=name)
    champion = record.versions.get(route.champion) if route.champion is not None else None
    rollout, look = record.open_rollout, known.looks.get(name)
    quality = known.quality.get(name, ())
    return ServiceSituation(
        service=name,
        enabled=route.enabled,
        notice=route.notice,
        champion=route.champion,
        ordinal=record.ordinal_of(route.champion),
        since=champion.championed if champion is not None else None,
        why=_why_nobody(record, route)
        if route.champion is None
        else known.chronicle.crowning(route.champion, max((one.labels for one in quality), default=0)),
        standby=record.ordinal_of(standby_of(record) or route.previous),
        requests=totals(known.series, name),
        trial=None if rollout is None else _trial(record, rollout, known, look),
        quality=quality,
        unknown=known.unknown.get(name, ()),
        unmatched=look.unmatched if look is not None else 0,
        ripening=look.ripening if look is not None else Ripening(),
        cycles=tuple(_waiting(record, cycle) for cycle in record.open_cycles),
        work=show_work(record, known.running, time.time()),
        refused={one.version: one.reason for one in route.refused},
        numbers={one.version: number for one in route.refused if (number := record.ordinal_of(one.version))},
        refusing=tuple(_refusing(record, route, known.beats)),
        decisions=known.chronicle.decisions(name)[:_DECISIONS],
        watched=route.observed,
        gist=known.gists.get(name) if route.observed else None,
        taken=known.looked_at_first.get(name, 0) if route.observed else 0,
        override="" if champion is None else override_of(champion, known.chronicle),
        caution=standing_caution(record, route.champion, known.artifacts),
        mended=record.ordinal_of(mended_by(record, route.champion, known.artifacts)),
        renewed=record.last_run is not None and record.declared_since(record.last_run),
        cautions=() if champion is None else cautions_of(champion, known.artifacts),
        doubts=() if champion is None else doubts_of(record, champion, known.artifacts),
        fruitless=fruitless_of(record, known.tasks),
    )


def _why_nobody(record: ServiceRecord, route: Route) -> str:
    if route.observed:
        return f"Somebody else answers, and posts what was answered to /observe/{record.service}."
    return "" if record.cycles else "No version was made yet."


def _trial(record: ServiceRecord, rollout: Rollout, known: _Known, look: Look | None) -> Trial:
    version = record.versions[rollout.version]
    return Trial(
        version=rollout.version,
        ordinal=version.ordinal,
        state=rollout.state.value,
        share=rollout.share,
        step=rollout.step + 1,
        steps=len(rollout.steps),
        since=rollout.since,
        why=rollout.why,
        waits="" if look is None else look.waits,
        hold=version.hold,
        labelled=int(version.evidence.get("labelled", 0)),
        early=int(version.evidence.get("early", 0)),
        matures=Instant(int(version.evidence["matures"])) if "matures" in version.evidence else None,
        cautions=cautions_of(version, known.artifacts),
        asks=tuple(f"its {one.gate} by {one.approver}" for one in rollout.unanswered),
        trained=bool(version.recipe),
        absent="" if version.hold else rollout.absent or ("" if look is None else look.absent),
        unjudged=None if version.verdict != "health only" or version.recipe else _unjudged(record, known),
    )


def _unjudged(record: ServiceRecord, known: _Known) -> Instant | None:
    """Until when labels say nothing of a file; None where the declaration cannot be read."""
    if record.declaration is None:
        return None
    try:
        spec = msgspec.json.decode(known.artifacts.blobs.get(record.declaration), type=ServiceSpec)
    except (EvertrainError, OSError, msgspec.DecodeError):
        return None
    return unjudged_until(record, spec, known.now)


def _waiting(record: ServiceRecord, cycle: Cycle) -> Waiting:
    return Waiting(
        cycle=cycle.cycle,
        state=cycle.state.replace("_", " "),
        since=cycle.since,
        why=why_it_waits(record, cycle),
        ordinal=record.ordinal_of(cycle.version),
        until=cycle.until,
        pushed=cycle.kind == "external",
    )


def _refusing(record: ServiceRecord, route: Route, beats: Iterable[Heartbeat]) -> Iterable[Refusing]:
    """Wanted against served: living processes that cannot load what this service wants of them."""
    arms = [arm.version for arm in (route.canary, route.control) if arm is not None]
    wanted = {version for version in (route.champion, *route.prepare, *arms) if version is not None}
    for beat in beats:
        for version, reason in beat.failed.items():
            if version in wanted and alive(beat):
                holds = version == route.champion and route.previous in beat.ready
                yield Refusing(
                    process=beat.name,
                    version=version,
                    ordinal=record.ordinal_of(version),
                    reason=reason,
                    instead=record.ordinal_of(route.previous) if holds else None,
                )
