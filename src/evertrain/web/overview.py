"""What the page and the control API say about a service, as values. Whoever runs the loop fills them from its readers.

Instants are business time unless a field says otherwise. `version` is the ordinal that people say ("version 3").
Every list is in the order in which it is shown. A figure that is not known yet is None, never 0.
"""

from typing import Literal

import msgspec

from evertrain.core.identity import CycleId, Digest, RolloutId, ServiceName, SourceName, VersionId
from evertrain.core.time import Instant, Span

__all__ = [
    "Alert",
    "Cycle",
    "Decision",
    "Evidence",
    "Latency",
    "LatencyPoint",
    "LedgerState",
    "Metric",
    "Overview",
    "Process",
    "QualityPoint",
    "Requests",
    "Rollout",
    "Share",
    "SourceState",
    "Step",
    "Story",
    "Tone",
    "TrafficPoint",
    "Version",
    "Work",
    "WorkerPool",
]

Tone = Literal["good", "watch", "bad", "waiting", "plain"]
"""How a person on call should take it; the page shows a colour and a word, never a colour alone."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A model version. reason: why it is in this state, one sentence. labels: mature labels it was trained on."""

    id: VersionId
    ordinal: int
    state: Literal["champion", "standby", "on trial", "reference", "retired", "refused", "rolled back", "built"]
    built: Instant
    recipe: str = ""
    verdict: str = ""
    reason: str = ""
    rows: int | None = None
    cycle: CycleId | None = None


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """The share of the traffic, 0 to 1, that a version gets now."""

    version: int
    share: float
    arm: Literal["champion", "canary", "control"] = "champion"


class TrafficPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of the `width` that begins at `at`, by the version that answered. failed: nobody answered."""

    at: Instant
    width: Span
    answered: dict[int, int]
    failed: int = 0


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the service was first started. invalid: refused with a 4xx; the caller's fault, not a failure.

    refused: with a 503 while it was turned off, which is an order and no failure either.
    """

    answered: int = 0
    failed: int = 0
    invalid: int = 0
    refused: int = 0
    per_second: float | None = None


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Wall-clock milliseconds from request read to answer ready, of one version on one arm."""

    version: int
    arm: Literal["champion", "canary", "control", "shadow"]
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class LatencyPoint(msgspec.Struct, frozen=True, kw_only=True):
    """All answers of a few seconds. at: wall clock, not business time."""

    at: Instant
    p50_ms: float
    p95_ms: float
    p99_ms: float


class QualityPoint(msgspec.Struct, frozen=True, kw_only=True):
    """Mature labels of the `width` that begins at `at`. reference: the never-retrained model on the same rows."""

    at: Instant
    width: Span
    labels: int
    champion: float | None
    reference: float | None


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric over business time; champion and reference: over all points together."""

    name: str
    better: Literal["higher", "lower"]
    points: tuple[QualityPoint, ...] = ()
    champion: float | None = None
    reference: float | None = None
    labels: int = 0


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One share of a rollout's ramp. note: "passed after 1,204 requests", "waiting: about 300 more"."""

    share: float
    state: Literal["passed", "current", "ahead", "failed"]
    note: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is watched during a rollout: what it is now, and where it would end the rollout."""

    name: str
    now: float | None
    limit: float | None
    unit: Literal["", "%", "ms", "e"] = ""
    tone: Tone = "plain"
    note: str = ""


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to put a version into service. reason: why it is where it is; waiting: what it waits for, or "";
    asks: whom it waits for.
    """

    id: RolloutId
    version: int
    against: int | None
    state: str
    began: Instant
    ended: Instant | None = None
    steps: tuple[Step, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    requests: int = 0
    failures: int = 0
    waiting: str = ""
    reason: str = ""
    asks: tuple[str, ...] = ()


class Cycle(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the loop, from the trigger to what became of it. until: held, and looked at again then."""

    id: CycleId
    state: str
    trigger: str
    began: Instant
    ended: Instant | None = None
    until: Instant | None = None
    version: int | None = None
    tone: Tone = "plain"
    reason: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One automatic or human decision, as the ledger has it. title: a few words ("version 4 promoted")."""

    sequence: int
    at: Instant
    kind: str
    actor: str
    title: str
    reason: str
    tone: Tone = "plain"


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """A source of data. newest: event time of its newest row; reason: why rows or files were set aside, the latest.

    reading: how far a reading is that takes a while; "" when none does.
    """

    name: SourceName
    rows: int
    quarantined: int
    newest: Instant | None
    fresh_within: Span | None = None
    tone: Tone = "good"
    owner: str = ""
    reason: str = ""
    reading: str = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person is told."""

    name: str
    severity: Literal["notice", "warning", "critical"]
    since: Instant
    reason: str
    owner: str = ""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process of the tree. state: "ready", "starting", "lost", ..."""

    name: str
    role: str
    pid: int
    state: str
    tone: Tone = "good"


class WorkerPool(msgspec.Struct, frozen=True, kw_only=True):
    """A set of workers. keeps: what it is kept warm for, "version 1 of shop"; until: when it ends.

    workers: how many of it are up. environment: the lock of its libraries, "" for the installation's own.
    """

    number: int
    state: Literal["accepts", "comes", "stands by", "ends"] = "accepts"
    workers: int = 0
    environment: str = ""
    keeps: str = ""
    until: Instant | None = None


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """Something that takes a while, and is being done. All in seconds of the wall clock.

    says: what. usual_s: the median of the last ones of its kind, which were `earlier`; None before the first has ended.
    limit_s: it is ended then.
    """

    says: str
    for_s: float
    limit_s: float
    usual_s: float | None = None
    earlier: int = 0

    @property
    def done(self) -> float | None:
        """The share that should be done, 0 to 1; None where nobody can know."""
        return None if not self.usual_s else min(self.for_s / self.usual_s, 1.0)


class LedgerState(msgspec.Struct, frozen=True, kw_only=True):
    """Size and Merkle root of the ledger. verified: what the last check found, None before the first."""

    events: int
    root: Digest
    verified: bool | None = None
    checked: Instant | None = None


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A replay of history through the live system. done: 0 to 1."""

    began: Instant
    now: Instant
    ends: Instant
    done: float
    wall_s: float
    finished: bool = False


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one page says about one service.

    champion: ordinal of the version that serves, since when, and why. decisions, versions, rollouts and cycles: newest
    first. rollouts[0] is the current one when `trial` is True. notice: shown on top when the service is turned off.
    watched: somebody else answers; the page is the report of what was observed. undeclared: it declares no label, so
    quality is what was posted, and no version is never retrained. minds: what speaks against the version that a
    rollback lets answer. standstill: why nothing can be put on record, and so nothing is decided.
    """

    service: ServiceName
    at: Instant
    generation: int
    champion: int | None
    since: Instant | None
    why: str
    enabled: bool = True
    notice: str = ""
    minds: tuple[str, ...] = ()
    owner: str = ""
    trial: bool = False
    shares: tuple[Share, ...] = ()
    requests: Requests = Requests()
    traffic: tuple[TrafficPoint, ...] = ()
    latency: tuple[Latency, ...] = ()
    latency_over_time: tuple[LatencyPoint, ...] = ()
    quality: tuple[Metric, ...] = ()
    rollouts: tuple[Rollout, ...] = ()
    cycles: tuple[Cycle, ...] = ()
    work: tuple[Work, ...] = ()
    decisions: tuple[Decision, ...] = ()
    versions: tuple[Version, ...] = ()
    sources: tuple[SourceState, ...] = ()
    alerts: tuple[Alert, ...] = ()
    processes: tuple[Process, ...] = ()
    pools: tuple[WorkerPool, ...] = ()
    recipes: tuple[str, ...] = ()
    watched: bool = False
    undeclared: bool = False
    ledger: LedgerState | None = None
    story: Story | None = None
    standstill: str = ""
