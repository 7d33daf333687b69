"""What a label can be follows from what the service answers."""

import msgspec
import pytest

from evertrain.core.cohort import entity_key
from evertrain.core.identity import ServiceName
from evertrain.core.model import Output
from evertrain.core.schema import Column, Schema
from evertrain.core.time import Instant
from evertrain.deploy.body import Limits
from evertrain.deploy.column import Columns
from evertrain.deploy.label import KeyForm, read_labels
from evertrain.errors import RequestError


def value(sent: object, output: Output | None) -> float:
    body = msgspec.json.encode({"labels": [{"key": "k", "value": sent}]})
    [label] = read_labels(body, ServiceName("shop"), Instant(0), Limits(), output)
    return label.value


@pytest.mark.parametrize(
    ("sent", "read"), [(1, 1.0), (0.0, 0.0), (True, 1.0), ("yes", 1.0), ("No", 0.0), ("TRUE", 1.0)]
)
def test_a_label_of_a_probability_is_taken_as_a_table_takes_it(sent: object, read: float) -> None:
    assert value(sent, Output()) == read


@pytest.mark.parametrize("sent", [7, -1, 0.5, "perhaps", "1.0"])
def test_what_a_probability_can_never_be_right_about_is_refused(sent: object) -> None:
    with pytest.raises(RequestError, match="the probability of a label of 1") as told:
        value(sent, Output())
    assert told.value.field == "labels[0].value"
    assert f"Label 0 is {sent!r}, and" in told.value.what, "as it was sent"


def test_a_label_of_a_value_is_any_number() -> None:
    assert value(7, Output.of_values()) == 7.0
    with pytest.raises(RequestError, match="is the text 'yes'"):
        value("yes", Output.of_values())


def test_a_label_of_classes_is_one_of_them() -> None:
    assert value("car", Output.of_classes(("bus", "car", "tram"))) == 1.0
    with pytest.raises(RequestError, match="no class 'cart'") as told:
        value("cart", Output.of_classes(("bus", "car", "tram")))
    assert '"car"' in told.value.remedy


KEY = Schema((Column(name="customer", type="int64"), Column(name="day", type="timestamp")))
KEYED = KeyForm(KEY.names, Columns(KEY))


def keyed(sent: object) -> str:
    body = msgspec.json.encode({"labels": [{"key": sent, "value": 1}]})
    [label] = read_labels(body, ServiceName("shop"), Instant(0), Limits(), form=KEYED)
    return label.key


def test_a_key_of_several_columns_is_read_as_the_request_was() -> None:
    logged = entity_key([17, 1_772_323_200_000_000])
    assert keyed([17, "2026-03-01T00:00:00Z"]) == logged
    assert keyed([17.0, 1_772_323_200_000_000]) == logged
    assert keyed(logged) == logged


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ("c17", "has not the 2 values of the service's key"),
        (17, "has not the 2 values"),
        ([17], "has not the 2 values"),
        (["17", "2026-03-01T00:00:00Z"], "Column 'customer': '17' is not an int64"),
        ([17, "yesterday"], "Column 'day'"),
    ],
)
def test_a_key_that_no_request_can_have_had_is_refused_with_its_form(sent: object, says: str) -> None:
    with pytest.raises(RequestError) as told:
        keyed(sent)
    assert says in told.value.what
    assert told.value.remedy.startswith('Send the list of customer, day, as the request had them: [17, "2026-03-01T')
    assert told.value.field == "labels[0].key"


@pytest.mark.parametrize("known", [10**30, -(10**18), "10000-01-01", "2024-13-01T00:00:00Z"])
def test_a_time_that_is_none_is_refused(known: object) -> None:
    body = msgspec.json.encode({"labels": [{"key": "k", "value": 1, "known_at": known}]})
    with pytest.raises(RequestError, match="known_at") as told:
        read_labels(body, ServiceName("shop"), Instant(0), Limits())
    assert told.value.field == "labels[0].known_at"
