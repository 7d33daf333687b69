"""What a model says of one row, and what of it must not be answered."""

import math

import msgspec
import numpy as np
import pytest

from evertrain.core.identity import canonical
from evertrain.core.model import Output
from evertrain.core.score import RowScore, constant_of, fault_of
from evertrain.errors import UserError

OUTPUT = Output.of_classes(("bus", "car", "tram"))


@pytest.mark.parametrize(
    ("score", "output", "cause"),
    [
        ((0.5, 0.25, 0.25), OUTPUT, None),
        ((0.5, 0.25, 0.2501), OUTPUT, None),
        ((0.5, 0.25, 0.5), OUTPUT, "range"),
        ((1.5, -0.25, -0.25), OUTPUT, "range"),
        ((0.5, math.nan, 0.5), OUTPUT, "nan"),
        ((0.5, 0.5), OUTPUT, "protocol"),
        (0.5, OUTPUT, "protocol"),
        ((0.5, 0.5), Output(), "protocol"),
    ],
)
def test_probabilities_of_classes_are_as_many_finite_and_sum_to_one(
    score: RowScore, output: Output, cause: str | None
) -> None:
    fault = fault_of(score, output)
    assert (None if fault is None else fault[0]) == cause


def test_the_digest_of_an_output_without_classes_is_what_it_was_before_there_were_any() -> None:
    assert canonical(Output()) == b'{"high":1.0,"kind":"probability","low":0.0,"name":"score"}'
    assert msgspec.json.decode(canonical(OUTPUT), type=Output) == OUTPUT


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "a"), ("a", "", "c"), tuple(map(str, range(1001)))])
def test_names_that_are_no_classes_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"class"):
        Output.of_classes(names)


def test_without_labels_every_class_is_as_unlikely() -> None:
    assert constant_of(np.zeros(0), OUTPUT) == (0.0, 0.0, 0.0)
