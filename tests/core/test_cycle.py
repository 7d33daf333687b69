"""What is special to the retraining cycle."""

import pytest

from evertrain.core.cycle import CycleMove, CycleState, Kind, advance
from evertrain.errors import TransitionError

PROVED: tuple[CycleMove, ...] = ("evaluate", "judge", "register", "roll out", "promote")
MADE: tuple[CycleMove, ...] = ("snapshot", "assemble", "train")
ADOPTED: tuple[CycleMove, ...] = ("adopt",)


@pytest.mark.parametrize(
    ("kind", "moves"),
    [("full", MADE + PROVED), ("refresh", MADE + PROVED), ("external", ADOPTED + PROVED), ("online", ADOPTED + PROVED)],
)
def test_each_kind_has_its_way_to_a_promotion(kind: Kind, moves: tuple[CycleMove, ...]) -> None:
    state = CycleState.TRIGGERED
    for move in moves:
        state = advance(kind, state, move)
    assert state is CycleState.PROMOTED


def test_a_pushed_file_is_not_trained_and_a_retrain_adopts_nothing() -> None:
    with pytest.raises(TransitionError, match="snapshot"):
        advance("external", CycleState.TRIGGERED, "snapshot")
    with pytest.raises(TransitionError, match="adopt"):
        advance("full", CycleState.TRIGGERED, "adopt")


@pytest.mark.parametrize("state", [CycleState.TRAINED, CycleState.EVALUATED, CycleState.INCONCLUSIVE])
def test_nothing_unjudged_is_rolled_out(state: CycleState) -> None:
    for move in ("register", "roll out", "promote"):
        with pytest.raises(TransitionError):
            advance("full", state, move)


def test_an_inconclusive_challenger_is_evaluated_again() -> None:
    assert advance("full", CycleState.INCONCLUSIVE, "look again") is CycleState.TRAINED
    assert advance("full", CycleState.WAITING_FOR_LABELS, "look again") is CycleState.TRIGGERED
