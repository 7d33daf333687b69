"""Bets by share and by block: fair under no harm, and what they return on harm."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.bet import BLOCK, ODDS, THETAS, Bet


def test_the_reference_e_values_of_the_first_errors() -> None:
    bet, values = Bet(), []
    for _ in range(4):
        bet = bet.after(0.1, on_canary=True)
        values.append(round(bet.value, 1))
    assert values == [3.2, 14.4, 78.0, 464.1]


@given(rho=st.floats(0.001, 0.999), logs=st.lists(st.booleans(), max_size=12))
def test_the_bet_is_fair_under_no_harm(rho: float, logs: list[bool]) -> None:
    bet = Bet()
    for on_canary in logs:
        bet = bet.after(rho, on_canary)
    mean = rho * bet.after(rho, True).value + (1 - rho) * bet.after(rho, False).value
    assert mean == pytest.approx(bet.value, rel=1e-9)


@given(
    canary=st.integers(0, BLOCK),
    other=st.integers(0, BLOCK),
    drawn=st.floats(0, 1),
    before=st.lists(st.floats(-5, 5), min_size=len(ODDS), max_size=len(ODDS)),
)
def test_a_block_is_fair_whatever_its_arms_and_its_events(
    canary: int, other: int, drawn: float, before: list[float]
) -> None:
    """Which answers are the events is drawn from an urn: over all draws the bet returns what was put in."""
    events = round(drawn * (canary + other))
    bet, mean = Bet(logs=tuple(before)), 0.0
    for hits in range(max(0, events - other), min(canary, events) + 1):
        chance = math.comb(canary, hits) * math.comb(other, events - hits) / math.comb(canary + other, events)
        mean += chance * bet.after_block(canary=canary, other=other, hits=hits, events=events).value
    assert mean == pytest.approx(bet.value, rel=1e-9)


@pytest.mark.parametrize("events", [0, 3, 20])
def test_a_block_of_one_arm_or_of_one_kind_tells_nothing(events: int) -> None:
    alone = Bet().after_block(canary=20, other=0, hits=events, events=events)
    assert alone.value == pytest.approx(1.0)
    alike = Bet().after_block(canary=10, other=10, hits=10 if events == 20 else 0, events=20 if events == 20 else 0)
    assert alike.value == pytest.approx(1.0)


def test_both_grids_are_of_one_length() -> None:
    assert len(ODDS) == len(THETAS) == len(Bet().logs)
