"""What the loop sees of the planes, and what it asks of them. Every call may be repeated: asking twice is asking once.

The controller's process implements this with the real store, executor and workers (`process.controller`); the
simulation implements it with fakes that fail on purpose (`testing.simulation`).
"""

from collections.abc import Collection, Mapping
from typing import Literal, Protocol

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.core.aftermath import Aftermath
from evertrain.core.approval import Approver, RolloutGate
from evertrain.core.event import Draft, Event
from evertrain.core.evidence import Failures, Tally
from evertrain.core.identity import Digest, ServiceName, VersionId
from evertrain.core.model import Manifest, Verdict
from evertrain.core.registry import Rollout
from evertrain.core.routing import Arm, RoutingTable
from evertrain.core.shadow import Alike
from evertrain.core.stage import StageTask
from evertrain.core.time import Instant
from evertrain.core.trigger import Observed

__all__ = ["Crashed", "Done", "Evidence", "Journal", "Planes", "Readiness", "Running", "Work"]


class Running(msgspec.Struct, frozen=True):
    """The work is not done yet."""


class Done(msgspec.Struct, frozen=True):
    """The work is done; `result` is its JSON."""

    result: bytes


class Crashed(msgspec.Struct, frozen=True):
    """The work ended without a result, because of this."""

    cause: str


Work = Running | Done | Crashed


class Readiness(msgspec.Struct, frozen=True):
    """Whether everybody who has to hold a version holds it. failed: why somebody cannot, "" when nobody said so."""

    ready: bool
    failed: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What live traffic has shown of a rollout. requests_24h: that a day brings the whole service, in business time.

    pace: requests a day at the rate of the last minutes, by which a time is foretold. idle: microseconds since the
    last one. alike: the scores of a shadow beside those that were answered. failures: what those of the version say.
    """

    tally: Tally
    requests_24h: float
    pace: float
    idle: int = 0
    alike: Alike = Alike()
    failures: Failures = Failures()


class Journal(Protocol):
    """The part of the ledger that the loop needs."""

    def append(self, *drafts: Draft) -> list[Event]: ...

    def read(self, after: int = -1, kinds: Collection[str] | None = None) -> list[Event]: ...


class Planes(Protocol):
    """The planes, as the loop sees them."""

    def paced(self) -> bool:
        """True on a story's clock: work takes its declared business time, and measured latency decides nothing."""

    def declaration(self, digest: Digest) -> ServiceSpec: ...

    # Work

    def submit(self, task: str, work: StageTask, *, memory_mb: int, timeout_s: int) -> None: ...

    def poll(self, task: str) -> Work: ...

    def cancel(self, task: str) -> None: ...

    def keep(self, content: bytes) -> Digest:
        """Keep bytes as a blob."""

    def kept(self, digest: Digest) -> bytes: ...

    def is_kept(self, digest: Digest) -> bool: ...

    # Data

    def committed(self, request: str, service: ServiceName) -> Mapping[str, int] | None:
        """Table versions that hold everything known when this request was first made; None until they stand."""

    def known_to(self) -> Instant | None:
        """Up to when the traffic is known, while what came during an outage is still read; None once all of it is."""

    def observed(self, service: ServiceName, since: Instant, now: Instant) -> Observed:
        """What triggers look at: rows matured since the last run's cut, performance of the champion."""

    def labelled(self, service: ServiceName) -> int:
        """How many of the logged requests have a label that is certain by the newest record."""

    def matured(self, service: ServiceName, since: Instant, now: Instant) -> int:
        """How many of the requests logged after `since` have a label that is mature by now."""

    def labels_for(self, request: str, service: ServiceName, since: Instant, now: Instant) -> Digest:
        """The newest of them, a `core.paired.LoggedLabels` blob; the same for one request as long as this one lives."""

    # Trust

    def manifest(self, version: VersionId) -> Manifest: ...

    def attest_built(self, version: VersionId, service: ServiceName, at: Instant) -> None: ...

    def attest_judged(
        self, version: VersionId, service: ServiceName, at: Instant, verdict: Verdict, reason: str
    ) -> None: ...

    # Deployment

    def routing(self) -> RoutingTable: ...

    def publish(self, table: RoutingTable) -> None: ...

    def followed(self, generation: int) -> bool:
        """Whether every living worker obeys a table of at least this generation (False when none lives).

        One that stands by and has obeyed none yet is not waited for: nobody is answered by it, and what it is to hold
        may have been refused since.
        """

    def held(self, version: VersionId, pool: int) -> Readiness:
        """Whether every worker of a pool has this version loaded and warm, beside all else that is routed to it."""

    def environments(self, besides: ServiceName) -> Mapping[ServiceName, str]:
        """What the champions of the other services run in, as `Manifest.runs_in` says it."""

    def room_for_pool(self) -> str:
        """Why there is no memory for as many workers again as there are, "" where there is."""

    def aftermath(self, service: ServiceName, version: VersionId, before: VersionId, since: Instant) -> Aftermath:
        """What became of the requests of a version since it took over at once, and of those of the one before it."""

    def standing(self, name: Literal["canary", "control", "shadow", "reference"], arm: Arm) -> Readiness:
        """Whether the process of an arm answers."""

    def approvers(self, service: ServiceName, gate: RolloutGate) -> tuple[Approver, ...]:
        """Who is asked at a gate, besides the person that a declaration wants asked."""

    def evidence(self, service: ServiceName, rollout: Rollout, now: Instant) -> Evidence: ...
