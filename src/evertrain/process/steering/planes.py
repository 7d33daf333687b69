"""The loop's planes, for real: executor, tables, signatures, routing file, heartbeats, and the watched log."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.config.settings import Settings
from evertrain.control.planes import Crashed, Done, Evidence, Readiness, Running, Work
from evertrain.core.aftermath import Aftermath
from evertrain.core.approval import Approver, RolloutGate
from evertrain.core.card import Card
from evertrain.core.identity import Digest, ServiceName, VersionId
from evertrain.core.metric import metric
from evertrain.core.model import Manifest, Verdict
from evertrain.core.policy import PerformanceTrigger
from evertrain.core.registry import Registry, Rollout
from evertrain.core.routing import Arm, RoutingTable
from evertrain.core.schema import Input
from evertrain.core.stage import Assemble, Check, Evaluate, Rehearse, Reproduce, Rescore, StageTask, Train
from evertrain.core.time import Instant, Span
from evertrain.core.trigger import Observed, Reading
from evertrain.errors import EvertrainError
from evertrain.model.executor import Crashed as TaskCrashed
from evertrain.model.executor import Done as TaskDone
from evertrain.model.executor import LocalExecutor, Task
from evertrain.model.installer import BUILD_S
from evertrain.process.steering.outcomes import Outcomes
from evertrain.process.steering.room import free_memory, room_for_twice
from evertrain.process.steering.watch import Watch
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import BusinessClock, StoryClock
from evertrain.store.hook import HookRoll
from evertrain.store.process import Heartbeat, alive, at_work, heartbeats
from evertrain.store.request import CommitRequest, CommitRequests
from evertrain.store.routing import RoutingFile
from evertrain.store.signature import Signer
from evertrain.store.state import State

__all__ = ["InstalledPlanes"]

_TRAINING = "evertrain.process.trainer.training"
_EVALUATION = "evertrain.process.trainer.evaluation"
_RESCORING = "evertrain.process.trainer.rescoring"
_MOST_LABELS = 20_000
"""Labelled requests that are scored again at one look at most."""


class InstalledPlanes:
    """The planes of one installation, for the loop of its controller."""

    def __init__(self, state: State, clock: BusinessClock, registry: Registry, settings: Settings) -> None:
        self._state = state
        self._paced = isinstance(clock, StoryClock)
        self._registry = registry
        self._settings = settings
        self._artifacts = Artifacts.at(state.artifacts)
        self._signer = Signer.load(state.keys)
        self._executor = LocalExecutor(state)
        self._requests = CommitRequests(state)
        self._routing = RoutingFile(state.routing)
        self._declared = lru_cache(maxsize=64)(self._read_declaration)
        self._seen: dict[tuple[ServiceName, Instant, VersionId | None], Observed] = {}
        self._seen_at = Instant(0)
        self._labels: tuple[str, Digest] | None = None
        self._outcomes = Outcomes(state)
        self.hooks = HookRoll(state, settings.hooks)
        self.watch = Watch(state, self._declared_for, self._vector_of, paced=self._paced)

    def paced(self) -> bool:
        return self._paced

    def declaration(self, digest: Digest) -> ServiceSpec:
        return self._declared(digest)

    def _read_declaration(self, digest: Digest) -> ServiceSpec:
        return msgspec.json.decode(self._artifacts.blobs.get(digest), type=ServiceSpec)

    def _declared_for(self, service: ServiceName) -> ServiceSpec | None:
        record = self._registry.services.get(service)
        return None if record is None or record.declaration is None else self._declared(record.declaration)

    def _vector_of(self, version: VersionId) -> tuple[Input, ...]:
        try:
            return self._artifacts.manifest(version).vector
        except (EvertrainError, OSError):
            return ()  # what it does not know cannot be told; whoever loads it says what is wrong with it

    # Work -------------------------------------------------------------------------------------------------------------

    def submit(self, task: str, work: StageTask, *, memory_mb: int, timeout_s: int) -> None:
        module = _EVALUATION if isinstance(work, Evaluate | Check) else _TRAINING
        module = _RESCORING if isinstance(work, Rescore) else module
        environment, more_s = self._environment_for(work)
        if isinstance(work, Train | Rehearse):
            work = msgspec.structs.replace(work, threads=self._settings.trainer_threads)
        self._executor.submit(
            Task(
                id=task,
                module=module,
                arguments=msgspec.to_builtins(work),
                memory_mb=memory_mb,
                timeout_s=float(timeout_s + more_s),
                threads=self._settings.trainer_threads,
                nice=self._settings.trainer_nice,
                environment=environment,
            )
        )

    def _environment_for(self, work: StageTask) -> tuple[str, int]:
        """What a task runs in, and how many seconds more it may take because an environment may have to be built.

        User code runs in the environment of its declaration; an evaluator at home, its check servers each in their own.
        """
        match work:
            case Assemble():
                environment = self.declaration(work.declaration).runs_in
            case Train() | Rehearse():
                environment = self.declaration(work.assembled.declaration).runs_in
            case Reproduce():
                environment = self._artifacts.runs_in(work.version)
            case Evaluate():
                judged = filter(None, (work.challenger, work.champion, work.anchor))
                return "", BUILD_S if any(map(self._artifacts.runs_in, judged)) else 0
            case Check():
                judged = filter(None, (work.version, work.champion))
                return "", BUILD_S if any(map(self._artifacts.runs_in, judged)) else 0
            case Rescore():
                return "", BUILD_S if any(map(self._artifacts.runs_in, (work.version, work.against))) else 0
        return environment, BUILD_S if environment else 0

    def poll(self, task: str) -> Work:
        match self._executor.poll(task):
            case TaskDone(result):
                return Done(result)
            case TaskCrashed(cause, tail):
                return Crashed(f"{cause}\n{tail}".strip())
            case _:
                return Running()

    def cancel(self, task: str) -> None:
        self._executor.kill(task)

    def keep(self, content: bytes) -> Digest:
        return self._artifacts.blobs.put(content)

    def kept(self, digest: Digest) -> bytes:
        return self._artifacts.blobs.get(digest)

    def is_kept(self, digest: Digest) -> bool:
        return self._artifacts.blobs.has(digest)

    # Data -------------------------------------------------------------------------------------------------------------

    def committed(self, request: str, service: ServiceName) -> Mapping[str, int] | None:
        name = request.replace("/", "-")
        self._requests.ask(CommitRequest(id=name, service=service))
        return self._requests.answered(name)

    def known_to(self) -> Instant | None:
        return self.watch.known_to

    def observed(self, service: ServiceName, since: Instant, now: Instant) -> Observed:
        record = self._registry.service(service)
        if now != self._seen_at:
            self._seen, self._seen_at = {}, now
        key = (service, since, record.champion)
        if key not in self._seen:
            self._seen[key] = self._observe(service, since, now)
        return self._seen[key]

    def labelled(self, service: ServiceName) -> int:
        return self.watch.service(service).performance.certain()

    def matured(self, service: ServiceName, since: Instant, now: Instant) -> int:
        return self.watch.service(service).performance.matured(since, now)

    def labels_for(self, request: str, service: ServiceName, since: Instant, now: Instant) -> Digest:
        if self._labels is None or self._labels[0] != request:
            logged = self.watch.service(service).performance.logged_labels(since, now, _MOST_LABELS)
            self._labels = request, self.keep(msgspec.json.encode(logged))
        return self._labels[1]

    def _observe(self, service: ServiceName, since: Instant, now: Instant) -> Observed:
        record = self._registry.service(service)
        spec = self._declared_for(service)
        performance = self.watch.service(service).performance
        rows = performance.mature_rows(since, Instant(now + 1))
        if spec is not None:
            rows = max(rows, self._outcomes.count(spec, since, now))
        readings = []
        for trigger in spec.triggers if spec else ():
            if isinstance(trigger, PerformanceTrigger) and record.champion is not None:
                cohort = performance.cohort(Instant(now - trigger.window), Instant(now + 1))
                if cohort.labelled:
                    readings.append(
                        Reading(
                            metric=trigger.metric,
                            window=trigger.window,
                            now=metric(trigger.metric, cohort.label, cohort.score),
                            at_gate=self._at_gate(service, record.champion, trigger.metric),
                            labels=cohort.labelled,
                        )
                    )
        return Observed(now=now, since=since, rows=rows, readings=tuple(readings))

    def _at_gate(self, service: ServiceName, champion: VersionId, metric: str) -> float | None:
        card = self._registry.service(service).versions[champion].card
        if card is None:
            return None
        told = msgspec.json.decode(self.kept(card), type=Card)
        own = next((figures for figures in told.figures if figures.version == champion), None)
        return None if own is None else own.metrics.get(metric)

    # Trust ------------------------------------------------------------------------------------------------------------

    def manifest(self, version: VersionId) -> Manifest:
        return self._artifacts.manifest(version)

    def attest_built(self, version: VersionId, service: ServiceName, at: Instant) -> None:
        self._artifacts.attest(self._signer.sign_attestation("built", version, service, at))

    def attest_judged(
        self, version: VersionId, service: ServiceName, at: Instant, verdict: Verdict, reason: str
    ) -> None:
        self._artifacts.attest(
            self._signer.sign_attestation("judged", version, service, at, verdict=verdict, reason=reason)
        )

    # Deployment -------------------------------------------------------------------------------------------------------

    def routing(self) -> RoutingTable:
        return self._routing.changed(-1) or self._routing.read()

    def publish(self, table: RoutingTable) -> None:
        self._routing.publish(table)

    def followed(self, generation: int) -> bool:
        accepting = self.routing().accepting
        workers = [worker for worker in self._workers() if worker.generation or worker.pool == accepting]
        return bool(workers) and all(worker.generation >= generation for worker in workers)

    def held(self, version: VersionId, pool: int) -> Readiness:
        workers = [worker for worker in self._workers() if worker.pool == pool]
        failed = next((worker.failed[version] for worker in workers if version in worker.failed), "")
        if pool == self._registry.pools.accepting.number:
            return Readiness(ready=bool(workers) and all(version in worker.ready for worker in workers), failed=failed)
        # New ones answer for everybody from one moment to the next, so all of them are waited for, and all routes.
        generation = self.routing().generation
        up = [worker for worker in workers if version in worker.ready and worker.generation >= generation]
        return Readiness(ready=len(up) >= self._settings.workers, failed=failed or _fault(workers))

    def environments(self, besides: ServiceName) -> Mapping[ServiceName, str]:
        champions = {name: one.champion for name, one in self._registry.services.items() if name != besides}
        return {name: self._artifacts.runs_in(one) for name, one in champions.items() if one is not None}

    def room_for_pool(self) -> str:
        return room_for_twice([worker.pid for worker in self._workers()], free_memory())

    def aftermath(self, service: ServiceName, version: VersionId, before: VersionId, since: Instant) -> Aftermath:
        return self.watch.service(service).aftermath(version, before, since)

    def standing(self, name: Literal["canary", "control", "shadow", "reference"], arm: Arm) -> Readiness:
        process = f"{name}-{arm.version[:10]}-{arm.attempt}"
        beat = next((one for one in heartbeats(self._state) if one.name == process), None)
        if beat is None:
            return Readiness(ready=False)
        return Readiness(ready=alive(beat) and arm.version in beat.ready, failed=beat.failed.get(arm.version, ""))

    def _workers(self) -> list[Heartbeat]:
        return _living(heartbeats(self._state), "worker")

    def approvers(self, service: ServiceName, gate: RolloutGate) -> tuple[Approver, ...]:
        return tuple(
            Approver(name=hook.approver, within=Span(hook.veto_within), on_timeout=hook.on_timeout)
            for hook in self.hooks.hooks
            if gate in hook.veto and hook.concerns(service)
        )

    def evidence(self, service: ServiceName, rollout: Rollout, now: Instant) -> Evidence:
        trial = self.watch.service(service).trial
        return Evidence(
            tally=trial.tally(rollout.rollout, rollout.shares, rollout.mirrored, slower_by=self._slower_by(service)),
            alike=trial.alike,
            failures=trial.failures,
            requests_24h=self.foreseen(service, now),
            pace=self.pace(service, now),
            idle=self.idle(service, now),
        )

    def _slower_by(self, service: ServiceName) -> int:
        declared = self._registry.service(service).declaration
        return 0 if declared is None else self.declaration(declared).rollout.slower_by

    def foreseen(self, service: ServiceName, now: Instant) -> float:
        """Requests of the day to come, by which a share is admitted; in a story as many as the last one brought."""
        trial, then = self.watch.service(service).trial, self._known(now)
        return trial.requests_24h(then) if self._paced else trial.foreseen(then)

    def pace(self, service: ServiceName, now: Instant) -> float:
        """Requests a day by which a time is foretold; in a story, whose hours come at once, those of the last day."""
        trial, then = self.watch.service(service).trial, self._known(now)
        return trial.requests_24h(then) if self._paced else trial.pace(then)

    def idle(self, service: ServiceName, now: Instant) -> int:
        """Microseconds since the last request; in a story none is waited for."""
        return 0 if self._paced else self.watch.service(service).trial.idle(self._known(now))

    def _known(self, now: Instant) -> Instant:
        """Up to when the traffic is known: what was not read yet is no pause."""
        return now if self.watch.known_to is None else self.watch.known_to


def _living(beats: Iterable[Heartbeat], role: str) -> list[Heartbeat]:
    return [beat for beat in beats if beat.role == role and at_work(beat)]


def _fault(workers: Iterable[Heartbeat]) -> str:
    """Why one of these cannot answer something that is routed."""
    return next((why for worker in workers for why in worker.failed.values()), "")
