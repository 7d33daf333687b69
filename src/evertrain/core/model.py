"""A model version: its manifest, the attestations that let it answer, and what a refusal remembers."""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from evertrain.core.identity import CycleId, Digest, ServiceName, VersionId, digest_of
from evertrain.core.schema import Input, Schema
from evertrain.core.time import Instant
from evertrain.errors import UserError

__all__ = [
    "CAUTION",
    "FEWEST_CLASSES",
    "MOST_CLASSES",
    "Attestation",
    "DatasetRef",
    "Fingerprint",
    "Format",
    "Manifest",
    "Output",
    "OutputKind",
    "Verdict",
    "Vouched",
]

Format = Literal["lightgbm", "xgboost", "onnx", "sklearn", "pickle", "callable"]
FEWEST_CLASSES: Final = 3
MOST_CLASSES: Final = 1_000
CAUTION: Final = "caution"
"""The parameter under which a training records what a person should know of its version."""
OutputKind = Literal["probability", "value", "classes"]
Verdict = Literal["pass", "fail", "error", "inconclusive", "health only", "override"]


class DatasetRef(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset version: which committed table versions, cut at which instant, with which digest of its rows."""

    digest: Digest
    tables: dict[str, int]
    cut: Instant
    rows: int


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a model says of a row, and the inclusive range that each number must lie in. NaN is always a failure.

    A "probability" is that of a label of 1, a "value" is any number; of "classes", 3 or more, each has a probability.
    classes: their names, in the order of the model's probabilities; a label is the place of one of them. Absent for
    the other kinds, so that what they were digested to before there were classes stays what it was.

    >>> Output.of_classes(("bus", "car", "tram")).names, Output().names
    (('bus', 'car', 'tram'), ())
    """

    name: str = "score"
    kind: OutputKind = "probability"
    low: float | None = 0.0
    high: float | None = 1.0
    classes: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of_classes(cls, names: Iterable[str]) -> "Output":
        """UserError where these cannot be classes."""
        classes = tuple(names)
        if len(set(classes)) < len(classes) or not all(classes):
            raise UserError(f"A class has no name, or two have one: {', '.join(classes[:8])}.", "Name each one once.")
        if not FEWEST_CLASSES <= len(classes) <= MOST_CLASSES:
            raise UserError(
                f"There are {len(classes)} classes.",
                f"Name {FEWEST_CLASSES} to {MOST_CLASSES}; of two, the label is 0 or 1, and the score its probability.",
            )
        return cls(kind="classes", classes=classes)

    @classmethod
    def of_values(cls) -> "Output":
        return cls(kind="value", low=None, high=None)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes; () for the other kinds."""
        return () if self.classes is msgspec.UNSET else self.classes


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """What a refusal matches, whatever the name, the references or the time."""

    model: Digest
    features: Digest
    threshold: float | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a version is. Its digest is the version's id, so it holds no wall-clock time.

    model: digest of the model file; bundle: digest of the user's code, None when a model file was served as it is;
    features: digest of the feature definitions (or of `inputs`, when there are none); inputs: the columns a caller
    sends; vector: the model's inputs, in order; environment: name to version of each package that it needs.
    declaration: digest of the service's declaration, a JSON blob; golden: digest of the golden requests, a JSON blob
    of `core.golden.Golden`; record: digest of what its training was run with, a JSON blob of
    `core.stage.TrainingRecord`. lock: digest of the lock whose packages the version runs with, a blob; absent for a
    version that runs with the installation's own, so that the ids of such versions stay what they were.
    """

    service: ServiceName
    format: Format
    model: Digest
    bundle: Digest | None
    features: Digest
    inputs: Schema
    vector: tuple[Input, ...]
    output: Output
    threshold: float | None = None
    environment: dict[str, str] = {}
    dataset: DatasetRef | None = None
    parameters: dict[str, str | int | float | bool] = {}
    recipe: str = "default"
    origin: CycleId | Literal["import"] = "import"
    declaration: Digest | None = None
    golden: Digest | None = None
    record: Digest | None = None
    lock: Digest | msgspec.UnsetType = msgspec.UNSET

    @property
    def runs_in(self) -> str:
        """The environment that it can be loaded in, as `State.interpreter` takes it; "" for the installation's own."""
        return "" if self.lock is msgspec.UNSET else self.lock

    @property
    def version(self) -> VersionId:
        return VersionId(digest_of(self))

    @property
    def caution(self) -> str:
        """What a person should know of the version before it answers; "" where nothing is to be known."""
        return str(self.parameters.get(CAUTION, ""))

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(model=self.model, features=self.features, threshold=self.threshold)


class Attestation(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement about a version.

    *built*: the trainer or importer has exited and this is what it left. *judged*: this verdict allows this version
    to answer for this service. A check server accepts *built*; everything that answers users needs both.
    The signature is Ed25519 over the canonical JSON of the statement with an empty signature.
    """

    kind: Literal["built", "judged"]
    version: VersionId
    service: ServiceName
    at: Instant
    verdict: Verdict | None = None
    reason: str = ""
    key: str = ""
    signature: str = ""


class Vouched(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement that a person trusts a file whose loading runs code: these bytes, and no others."""

    model: Digest
    at: Instant
    role: str
    key: str = ""
    signature: str = ""
