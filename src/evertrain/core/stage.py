"""The work of a cycle, as values: what each stage is asked and what it answers.

A stage runs in a process of its own and is a pure function of its arguments: the same arguments give the same
digests, so a stage that was interrupted is simply run again. Files travel as digests of blobs. A stage that cannot be
done (the user's code, the user's data) gives no answer: its process says why on stderr and exits with code 1.
"""

from typing import Literal

import msgspec

from evertrain.core.identity import CycleId, Digest, ServiceName, VersionId
from evertrain.core.model import DatasetRef, Fingerprint, Verdict
from evertrain.core.paired import Paired
from evertrain.core.policy import MetricName
from evertrain.core.rehearsal import Rehearsed
from evertrain.core.score import RowScore
from evertrain.core.time import Instant

__all__ = [
    "Assemble",
    "Assembled",
    "Check",
    "Evaluate",
    "Evaluated",
    "Rehearse",
    "Reproduce",
    "Reproduced",
    "Rescore",
    "Rescored",
    "Sameness",
    "StageTask",
    "Train",
    "Trained",
    "TrainingRecord",
]

Sameness = Literal["bitwise", "prediction", "different"]


class _Stage(msgspec.Struct, frozen=True, kw_only=True, tag_field="stage", forbid_unknown_fields=True):
    """Base of all tasks; each names its tag."""


class Assemble(_Stage, frozen=True, kw_only=True, tag="assemble", forbid_unknown_fields=True):
    """Build training and holdout rows from the source tables at these versions, as known at `cut`.

    declaration: digest of the ServiceSpec blob. tables: "source.<name>" to version.
    """

    service: ServiceName
    cycle: CycleId
    declaration: Digest
    bundle: Digest | None
    tables: dict[str, int]
    cut: Instant


class Assembled(msgspec.Struct, frozen=True, kw_only=True):
    """Two Parquet blobs in canonical order (prediction time, key), split out of time.

    training: labels mature at `boundary` or before. holdout: prediction times in (boundary, end], all mature at the
    cut. features: digest of the feature definitions that computed both. missing_labels: share of mature examples
    without a label (they are in neither file). base_rate: mean label of the training rows, of classes
    the share of each. Either side may be empty while history is short.
    """

    dataset: DatasetRef
    declaration: Digest
    bundle: Digest | None
    features: Digest
    training: Digest
    holdout: Digest
    training_rows: int
    holdout_rows: int
    boundary: Instant
    end: Instant
    missing_labels: float
    base_rate: RowScore


class Rehearse(_Stage, frozen=True, kw_only=True, tag="rehearse", forbid_unknown_fields=True):
    """Run a recipe on the older part of the training rows and score the newer part; answered by a `Rehearsed`."""

    service: ServiceName
    cycle: CycleId
    assembled: Assembled
    recipe: str
    seed: int = 0
    threads: int = 1
    parameters: dict[str, str | int | float | bool] = {}


class Train(_Stage, frozen=True, kw_only=True, tag="train", forbid_unknown_fields=True):
    """Run a recipe of the bundle on assembled rows and package what it returns.

    rehearsals, chosen: of all recipes that competed, and why this one was taken; empty when there was only one.
    """

    service: ServiceName
    cycle: CycleId
    assembled: Assembled
    recipe: str = "default"
    seed: int = 0
    threads: int = 1
    parameters: dict[str, str | int | float | bool] = {}
    rehearsals: tuple[Rehearsed, ...] = ()
    chosen: str = ""


class TrainingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a training was run with: enough to run it again from the blobs alone.

    parameters: what the caller set; what the recipe itself recorded stands in the manifest.
    """

    service: ServiceName
    cycle: CycleId
    declaration: Digest
    bundle: Digest | None
    recipe: str
    seed: int
    threads: int
    parameters: dict[str, str | int | float | bool]
    dataset: DatasetRef
    training: Digest
    features: Digest
    environment: dict[str, str]
    interpreter: str
    platform: str
    rehearsals: tuple[Rehearsed, ...] = ()
    chosen: str = ""


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A packaged version that nobody has signed yet. record: digest of its TrainingRecord blob."""

    version: VersionId
    fingerprint: Fingerprint
    record: Digest
    recipe: str = ""


class Evaluate(_Stage, frozen=True, kw_only=True, tag="evaluate", forbid_unknown_fields=True):
    """Hold a challenger against the champion and the anchor on the holdout rows, in real check servers.

    timed: whether measured latency may decide (on a story's clock it is only reported). seed: of the bootstrap.
    deadline_s: after so long without an answer a version counts as hanging.
    """

    service: ServiceName
    cycle: CycleId
    assembled: Assembled
    challenger: VersionId
    champion: VersionId | None = None
    anchor: VersionId | None = None
    timed: bool = True
    seed: int = 0
    deadline_s: float = 30.0


class Check(_Stage, frozen=True, kw_only=True, tag="check", forbid_unknown_fields=True):
    """Load and query an imported version in a check server: every golden score exact, finite and in range.

    champion, tables: with a champion, the version is judged beside it too, on the logged requests that have a label
    in these versions of the service's tables, where there are enough of them.
    """

    service: ServiceName
    version: VersionId
    declaration: Digest
    champion: VersionId | None = None
    tables: dict[str, int] = {}
    timed: bool = True
    deadline_s: float = 30.0


class Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, why, and the digest of the card that tells the whole story.

    evidence: what it rests on, by name: labelled rows, requests on which it was compared without labels. hold: why a
    person has to decide before it answers more, "" where nobody has to. worse: whether it is shown to be worse than the
    other version, beyond the margin. unchecked: why nothing could be found out here, which says nothing about the
    version; the verdict means nothing then, and there is no card.
    """

    version: VersionId
    verdict: Verdict
    reasons: tuple[str, ...]
    card: Digest
    evidence: dict[str, float] = {}
    hold: str = ""
    worse: bool = False
    unchecked: str = ""


class Rescore(_Stage, frozen=True, kw_only=True, tag="rescore", forbid_unknown_fields=True):
    """Put labelled requests to two versions, whoever answered them, and go on with the evidence of the look before.

    rows: digest of a `core.paired.LoggedLabels` blob; what stands in `before`, a `Rescored` blob, is not scored again.
    tables: versions of the tables in which those requests stand. deadline_s: of a batch.
    """

    service: ServiceName
    version: VersionId
    against: VersionId
    declaration: Digest
    tables: dict[str, int]
    rows: Digest
    before: Digest | None = None
    deadline_s: float = 30.0


class Rescored(msgspec.Struct, frozen=True, kw_only=True):
    """metric: of the losses. counted: prediction ids of the rows of this look that the evidence holds, shortened."""

    metric: MetricName
    evidence: Paired
    counted: tuple[str, ...]


class Reproduce(_Stage, frozen=True, kw_only=True, tag="reproduce", forbid_unknown_fields=True):
    """Run the training of a version again and compare. threads: other than recorded, to see what they change."""

    service: ServiceName
    version: VersionId
    threads: int | None = None


class Reproduced(msgspec.Struct, frozen=True, kw_only=True):
    """bitwise: the same model file. prediction: another file, the same scores. different: other scores, or none.

    causes: what differs between the record and this run, in words; may be empty when bitwise only.
    """

    version: VersionId
    sameness: Sameness
    causes: tuple[str, ...]
    largest_difference: float | None = None


StageTask = Assemble | Rehearse | Train | Evaluate | Check | Rescore | Reproduce
