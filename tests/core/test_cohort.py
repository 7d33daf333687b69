"""Cohorts are uniform, sticky and grow without moving anybody back."""

from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.cohort import arm_of, cohort_of, entity_key, prediction_id
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.routing import Arm, Route

CANARY = VersionId("c" * 64)
CONTROL = VersionId("d" * 64)


def _route(canary: float, control: float) -> Route:
    return Route(
        service=ServiceName("shop"),
        salt="r1",
        canary=Arm(version=CANARY, share=canary, deadline_s=1),
        control=Arm(version=CONTROL, share=control, deadline_s=1),
    )


def test_cohorts_are_uniform() -> None:
    inside = sum(cohort_of("r1", f"c{number}") < 0.1 for number in range(20_000))
    assert abs(inside - 2_000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5


@given(st.text(), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_higher_share_moves_nobody_back(key: str, low: float, high: float) -> None:
    low, high = sorted((low, high))
    if arm_of(_route(low, low), key) != "champion":
        assert arm_of(_route(high, high), key) == arm_of(_route(low, low), key)


def test_shares_are_met_and_no_entity_is_in_two_arms() -> None:
    arms = [arm_of(_route(0.1, 0.1), f"c{number}") for number in range(20_000)]
    for arm in ("canary", "control"):
        assert abs(arms.count(arm) - 2_000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5


def test_without_a_trial_everybody_is_answered_by_the_champion() -> None:
    assert arm_of(Route(service=ServiceName("shop")), "c1") == "champion"


def test_keys_of_several_columns_are_told_apart() -> None:
    assert entity_key(["a", "b,c"]) != entity_key(["a,b", "c"])
    assert entity_key([9007199254740993]) == "9007199254740993"


def test_a_retry_is_the_same_prediction_and_another_row_another() -> None:
    first = prediction_id("shop", "r-1", 0, ("s1", 1.0))
    assert first == prediction_id("shop", "r-1", 0, ("s1", 1.0))
    others = {
        prediction_id("shop", "r-1", 0, ("s1", 2.0)),
        prediction_id("shop", "r-2", 0, ("s1", 1.0)),
        prediction_id("shop", "r-1", 1, ("s1", 1.0)),
        prediction_id("till", "r-1", 0, ("s1", 1.0)),
    }
    assert len(others | {first}) == 5
