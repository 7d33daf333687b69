"""What two versions say of the same requests, before anybody knows who is right."""

import numpy as np
import pytest

from evertrain.core.agreement import FEWEST, agreement_of

DRAWS = np.random.default_rng(3)
TRUTH = DRAWS.uniform(0.01, 0.2, 400)


def test_a_successor_that_sees_the_same_is_not_objected_to() -> None:
    found = agreement_of(TRUTH * 1.2 + DRAWS.normal(0, 0.02, 400), TRUTH)
    assert found.correlation == pytest.approx(0.95, abs=0.05)
    assert found.objection == ""
    assert "on 400 logged requests, rank correlation with the champion's scores: +0.9" in found.words


def test_one_that_ranks_the_other_way_round_and_one_at_another_level_are() -> None:
    assert "the other way round" in agreement_of(1 - TRUTH, TRUTH).objection
    assert "at another level" in agreement_of(TRUTH + 0.5, TRUTH).objection
    few = TRUTH[: FEWEST - 1]
    assert agreement_of(1 - few, few).objection == ""


def test_a_model_that_answers_all_alike_has_no_ranks() -> None:
    flat = np.full(400, 0.3)
    assert agreement_of(flat, TRUTH).correlation is None
    unmoved = agreement_of(TRUTH, flat)
    assert (unmoved.correlation, unmoved.shift, unmoved.objection) == (None, None, "")
    assert "no correlation of ranks is defined" in unmoved.words


def test_classes_are_compared_class_by_class() -> None:
    first = DRAWS.dirichlet((1, 2, 3), 200)
    assert agreement_of(first, first).correlation == pytest.approx(1.0)
    assert agreement_of(first, first).rows == 200
    assert "the other way round" in agreement_of(first[:, ::-1], first).objection


def test_no_rows_at_all_say_nothing() -> None:
    assert agreement_of(TRUTH[:0], TRUTH[:0]).objection == ""
