"""What is known of one service: its versions, cycles, rollouts and decisions, as `core.registry` folds them."""

from collections.abc import Iterable

import msgspec

from evertrain.core import cycle as cycles
from evertrain.core import rollout as rollouts
from evertrain.core.absence import Absence
from evertrain.core.approval import Approval, RolloutGate
from evertrain.core.cycle import MAX_LOOKS, CycleState, Kind
from evertrain.core.event import Event, VersionRescored
from evertrain.core.identity import CycleId, Digest, RolloutId, ServiceName, VersionId, short
from evertrain.core.model import DatasetRef, Fingerprint, Verdict
from evertrain.core.policy import ShadowSpec
from evertrain.core.pool import Pools
from evertrain.core.rehearsal import asked_for
from evertrain.core.rollout import RolloutState
from evertrain.core.routing import Refusal
from evertrain.core.time import Instant

__all__ = ["Cycle", "Decision", "Rollout", "ServiceRecord", "Version"]


class Version(msgspec.Struct, kw_only=True):
    """A registered model version and what became of it.

    overruled: why it was refused before a person put it into service all the same. judged: when it was last, of
    `verdicts` times; evidence: what that rests on; hold: why a person has to decide before it gets more traffic.
    """

    version: VersionId
    ordinal: int
    fingerprint: Fingerprint
    cycle: CycleId | None
    built: Instant
    verdict: Verdict | None = None
    why: str = ""
    card: Digest | None = None
    judged: Instant = Instant(0)
    verdicts: int = 0
    evidence: dict[str, float] = {}
    hold: str = ""
    refused: str = ""
    overruled: str = ""
    championed: Instant | None = None
    retired: Instant | None = None
    recipe: str = ""
    cleared: bool = False


class Cycle(msgspec.Struct, kw_only=True):
    """One run of the loop: where it stands and what it has made.

    since: when it came into its state. until: a held cycle is not looked at before. looks: how often it was looked at
    again. stages: finished work to the blob of its result. declaration, bundle: what it works by, which is fixed
    together with its data. shadow: its version is to stay in shadow until a person promotes it.
    """

    cycle: CycleId
    kind: Kind
    recipe: str
    trigger: str
    began: Instant
    since: Instant
    why: str
    state: CycleState = CycleState.TRIGGERED
    until: Instant | None = None
    looks: int = 0
    dataset: DatasetRef | None = None
    version: VersionId | None = None
    rollout: RolloutId | None = None
    stages: dict[str, Digest] = {}
    declaration: Digest | None = None
    bundle: Digest | None = None
    shadow: bool = False

    @property
    def open(self) -> bool:
        return not cycles.is_terminal(self.state)

    @property
    def looked_out(self) -> bool:
        """Whether no look is left."""
        return self.looks >= MAX_LOOKS


class Rollout(msgspec.Struct, kw_only=True):
    """One attempt to put a version into service.

    champion: what answers everything else, None when this is the first version. steps: the declared shares; step:
    index into them, -1 before the first. shares: from when on it got which share of the traffic. reviewed: the step in
    which its version was judged again last, -2 when it was not. approvals: what was asked at each gate, by approver.
    shadow: the stage before the first share, None when it is over; mirrored: since when it saw which share of the
    requests. falls: how often its process ended by itself since the last move; fell: why, the last time. absence: ends
    since then that say nothing of the version.
    """

    rollout: RolloutId
    version: VersionId
    champion: VersionId | None
    steps: tuple[float, ...]
    cycle: CycleId | None
    began: Instant
    since: Instant
    why: str
    state: RolloutState = RolloutState.PENDING
    step: int = -1
    shares: list[tuple[Instant, float]] = []
    evidence: dict[str, float] = {}
    reviewed: int = -2
    approvals: dict[RolloutGate, dict[str, Approval]] = {}
    shadow: ShadowSpec | None = None
    mirrored: tuple[Instant, float] | None = None
    falls: int = 0
    fell: str = ""
    absence: Absence | None = None

    @property
    def started(self) -> Instant | None:
        """When it first got traffic."""
        return next((at for at, share in self.shares if share > 0), None)

    @property
    def stepped(self) -> Instant | None:
        """When its share became what it is, None before the first."""
        return self.shares[-1][0] if self.shares else None

    @property
    def open(self) -> bool:
        return not rollouts.is_over(self.state)

    @property
    def unanswered(self) -> list[Approval]:
        """The questions that nobody has answered yet."""
        asked = (one for gate in self.approvals.values() for one in gate.values())
        return [one for one in asked if one.decision is None]

    @property
    def absent(self) -> str:
        """What keeps it from being tried, "" where nothing does."""
        return self.absence.says if self.absence is not None and self.state is RolloutState.PREPARING else ""

    @property
    def share(self) -> float:
        """Of all requests, now."""
        return self.steps[self.step] if self.state is RolloutState.STEPPING else 0.0

    @property
    def last_step(self) -> bool:
        return self.step == len(self.steps) - 1


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """An event that a person would ask "why?" about."""

    sequence: int
    at: Instant
    kind: str
    subject: str
    outcome: str
    reason: str


class ServiceRecord(msgspec.Struct, kw_only=True):
    """Everything that the ledger says of one service.

    heard: which trigger got which decision since which cycle, so that a standing trigger is not recorded at each look.
    served: the champions one after the other, a version that came again as often as it did. wanted: the recipe of a
    retraining that a person asked for and that begins when the cycle before it has ended. enabled: False where a person
    turned the service off; notice: what those who ask are told then. rescored: what rescoring found last of a version.
    pools: of all services of an installation, which share them.
    """

    service: ServiceName
    declaration: Digest | None = None
    bundle: Digest | None = None
    versions: dict[VersionId, Version] = {}
    cycles: dict[CycleId, Cycle] = {}
    rollouts: dict[RolloutId, Rollout] = {}
    champion: VersionId | None = None
    anchor: VersionId | None = None
    generation: int = 0
    routed: Digest | None = None
    refusals: list[Refusal] = []
    decisions: list[Decision] = []
    orders: dict[int, Event] = {}
    declared: Instant = Instant(0)
    folder: str = ""
    heard: set[tuple[str, str, CycleId | None]] = set()
    served: list[VersionId] = []
    wanted: str | None = None
    enabled: bool = True
    notice: str = ""
    rescored: dict[VersionId, VersionRescored] = {}
    pools: Pools = msgspec.field(default_factory=Pools)

    @property
    def previous(self) -> VersionId | None:
        """The version that a rollback goes to: of those that served, the last one that is not refused.

        One that needs other libraries than the workers have counts as long as those that have them stand by.
        """
        before = (one for one in reversed(self.served) if one != self.champion and not self.versions[one].refused)
        return next((one for one in before if self.pools.reaches(self.service, one)), None)

    @property
    def open_cycles(self) -> list[Cycle]:
        return [cycle for cycle in self.cycles.values() if cycle.open]

    def rests(self, version: VersionId) -> bool:
        """Whether a registered version neither answers nor is under way to it."""
        busy = {self.champion, *(cycle.version for cycle in self.open_cycles)}
        return version not in busy and (self.open_rollout is None or self.open_rollout.version != version)

    @property
    def newest_cycle(self) -> CycleId | None:
        return next(reversed(self.cycles), None)

    @property
    def open_rollout(self) -> Rollout | None:
        return next((rollout for rollout in self.rollouts.values() if rollout.open), None)

    @property
    def last_run(self) -> Cycle | None:
        """The newest cycle that trains, however it ended."""
        runs = [cycle for cycle in self.cycles.values() if cycle.kind in ("full", "refresh")]
        return runs[-1] if runs else None

    def last_run_by(self, asked: str, declared: Iterable[str]) -> Cycle | None:
        """The newest of them that trained by all recipes that are asked for; names as `core.rehearsal.asked_for`."""
        declared = tuple(declared)
        wanted = {*asked_for(asked, declared)}
        runs = (one for one in reversed(self.cycles.values()) if one.kind in ("full", "refresh"))
        return next((one for one in runs if wanted <= {*asked_for(one.recipe, declared)}), None)

    def declared_since(self, cycle: Cycle) -> bool:
        """Whether another declaration, or other code, is in force than the one that a cycle works by."""
        return (cycle.declaration, cycle.bundle) != (self.declaration, self.bundle)

    def refusal_of(self, fingerprint: Fingerprint) -> Refusal | None:
        """The standing refusal of an artifact, whatever it is called now."""
        return next((refusal for refusal in self.refusals if refusal.fingerprint == fingerprint), None)

    def ordinal_of(self, version: VersionId | None) -> int | None:
        """The number by which people know a version; None of one that is not on record."""
        return None if version is None or version not in self.versions else self.versions[version].ordinal

    def say_refused(self, refusal: Refusal) -> str:
        """That an artifact comes again which a refusal bars, by the number that people know it by."""
        ordinal = self.ordinal_of(refusal.version)
        named = short(refusal.version) if ordinal is None else f"version {ordinal}"
        return f"The same artifact was refused as {named}: {refusal.reason}"
