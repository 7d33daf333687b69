"""What is special to the rollout machine."""

import pytest

from evertrain.core.rollout import RolloutMove, RolloutState, advance
from evertrain.errors import TransitionError


@pytest.mark.parametrize("state", [state for state in RolloutState if state is not RolloutState.STEPPING])
def test_only_a_version_that_answered_traffic_is_promoted(state: RolloutState) -> None:
    with pytest.raises(TransitionError):
        advance(state, "promote")


def test_a_resumed_rollout_prepares_again_before_it_gets_traffic() -> None:
    moves: tuple[RolloutMove, ...] = ("prepare", "start", "pause", "resume", "start", "advance", "promote")
    state, seen = RolloutState.PENDING, []
    for move in moves:
        state = advance(state, move)
        seen.append(state.value)
    assert seen == ["preparing", "stepping", "paused", "preparing", "stepping", "stepping", "promoted"]


def test_a_version_that_never_started_is_aborted_not_rolled_back() -> None:
    assert advance(RolloutState.PENDING, "abort") is RolloutState.ABORTED
    with pytest.raises(TransitionError):
        advance(RolloutState.PENDING, "roll back")
