# ruff: noqa: ARG002 - the planes ask for more than a simulation needs
"""The loop in simulated time, with planes that fail on purpose: thousands of days in seconds, the same for one seed.

The loop and the rules are the real ones. What is simulated is everything behind `control.planes.Planes`: work that
crashes, workers that lag or cannot load a version, processes on trial that do not stand, challengers that are worse or
that fail on requests, and a controller that is killed between any two calls.
"""

import random
from collections.abc import Mapping
from typing import Literal

import msgspec

from evertrain.config.declaration import FunctionRef, LabelSpec, ServiceSpec, TrainingSpec
from evertrain.control.loop import Loop, Pulse
from evertrain.control.planes import Crashed, Done, Evidence, Readiness, Running, Work
from evertrain.core.approval import Approver, RolloutGate
from evertrain.core.event import Draft, ServiceDeclared
from evertrain.core.evidence import Outcome, Tally
from evertrain.core.identity import Digest, ServiceName, SourceName, VersionId, digest_of, digest_of_bytes
from evertrain.core.model import DatasetRef, Fingerprint, Manifest, Output, Verdict
from evertrain.core.paired import Paired
from evertrain.core.policy import GateSpec, RowsTrigger, ScheduleTrigger
from evertrain.core.registry import Registry, Rollout
from evertrain.core.rehearsal import Rehearsed
from evertrain.core.routing import Arm, RoutingTable
from evertrain.core.schema import Column, Schema
from evertrain.core.shadow import exposure
from evertrain.core.stage import (
    Assemble,
    Assembled,
    Check,
    Evaluate,
    Evaluated,
    Rehearse,
    Rescore,
    Rescored,
    StageTask,
    Train,
    Trained,
)
from evertrain.core.time import DAY, HOUR, Instant, Moment
from evertrain.core.trigger import Observed
from evertrain.testing.journal import MemoryJournal
from evertrain.testing.quarters import Quarters

__all__ = ["Faults", "Killed", "SimulatedPlanes", "World"]

SERVICE = ServiceName("simulated")


class Killed(Exception):  # noqa: N818 - an event of the simulation, not an error of the program
    """The controller was killed here."""


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """How likely each fault is, per call or per piece of work. hold: why each trained version is held."""

    kill: float = 0.0
    crash: float = 0.0
    slow: float = 0.0
    cannot_load: float = 0.0
    does_not_stand: float = 0.0
    worse: float = 0.0
    worse_on_labels: float = 0.0
    inconclusive: float = 0.0
    failing: float = 0.0
    hold: str = ""


class SimulatedPlanes(Quarters):
    """Everything outside of the loop. It outlives the controller, as the real planes do.

    crashing: part of the names of the tasks that always crash; "" for none. labels: how many logged requests have one,
    mature: of which that version on trial and the one beside it were not trained on.
    checks: what the next checks of a pushed file say, one after the other, and the last one from then on. lock: of the
    environment of all versions that are asked about from now on. alone: no control arm stands.
    unread_from: from when on the traffic is not known; None where all of it is.
    """

    crashing = ""
    alone = False
    unread_from: Instant | None = None
    labels = mature = 0
    lock: Digest | msgspec.UnsetType = msgspec.UNSET

    def __init__(self, spec: ServiceSpec, seed: int, faults: Faults) -> None:
        super().__init__()
        self.spec = spec
        self.faults = faults
        self.random = random.Random(seed)
        self.now = Instant(0)
        self.table = RoutingTable(generation=0, routes={})
        self.built: set[VersionId] = set()
        self.judged: set[VersionId] = set()
        self.checks: list[Evaluated] = []
        self.checked: list[Check] = []
        self.asked: dict[RolloutGate, tuple[Approver, ...]] = {}
        self._blobs: dict[Digest, bytes] = {}
        self.files: set[Digest] = set()  # models that lie there, of cleared versions
        self._asked: dict[str, StageTask] = {}
        self._tables: dict[str, dict[str, int]] = {}
        self._work: dict[str, Work] = {}
        self._tallies: dict[str, Tally] = {}
        self._folded: dict[str, Instant] = {}

    def paced(self) -> bool:
        return True

    def declaration(self, digest: Digest) -> ServiceSpec:
        return self.spec

    # Work

    def submit(self, task: str, work: StageTask, *, memory_mb: int, timeout_s: int) -> None:
        self._perhaps_killed()
        if self._asked.setdefault(task, work) != work:
            raise AssertionError(f"task {task} stands already, and differs")
        if task not in self._work:
            crashed = self._happens(self.faults.crash) or (self.crashing != "" and self.crashing in task)
            self._work[task] = Crashed("a planted crash") if crashed else Done(self._do(task, work))

    def poll(self, task: str) -> Work:
        self._perhaps_killed()
        return Running() if self._happens(self.faults.slow) else self._work[task]

    def cancel(self, task: str) -> None:
        self._work[task] = Crashed("cancelled")

    def _do(self, task: str, work: StageTask) -> bytes:
        match work:
            case Assemble():
                return msgspec.json.encode(self._assembled(work))
            case Rehearse():
                return msgspec.json.encode(self._rehearsed(work))
            case Train():
                version = VersionId(digest_of(task))
                fingerprint = Fingerprint(model=digest_of(["model", task]), features=digest_of("features"))
                return msgspec.json.encode(
                    Trained(version=version, fingerprint=fingerprint, record=digest_of(task), recipe=work.recipe)
                )
            case Evaluate():
                return msgspec.json.encode(self._evaluated(work.challenger))
            case Check():
                return msgspec.json.encode(self._checked(work))
            case Rescore():
                return msgspec.json.encode(self._rescored(work))
            case _:
                raise TypeError(f"{work!r} is not simulated")

    def _rehearsed(self, work: Rehearse) -> Rehearsed:
        return Rehearsed(recipe=work.recipe, validation_rows=100, metrics={"log_loss": 1.0 / (1 + len(work.recipe))})

    def _assembled(self, work: Assemble) -> Assembled:
        dataset = DatasetRef(digest=digest_of([work.cycle, work.cut]), tables=work.tables, cut=work.cut, rows=10_000)
        return Assembled(
            dataset=dataset,
            declaration=work.declaration,
            bundle=work.bundle,
            features=digest_of("features"),
            training=digest_of("training"),
            holdout=digest_of("holdout"),
            training_rows=9_000,
            holdout_rows=1_000,
            boundary=Instant(work.cut - DAY),
            end=work.cut,
            missing_labels=0.0,
            base_rate=0.2,
        )

    def _evaluated(self, version: VersionId) -> Evaluated:
        verdict: Verdict = "fail" if self._happens(self.faults.worse) else "pass"
        if verdict == "pass" and self._happens(self.faults.inconclusive):
            verdict = "inconclusive"
        told = ("It was simulated.",)
        return Evaluated(version=version, verdict=verdict, reasons=told, card=digest_of(version), hold=self.faults.hold)

    def _checked(self, work: Check) -> Evaluated:
        self.checked.append(work)
        if not self.checks:
            return self._evaluated(work.version)
        told = self.checks.pop(0) if len(self.checks) > 1 else self.checks[0]
        return msgspec.structs.replace(told, version=work.version)

    def _rescored(self, work: Rescore) -> Rescored:
        """As many rows as are new; a version that is fated to be worse on labels errs on every eighth more."""
        before = (
            Paired() if work.before is None else msgspec.json.decode(self.kept(work.before), type=Rescored).evidence
        )
        worse = self._fated(work.version, self.faults.worse_on_labels)
        rows = range(before.rows, self.mature)
        pairs = [(float((row % 8 == 1 and worse) or row % 5 == 0), float(row % 5 == 0)) for row in rows]
        return Rescored(metric="accuracy", evidence=before.after(pairs, margin=0.01), counted=())

    def keep(self, content: bytes) -> Digest:
        digest = digest_of_bytes(content)
        self._blobs[digest] = content
        return digest

    def kept(self, digest: Digest) -> bytes:
        return self._blobs[digest]

    def is_kept(self, digest: Digest) -> bool:
        return digest in self.files

    # Data

    def committed(self, request: str, service: ServiceName) -> Mapping[str, int] | None:
        self._perhaps_killed()
        tables = self._tables.setdefault(request, {"source.rows": self.now // HOUR})
        return None if self._happens(self.faults.slow) else tables

    def labelled(self, service: ServiceName) -> int:
        return self.labels

    def matured(self, service: ServiceName, since: Instant, now: Instant) -> int:
        return self.mature

    def labels_for(self, request: str, service: ServiceName, since: Instant, now: Instant) -> Digest:
        return digest_of(request)

    def observed(self, service: ServiceName, since: Instant, now: Instant) -> Observed:
        return Observed(now=now, since=since, rows=(now - since) // DAY * 1_000)

    # Trust

    def manifest(self, version: VersionId) -> Manifest:
        return Manifest(
            service=SERVICE,
            format="callable",
            model=digest_of(version),
            bundle=None,
            features=digest_of("features"),
            inputs=self.spec.inputs,
            vector=(),
            output=Output(),
            lock=self.lock,
        )

    def attest_built(self, version: VersionId, service: ServiceName, at: Instant) -> None:
        self._perhaps_killed()
        self.built.add(version)

    def attest_judged(
        self, version: VersionId, service: ServiceName, at: Instant, verdict: Verdict, reason: str
    ) -> None:
        self._perhaps_killed()
        if verdict in ("pass", "health only", "override"):
            self.judged.add(version)

    # Deployment

    def routing(self) -> RoutingTable:
        return self.table

    def publish(self, table: RoutingTable) -> None:
        self._perhaps_killed()
        if table.generation <= self.table.generation:
            raise AssertionError("a routing table was published twice")
        self.table = table

    def followed(self, generation: int) -> bool:
        return not self._happens(self.faults.slow)

    def held(self, version: VersionId, pool: int) -> Readiness:
        if self._fated(version, self.faults.cannot_load):
            return Readiness(ready=False, failed="a planted fault of loading")
        return Readiness(ready=not self._happens(self.faults.slow))

    def standing(self, name: Literal["canary", "control", "shadow", "reference"], arm: Arm) -> Readiness:
        if name == "canary" and self._fated(arm.version, self.faults.does_not_stand):
            return Readiness(ready=False, failed="a planted fault of starting")
        if name == "control" and self.alone:
            return Readiness(ready=False)
        return Readiness(ready=not self._happens(self.faults.slow))

    def approvers(self, service: ServiceName, gate: RolloutGate) -> tuple[Approver, ...]:
        return self.asked.get(gate, ())

    def known_to(self) -> Instant | None:
        return self.unread_from

    def evidence(self, service: ServiceName, rollout: Rollout, now: Instant) -> Evidence:
        """A thousand requests a day, half of them a shadow's; a failing version fails one in ten of its own."""
        share = rollout.share or exposure(1.0)
        tally = self._tallies.get(rollout.rollout) or Tally.start(share)
        if tally.step.share != share:
            tally = tally.stepped(share)
        since = self._folded.get(rollout.rollout, rollout.since)
        requests = (now - since) * 1_000 // DAY
        failing = self._fated(rollout.version, self.faults.failing)
        chance = random.Random(f"{rollout.rollout}:{since}")
        seen = []
        for _ in range(requests):
            on_canary = chance.random() < share
            ok = not (on_canary and failing and chance.random() < 0.1)
            seen.append(Outcome("canary" if on_canary else "champion", ok))
        tally = tally.fold(seen)
        self._tallies[rollout.rollout], self._folded[rollout.rollout] = tally, now
        return Evidence(tally=tally, requests_24h=1_000.0, pace=1_000.0)

    # Fate

    def _happens(self, chance: float) -> bool:
        return self.random.random() < chance

    def _fated(self, version: VersionId, chance: float) -> bool:
        """The same answer at every look: a version cannot be loaded now and be loaded later."""
        return random.Random(version).random() < chance

    def _perhaps_killed(self) -> None:
        if self._happens(self.faults.kill):
            raise Killed


class World:
    """A service, its loop and its planes, moved on hour by hour."""

    def __init__(self, seed: int, faults: Faults | None = None, spec: ServiceSpec | None = None) -> None:
        self.spec = spec or simulated_service()
        self.journal = MemoryJournal()
        self.planes = SimulatedPlanes(self.spec, seed, faults or Faults())
        self.kills = 0
        self.journal.append(
            Draft(
                id="declared",
                at=Instant(0),
                actor="simulation",
                subject=f"service/{SERVICE}",
                reason="It is simulated.",
                fact=ServiceDeclared(service=SERVICE, declaration=self.spec.digest, bundle=None),
            )
        )
        self.loop = self._start()

    def _start(self) -> Loop:
        return Loop(self.journal, self.planes, Registry())

    def tick(self, now: Instant) -> Pulse:
        """One instant, until everything due is done; a killed controller is started anew."""
        self.planes.now = now
        for _ in range(10_000):
            try:
                pulse = self.loop.tick(now)
            except Killed:
                self.kills += 1
                self.loop = self._start()
                continue
            if not pulse.awaiting:
                return pulse
        raise AssertionError(f"The loop does not come to rest: {pulse.awaiting}")

    def run(self, days: int) -> None:
        """Day by day, and at each instant in between at which something is due."""
        now, end = self.planes.now, Instant(self.planes.now + days * DAY)
        while now < end:
            pulse = self.tick(now)
            now = min(pulse.until or end, Instant(now - now % DAY + DAY))
        self.planes.now = end


def simulated_service() -> ServiceSpec:
    """A service with a label, one recipe and two triggers."""
    return ServiceSpec(
        name=SERVICE,
        inputs=Schema(columns=(Column(name="x", type="float64"),)),
        label=LabelSpec(
            source=SourceName("rows"),
            value="y",
            known_at=Moment(column="known"),
            mature_at=Moment(column="at", offset=HOUR),
        ),
        recipes={"default": TrainingSpec(train=FunctionRef(module="recipe", name="train"))},
        triggers=(ScheduleTrigger(every=7 * DAY), RowsTrigger(rows=5_000)),
        gate=GateSpec(hold=2 * DAY),
    )
