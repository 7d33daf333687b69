"""Which answers count as evidence about latency: those that no pause can have hit together."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.bet import BLOCK
from evertrain.core.spacing import EVERY, Spacing, Timed
from evertrain.core.time import HOUR, SECOND

times = st.integers(0, 20 * SECOND)
answers = st.lists(st.builds(Timed, st.booleans(), st.integers(100, 2 * SECOND), times), max_size=120).map(
    lambda found: sorted(found, key=lambda answer: answer.received)
)


def of(arm: bool, found: list[Timed]) -> list[Timed]:
    return [answer for answer in found if answer.on_canary == arm]


def at_chance(rng: np.random.Generator, on_canary: bool, a_second: float, seconds: int) -> list[Timed]:
    moments = np.sort(rng.integers(0, seconds * SECOND, rng.poisson(a_second * seconds)))
    return [Timed(on_canary, 700, int(at)) for at in moments]


@given(seen=answers)
def test_an_answer_counts_only_if_it_was_asked_for_after_the_last_one_was_answered(seen: list[Timed]) -> None:
    counted, _ = Spacing().apart(seen)
    for arm in (True, False):
        for before, after in pairwise(of(arm, counted)):
            assert after.received > before.received + before.latency_us


@given(seen=answers)
def test_no_stretch_of_time_has_more_than_its_share_and_what_was_in_hand(seen: list[Timed]) -> None:
    counted, _ = Spacing().apart(seen)
    for arm in (True, False):
        moments = [answer.received for answer in of(arm, counted)]
        for first, begun in enumerate(moments):
            for last, ended in enumerate(moments[first:], start=first):
                assert last - first < 4 + (ended - begun) / EVERY


@given(seen=answers, cut=st.integers(0, 120))
def test_what_counts_does_not_depend_on_how_it_is_handed_over(seen: list[Timed], cut: int) -> None:
    whole, end = Spacing().apart(seen)
    first, between = Spacing().apart(seen[:cut])
    second, after = between.apart(seen[cut:])
    assert (first + second, after) == (whole, end)
    assert end.canary.seen + end.control.seen == len(seen)
    assert end.canary.counted + end.control.counted == len(whole)


def test_little_traffic_loses_next_to_nothing() -> None:
    rng = np.random.default_rng(1)
    arms = at_chance(rng, True, 1.67, 3600) + at_chance(rng, False, 1.67, 3600)
    seen = sorted(arms, key=lambda answer: answer.received)
    counted, _ = Spacing().apart(seen)
    assert 0.92 <= len(counted) / len(seen) <= 0.96


@pytest.mark.parametrize(("canary", "control"), [(2.0, 20.0), (20.0, 2.0), (0.5, 3.0)])
def test_the_arm_with_more_traffic_is_not_looked_at_more_often(canary: float, control: float) -> None:
    rng = np.random.default_rng(2)
    arms = at_chance(rng, True, canary, 1800) + at_chance(rng, False, control, 1800)
    _, end = Spacing().apart(sorted(arms, key=lambda answer: answer.received))
    assert abs(end.canary.counted - end.control.counted) <= BLOCK


def test_a_clock_that_is_set_back_does_not_end_the_evidence() -> None:
    steady = [Timed(arm, 700, HOUR + number * SECOND) for number in range(10) for arm in (True, False)]
    _, spacing = Spacing().apart(steady)
    late, _ = spacing.apart([Timed(True, 700, HOUR + 8 * SECOND)])
    assert late == []  # a record that was read late
    back = [Timed(arm, 700, number * SECOND) for number in range(10) for arm in (True, False)]
    counted, _ = spacing.apart(back)
    assert counted == back
