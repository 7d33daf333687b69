"""Golden requests: a few real requests whose answers a version must give again, wherever it is loaded."""

import msgspec

from evertrain.core.schema import Value
from evertrain.core.score import RowScore
from evertrain.core.time import Instant

__all__ = ["Golden", "GoldenRequest"]


class GoldenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer.

    row: the request's columns in the order of the manifest's `inputs`. at: the prediction time q. vector: the model's
    inputs in the order of the manifest's `vector`, before encoding. score: what the model answered to that vector when
    it was packaged; a loaded copy must give exactly this for the vector (None for a model that came as a file:
    any score that is finite and in range will do). Features of the row may have moved on since, so for the row itself
    a score only has to be finite and in range, too.
    """

    row: tuple[Value, ...]
    at: Instant
    vector: tuple[Value, ...]
    score: RowScore | None = None


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """The golden requests of a version, kept as a JSON blob among the artifacts; the manifest names its digest.

    null_score, unseen_score: the answer to the first vector with every category missing, and with every category a
    text that training never saw (None when there are no categories). The two must be equal.
    """

    requests: tuple[GoldenRequest, ...]
    null_score: RowScore | None = None
    unseen_score: RowScore | None = None
