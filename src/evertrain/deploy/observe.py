"""What somebody else's server has answered, as it is posted: logged like our own predictions, under no version.

    {"observations": [{"id": "r-17", "at": "2024-05-01T12:00:00Z", "score": 0.2, "row": {"region": "west"}}]}

`id` names the prediction in somebody else's system; a label says it again as its key. One that is posted again is the
same prediction: its log record has the same id, and the first of them counts. `at` may be left out: it is now then.

What would spoil a report is refused here, where its sender can mend it: a time in the future or of another decade, and
scores and labels of a probability that are none.
"""

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from evertrain.core.cohort import prediction_id
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.model import Output
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.time import DAY, MINUTE, Instant, parse_instant, say_instant
from evertrain.deploy.body import Limits, decode
from evertrain.errors import RequestError, TooLargeError

__all__ = ["OBSERVED", "read_observations", "refuse_labels"]

OBSERVED = VersionId("observed")
"""Stands where a version would: the model is somebody else's."""

_MOST_COLUMNS = 1000
_LONGEST_ID = 200
_AHEAD = 5 * MINUTE
"""So far the clocks of two servers may differ."""
_OLDEST = 3653 * DAY


class _Observation(msgspec.Struct, forbid_unknown_fields=True):
    id: str | int
    score: float
    at: str | None = None
    row: dict[str, str | int | float | bool | None] = {}


class _Observations(msgspec.Struct, forbid_unknown_fields=True):
    observations: list[_Observation]


_observations = msgspec.json.Decoder(_Observations)
_encoder = msgspec.json.Encoder(order="deterministic")


def read_observations(
    body: bytes, service: ServiceName, received: Instant, limits: Limits, output: Output | None = None
) -> list[Predicted]:
    """The observations as log records. The row is kept as one JSON text: its columns are nobody's declaration.

    output: what scores are; a probability where nobody said.
    """
    found = decode(body, _observations, limits.max_nesting).observations
    if not found:
        raise RequestError("There are no observations.", "Send at least one.", field="observations")
    if len(found) > limits.max_rows:
        raise TooLargeError(
            f"{len(found)} observations are over the limit of {limits.max_rows}.", "Send fewer.", field="observations"
        )
    span = (output or Output()).low, (output or Output()).high
    return [_record(one, number, service, received, span) for number, one in enumerate(found)]


def refuse_labels(labels: Sequence[Labelled], output: Output | None) -> None:
    """RequestError for a label of a probability that is neither 0 nor 1: one of them, and all labels are numbers."""
    if (output or Output()).kind != "probability":
        return
    for number, label in enumerate(labels):
        if label.value not in (0.0, 1.0):
            raise RequestError(
                f"Label {number} is {label.value:g}, and the score is the probability of a label of 1.",
                "Send 0 or 1; of a number that is predicted, watch with --kind value.",
                field=f"labels[{number}].value",
            )


def _record(
    one: _Observation, number: int, service: ServiceName, received: Instant, span: tuple[float | None, float | None]
) -> Predicted:
    key, field = str(one.id), f"observations[{number}]"
    if not 0 < len(key) <= _LONGEST_ID:
        raise RequestError(
            f"Observation {number}: an id has 1 to {_LONGEST_ID} characters.", "Send the id that you know it by.",
            field=f"{field}.id",
        )  # fmt: skip
    if not math.isfinite(one.score):
        raise RequestError(f"Observation {number}: the score is not finite.", "Send a number.", field=f"{field}.score")
    low, high = span
    if (low is not None and one.score < low) or (high is not None and one.score > high):
        raise RequestError(
            f"Observation {number}: the score is {one.score:g}, and a probability lies between 0 and 1.",
            "Send the probability of a label of 1; of a number that is predicted, watch with --kind value.",
            field=f"{field}.score",
        )
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
    field = f"observations[{number}].at"
    try:
        at = parse_instant(text)
    except (ValueError, OverflowError) as error:
        raise RequestError(
            f"Observation {number}: at: {error}.", "Send ISO 8601 with an offset.", field=field
        ) from error
    if received - _OLDEST <= at <= received + _AHEAD:
        return at
    said = "in the future" if at > received else "more than ten years ago"
    raise RequestError(
        f"Observation {number}: at is {say_instant(at)}, which is {said}: it is {say_instant(received)} here.",
        "Send the time of the prediction, or leave it out: it is now then.",
        field=field,
    )
