"""What somebody else's server has answered, as it is posted: logged like our own predictions, under no version.

    {"observations": [{"id": "r-17", "at": "2024-05-01T12:00:00Z", "score": 0.2, "row": {"region": "west"}}]}

`id` names the prediction in somebody else's system; a label says it again as its key. One that is posted again is the
same prediction: its log record has the same id, and the first of them counts. `at` may be left out: it is now then.
"""

import math
from typing import Any

import msgspec

from evertrain.core.cohort import prediction_id
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Predicted
from evertrain.core.time import Instant, parse_instant
from evertrain.deploy.body import decode
from evertrain.deploy.protocol import Limits
from evertrain.errors import RequestError, TooLargeError

__all__ = ["OBSERVED", "read_observations"]

OBSERVED = VersionId("observed")
"""Stands where a version would: the model is somebody else's."""

_MOST_COLUMNS = 1000
_LONGEST_ID = 200


class _Observation(msgspec.Struct, forbid_unknown_fields=True):
    id: str | int
    score: float
    at: str | None = None
    row: dict[str, str | int | float | bool | None] = {}


class _Observations(msgspec.Struct, forbid_unknown_fields=True):
    observations: list[_Observation]


_observations = msgspec.json.Decoder(_Observations)
_encoder = msgspec.json.Encoder(order="deterministic")


def read_observations(body: bytes, service: ServiceName, received: Instant, limits: Limits) -> list[Predicted]:
    """The observations as log records. The row is kept as one JSON text: its columns are nobody's declaration."""
    found = decode(body, _observations, limits.max_nesting).observations
    if not found:
        raise RequestError("There are no observations.", "Send at least one.", field="observations")
    if len(found) > limits.max_rows:
        raise TooLargeError(
            f"{len(found)} observations are over the limit of {limits.max_rows}.", "Send fewer.", field="observations"
        )
    return [_record(one, number, service, received) for number, one in enumerate(found)]


def _record(one: _Observation, number: int, service: ServiceName, received: Instant) -> Predicted:
    key, field = str(one.id), f"observations[{number}]"
    if not 0 < len(key) <= _LONGEST_ID:
        raise RequestError(
            f"Observation {number}: an id has 1 to {_LONGEST_ID} characters.", "Send the id that you know it by.",
            field=f"{field}.id",
        )  # fmt: skip
    if not math.isfinite(one.score):
        raise RequestError(f"Observation {number}: the score is not finite.", "Send a number.", field=f"{field}.score")
    if len(one.row) > _MOST_COLUMNS:
        raise TooLargeError(
            f"Observation {number}: the row has more than {_MOST_COLUMNS} columns.", "Send fewer.", field=f"{field}.row"
        )
    odd = _unfit(one.row)
    if odd is not None:
        raise RequestError(
            f"Observation {number}: {odd!r} is not finite.",
            "Send null for what is missing.",
            field=f"{field}.row.{odd}",
        )
    return Predicted(
        id=prediction_id(service, key, 0, ()),
        service=service,
        version=OBSERVED,
        key=key,
        at=_at(one.at, number, received),
        received=received,
        row=(_encoder.encode(one.row).decode(),),
        vector=(),
        score=one.score,
        arm="champion",
        assigned="champion",
        latency_us=0,
    )


def _unfit(row: dict[str, Any]) -> str | None:
    return next((name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)), None)


def _at(text: str | None, number: int, received: Instant) -> Instant:
    if text is None:
        return received
    try:
        return parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise RequestError(
            f"Observation {number}: at: {error}.", "Send ISO 8601 with an offset.", field=f"observations[{number}].at"
        ) from error
