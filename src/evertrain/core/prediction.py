"""What workers write to the log: answered predictions, failures of a version on trial, labels that clients post."""

from typing import Literal

import msgspec

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.schema import Value
from evertrain.core.score import Cause, RowScore
from evertrain.core.time import Instant

__all__ = ["ArmName", "Failed", "Labelled", "Predicted", "Record", "SeenArm", "Shadowed"]

ArmName = Literal["champion", "canary", "control"]
"""Who may answer a user."""

SeenArm = Literal["champion", "canary", "control", "shadow"]
"""Who may be asked: the shadow too, and nobody gets its answer."""


class Predicted(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="p"):
    """One answered prediction, written before its response leaves.

    id: the prediction id, 32 hexadecimal digits. key: the entity key of the example, "" where none is declared.
    at: the prediction time q. received: the business clock when the request came. row: the validated request columns,
    in the schema's order. vector: the model's inputs, numbers and category texts as they were before encoding; () where
    they are the row as it is, which is then written once: read `inputs`.
    arm: who computed the score; assigned: the arm whose share the request fell in (a canary's failure is answered by
    the champion: arm "champion", assigned "canary"). latency_us: from request read to answer ready, monotonic.
    batch: ties the rows of one request together, "" for a single row. load: True for the tagged steady load of a
    story, which is left out of evidence, labels and monitoring. retry: True for a repeated request id.
    scores: where the service answers with classes, the probability of each, in their order; `score` is that of the most
    probable one.
    """

    id: str
    service: ServiceName
    version: VersionId
    key: str
    at: Instant
    received: Instant
    row: tuple[Value, ...]
    vector: tuple[Value, ...]
    score: float
    arm: ArmName
    assigned: ArmName
    latency_us: int
    batch: str = ""
    load: bool = False
    retry: bool = False
    scores: tuple[float, ...] = ()

    @property
    def inputs(self) -> tuple[Value, ...]:
        """What the model was asked."""
        return self.vector or self.row


class Failed(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="f"):
    """A version on trial (or its control arm, or the champion itself) could not answer; somebody else did, or nobody.

    cause: one word ("error", "deadline", "crash", "nan", "range", "protocol"), detail: one line.
    """

    id: str
    service: ServiceName
    version: VersionId
    key: str
    at: Instant
    received: Instant
    arm: ArmName
    cause: Literal["error", "deadline", "crash", "nan", "range", "protocol"]
    detail: str
    latency_us: int
    load: bool = False
    retry: bool = False


class Labelled(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="l"):
    """A label, by prediction id or by entity key (one of them is "").

    known: when the value became known, declared by the client or else the arrival. received: the business clock.
    value: of a service that answers with classes, the place of the class among them.
    filed: it came as a row of its source and stands there already; all others were posted by a client. A later label
    of the same example corrects the earlier one.
    """

    service: ServiceName
    prediction: str
    key: str
    value: float
    known: Instant
    received: Instant
    filed: bool = False


class Shadowed(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag="s"):
    """What a version in shadow said to a live request that somebody else had answered. It is nobody's prediction.

    id, key, at, received, batch: of the prediction that was answered by `champion` with `answered`. score: None where
    it failed, and then cause and detail say how; a batch fails once, under the id of its first row. otherwise: the two
    decide otherwise. latency_us: until its answer was there.
    """

    id: str
    service: ServiceName
    version: VersionId
    champion: VersionId
    key: str
    at: Instant
    received: Instant
    score: RowScore | None
    answered: RowScore
    otherwise: bool
    latency_us: int
    batch: str = ""
    cause: Cause | Literal[""] = ""
    detail: str = ""


Record = Predicted | Failed | Labelled | Shadowed
