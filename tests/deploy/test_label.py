"""What a label can be follows from what the service answers."""

import msgspec
import pytest

from evertrain.core.identity import ServiceName
from evertrain.core.model import Output
from evertrain.core.time import Instant
from evertrain.deploy.body import Limits
from evertrain.deploy.label import read_labels
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


def test_a_label_of_a_value_is_any_number() -> None:
    assert value(7, Output.of_values()) == 7.0
    with pytest.raises(RequestError, match="is the text 'yes'"):
        value("yes", Output.of_values())


def test_a_label_of_classes_is_one_of_them() -> None:
    assert value("car", Output.of_classes(("bus", "car", "tram"))) == 1.0
    with pytest.raises(RequestError, match="no class 'cart'") as told:
        value("cart", Output.of_classes(("bus", "car", "tram")))
    assert '"car"' in told.value.remedy
