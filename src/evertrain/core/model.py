"""A model version: its manifest, the attestations that let it answer, and what a refusal remembers."""

from typing import Literal

import msgspec

from evertrain.core.identity import CycleId, Digest, ServiceName, VersionId, digest_of
from evertrain.core.schema import Input, Schema
from evertrain.core.time import Instant

__all__ = ["Attestation", "DatasetRef", "Fingerprint", "Format", "Manifest", "Output", "Verdict", "Vouched"]

Format = Literal["lightgbm", "xgboost", "onnx", "sklearn", "pickle", "callable"]
Verdict = Literal["pass", "fail", "error", "inconclusive", "health only", "override"]


class DatasetRef(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset version: which committed table versions, cut at which instant, with which digest of its rows."""

    digest: Digest
    tables: dict[str, int]
    cut: Instant
    rows: int


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What one score is, and the inclusive range that it must lie in. NaN is always a failure."""

    name: str = "score"
    kind: Literal["probability", "value"] = "probability"
    low: float | None = 0.0
    high: float | None = 1.0


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
    `core.stage.TrainingRecord`.
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

    @property
    def version(self) -> VersionId:
        return VersionId(digest_of(self))

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
