"""What somebody else's server posts: read whole and lossless, or refused with the field."""

from typing import Any

import msgspec
import pytest

from evertrain.core.identity import ServiceName
from evertrain.core.model import Output
from evertrain.core.prediction import Labelled
from evertrain.core.time import parse_instant
from evertrain.deploy.body import Limits
from evertrain.deploy.observe import OBSERVED, read_observations, refuse_labels
from evertrain.errors import RequestError, TooLargeError

CHURN = ServiceName("churn")
NOW = parse_instant("2024-05-02T00:00:00Z")
LIMITS = Limits(max_rows=3)
GOOD = {"id": "r1", "at": "2024-05-01T12:00:00+02:00", "score": 0.25, "row": {"region": "west"}}


def read(*observations: Any) -> list[Any]:
    return read_observations(msgspec.json.encode({"observations": observations}), CHURN, NOW, LIMITS)


def test_an_observation_is_a_prediction_of_no_version() -> None:
    (one,) = read(GOOD)
    assert (one.version, one.key, one.score, one.received) == (OBSERVED, "r1", 0.25, NOW)
    assert one.at == parse_instant("2024-05-01T10:00:00Z")
    assert len(one.id) == 32


def test_one_that_is_posted_again_is_the_same_prediction() -> None:
    (first,), (again,), (other,) = read(GOOD), read({**GOOD, "score": 0.3}), read({**GOOD, "id": "r2"})
    assert first.id == again.id != other.id


def test_the_row_is_kept_as_it_came() -> None:
    row = {"zip": "02139", "country": "NA", "account": 9007199254740993, "name": "Grüße ☃", "none": None, "vip": True}
    (one,) = read({"id": 17, "score": 1, "row": row})
    assert one.key == "17"
    assert one.at == NOW
    assert msgspec.json.decode(one.row[0]) == row


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": ""}, "observations[0].id"),
        ({"id": "x" * 201}, "observations[0].id"),
        ({"score": "0.5"}, "observations[0].score"),
        ({"score": None}, "observations[0].score"),
        ({"at": "2024-05-01T12:00:00"}, "observations[0].at"),
        ({"at": "yesterday"}, "observations[0].at"),
        ({"at": "2024-05-02T00:05:01Z"}, "observations[0].at"),
        ({"at": "1970-01-01T00:00:00Z"}, "observations[0].at"),
        ({"score": 1.7}, "observations[0].score"),
        ({"row": {"a": [1]}}, "observations[0].row[...]"),
        ({"rows": {}}, "observations[0]"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as caught:
        read({**GOOD, **change})
    assert caught.value.field == field


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"observations": []}', b'{"observations": [{"id": "a", "score": NaN}]}']
)
def test_bodies_that_hold_nothing_are_refused(body: bytes) -> None:
    with pytest.raises(RequestError):
        read_observations(body, CHURN, NOW, LIMITS)


def test_clocks_may_differ_a_little_and_values_are_any_number() -> None:
    (one,) = read_observations(
        msgspec.json.encode({"observations": [{"id": "a", "at": "2024-05-02T00:04:59Z", "score": -17.5}]}),
        CHURN, NOW, LIMITS, Output(kind="value", low=None, high=None),
    )  # fmt: skip
    assert (one.score, one.at > NOW) == (-17.5, True)


def test_one_label_that_is_no_outcome_of_a_probability_is_refused() -> None:
    labels = [
        Labelled(service=CHURN, prediction="", key="a", value=value, known=NOW, received=NOW)
        for value in (0.0, 1.0, 2.0)
    ]
    refuse_labels(labels[:2], None)
    refuse_labels(labels, Output(kind="value", low=None, high=None))
    with pytest.raises(RequestError, match="Label 2 is 2, and the score is the probability") as caught:
        refuse_labels(labels, None)
    assert caught.value.field == "labels[2].value"


@pytest.mark.parametrize("number", [b"1e999", b"-1e999"])
def test_numbers_beyond_a_float_are_refused(number: bytes) -> None:
    for body in (b'{"id": "a", "score": %s}' % number, b'{"id": "a", "score": 1, "row": {"x": %s}}' % number):
        with pytest.raises(RequestError):
            read_observations(b'{"observations": [%s]}' % body, CHURN, NOW, LIMITS)


def test_requests_are_bounded() -> None:
    with pytest.raises(TooLargeError, match="4 observations are over the limit of 3"):
        read(*[GOOD] * 4)
    with pytest.raises(TooLargeError, match="more than 1000 columns"):
        read({**GOOD, "row": {f"c{number}": 1 for number in range(1001)}})
