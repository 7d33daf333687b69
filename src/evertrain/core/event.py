"""The facts that the ledger keeps. Each is a frozen, tagged value; the tag is the event's kind.

An event says when (business time), who, about what, why, and the fact itself. It never holds data of persons: ids,
digests and counts only. Words that a person typed are kept beside the ledger and named here by digest.
"""

from typing import Literal

import msgspec

from evertrain.core.approval import ApprovalAsked, ApprovalGiven, Decision
from evertrain.core.identity import CycleId, Digest, RolloutId, ServiceName, VersionId
from evertrain.core.intake import (
    BatchIngested,
    FileQuarantined,
    SegmentDamaged,
    SegmentRetired,
    SegmentSealed,
    SourceTypesFixed,
    TableCommitted,
)
from evertrain.core.model import DatasetRef, Fingerprint, Verdict
from evertrain.core.order import OrderAnswered, OrderGiven, ServiceSwitched
from evertrain.core.paired import PairedFigures
from evertrain.core.policy import ShadowSpec
from evertrain.core.pool import PoolClosed, PoolHeld, PoolOpened
from evertrain.core.time import Instant
from evertrain.core.upkeep import (
    AlertCleared,
    AlertRaised,
    ProcessesRestarted,
    ProcessExited,
    StoryMarked,
)

__all__ = [
    "AlertCleared",
    "AlertRaised",
    "ApprovalAsked",
    "ApprovalGiven",
    "BatchIngested",
    "BundleFrozen",
    "ChampionOverridden",
    "ChampionReverted",
    "CycleMoved",
    "DatasetSnapshotted",
    "Decision",
    "Draft",
    "Event",
    "Fact",
    "FileQuarantined",
    "InstallationCreated",
    "ModelVouched",
    "OrderAnswered",
    "OrderGiven",
    "PoolClosed",
    "PoolHeld",
    "PoolOpened",
    "ProcessExited",
    "ProcessesRestarted",
    "RolloutBegun",
    "RolloutMoved",
    "RoutingChanged",
    "SegmentDamaged",
    "SegmentRetired",
    "SegmentSealed",
    "ServiceDeclared",
    "ServiceSwitched",
    "SourceTypesFixed",
    "StageFinished",
    "StoryMarked",
    "TableCommitted",
    "TriggerDecided",
    "VersionBuilt",
    "VersionCleared",
    "VersionJudged",
    "VersionRefused",
    "VersionRescored",
    "kind_of",
]


class _Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of the facts here; each names its tag."""


class InstallationCreated(_Fact, frozen=True, kw_only=True, tag="installation.created"):
    """A state directory was made, with this schema version and signing key."""

    schema: int
    key: str


class BundleFrozen(_Fact, frozen=True, kw_only=True, tag="bundle.frozen"):
    """The user's code was frozen into a bundle."""

    service: ServiceName
    bundle: Digest
    files: int


class ServiceDeclared(_Fact, frozen=True, kw_only=True, tag="service.declared"):
    """declaration: digest of its canonical JSON, kept as a blob. folder: of its sources' files, absolute, if any."""

    service: ServiceName
    declaration: Digest
    bundle: Digest | None
    folder: str = ""


class DatasetSnapshotted(_Fact, frozen=True, kw_only=True, tag="dataset.snapshotted"):
    """The data of a cycle were fixed."""

    service: ServiceName
    cycle: CycleId
    dataset: DatasetRef


class TriggerDecided(_Fact, frozen=True, kw_only=True, tag="trigger.decided"):
    """Every trigger that fired gets one decision. evidence: the numbers that made it fire.

    version: one that was registered before and is to go on trial again. shadow: it is to stay in shadow.
    """

    service: ServiceName
    trigger: str
    decision: Literal["run", "merge", "defer", "skip"]
    cycle: CycleId | None
    cycle_kind: Literal["full", "refresh", "external", "online"] = "full"
    recipe: str = "default"
    evidence: dict[str, float] = {}
    version: VersionId | None = None
    shadow: bool = False


class CycleMoved(_Fact, frozen=True, kw_only=True, tag="cycle.moved"):
    """A retraining cycle made a legal move; `until`: not looked at again before."""

    service: ServiceName
    cycle: CycleId
    move: str
    before: str
    after: str
    until: Instant | None = None


class StageFinished(_Fact, frozen=True, kw_only=True, tag="stage.finished"):
    """A piece of work of a cycle is done; `result` is the digest of its result, kept as a blob."""

    service: ServiceName
    cycle: CycleId
    stage: str
    result: Digest


class VersionBuilt(_Fact, frozen=True, kw_only=True, tag="version.built"):
    """ordinal: 1, 2, 3 ... in order of registration; people say "version 3". recipe: that made it, "" for a file."""

    service: ServiceName
    version: VersionId
    fingerprint: Fingerprint
    ordinal: int
    cycle: CycleId | None
    recipe: str = ""


class VersionJudged(_Fact, frozen=True, kw_only=True, tag="version.judged"):
    """card: digest of the evaluation card (criteria, figures, verdict), kept as a blob.

    evidence: what the verdict rests on, by name. hold: why a person has to decide before it answers more, "" where
    nobody has to. again: it was judged before, and this is what the labels that came since say.
    """

    service: ServiceName
    version: VersionId
    verdict: Verdict
    card: Digest | None
    evidence: dict[str, float] = {}
    hold: str = ""
    again: bool = False


class VersionRescored(_Fact, frozen=True, kw_only=True, tag="version.rescored"):
    """Labelled requests were put to a version and to the one that it is held against.

    look: 1, 2, 3 ... of this pair. known: how many such requests there were. result: digest of the evidence, a blob;
    None: there is none yet.
    """

    service: ServiceName
    version: VersionId
    against: VersionId
    look: int
    known: int
    found: PairedFigures | None
    result: Digest | None


class ModelVouched(_Fact, frozen=True, kw_only=True, tag="model.vouched"):
    """A person trusts a pickle of exactly these bytes, which names these things of other modules.

    names: `module.name`, as far as they stand in the open; whole: whether that is all of them.
    """

    model: Digest
    role: str
    names: tuple[str, ...]
    whole: bool


class VersionRefused(_Fact, frozen=True, kw_only=True, tag="version.refused"):
    """A version must never answer again, unless a person overrides on record."""

    service: ServiceName
    version: VersionId
    fingerprint: Fingerprint
    because: str


class VersionCleared(_Fact, frozen=True, kw_only=True, tag="version.cleared"):
    """The model file of a version that was refused long ago is removed; its manifest, card and attestations stay.

    model: the digest of that file, which stays as long as a version that is not cleared has the same.
    """

    service: ServiceName
    version: VersionId
    model: Digest


class RolloutBegun(_Fact, frozen=True, kw_only=True, tag="rollout.begun"):
    """A version is to enter service by these shares, beside this champion (None: it is the first).

    shadow: a stage before the first share.
    """

    service: ServiceName
    rollout: RolloutId
    version: VersionId
    champion: VersionId | None
    steps: tuple[float, ...]
    cycle: CycleId | None
    shadow: ShadowSpec | None = None


class RolloutMoved(_Fact, frozen=True, kw_only=True, tag="rollout.moved"):
    """step: index into the rollout's shares, -1 before the first. evidence: the figures of the decision."""

    service: ServiceName
    rollout: RolloutId
    version: VersionId
    move: str
    before: str
    after: str
    step: int
    share: float
    evidence: dict[str, float] = {}


class RoutingChanged(_Fact, frozen=True, kw_only=True, tag="routing.changed"):
    """The workers are given a new routing table; route: digest of what is new in it; pool: who takes connections."""

    service: ServiceName
    generation: int
    route: Digest
    champion: VersionId | None
    canary: VersionId | None
    share: float
    before: VersionId | None
    pool: int = 0


class ChampionReverted(_Fact, frozen=True, kw_only=True, tag="champion.reverted"):
    """The champion was taken back; `after` answers again (None: nothing does)."""

    service: ServiceName
    before: VersionId
    after: VersionId | None
    words: Digest | None = None


class ChampionOverridden(_Fact, frozen=True, kw_only=True, tag="champion.overridden"):
    """A person put a version into service past a verdict, or took one back. `words`: digest of what they typed."""

    service: ServiceName
    version: VersionId
    role: str
    words: Digest


Fact = (
    InstallationCreated
    | BundleFrozen
    | ServiceDeclared
    | SourceTypesFixed
    | BatchIngested
    | FileQuarantined
    | SegmentRetired
    | SegmentSealed
    | SegmentDamaged
    | TableCommitted
    | DatasetSnapshotted
    | TriggerDecided
    | CycleMoved
    | StageFinished
    | VersionBuilt
    | VersionJudged
    | VersionRefused
    | VersionCleared
    | VersionRescored
    | ModelVouched
    | RolloutBegun
    | RolloutMoved
    | ApprovalAsked
    | ApprovalGiven
    | RoutingChanged
    | PoolOpened
    | PoolHeld
    | PoolClosed
    | ChampionOverridden
    | ChampionReverted
    | AlertRaised
    | AlertCleared
    | OrderGiven
    | OrderAnswered
    | ServiceSwitched
    | ProcessExited
    | ProcessesRestarted
    | StoryMarked
)


def kind_of(fact: Fact) -> str:
    """The tag of a fact.

    >>> kind_of(AlertCleared(alert="disk"))
    'alert.cleared'
    """
    return str(type(fact).__struct_config__.tag)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An event before the ledger has numbered it.

    id makes appending idempotent: a second draft with the same id changes nothing. subject: what the event is about
    ("service/late-flights", "source/weather", "cycle/late-flights/c3"). reason: one sentence, written by the program.
    """

    id: str
    at: Instant
    actor: str
    subject: str
    reason: str
    fact: Fact


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A draft with its place in the ledger; `sequence` counts from 0."""

    sequence: int
    id: str
    at: Instant
    actor: str
    subject: str
    reason: str
    fact: Fact
