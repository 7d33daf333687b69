"""How a version enters service: a ramp of shares, each step admitted by a bound on the harm it could do.

The machine: *pending* (declared), *preparing* (its process loads and warms; no traffic), *shadowing* (where that is
declared: it sees live requests and answers nobody; when it *passes* it is prepared for its canary), *stepping* (the
canary step: it answers a share), *paused* (no traffic, with the reasons), and the ends *promoted*, *rolled_back* (the
evidence, or its process, spoke against it) and *aborted* (nothing spoke against it; a person or a newer version ended
it). A resumed rollout prepares again and takes up the stage or step where it was. So does one that is *held* when its
version is judged again: it waits in preparing until labels speak for it. Who paused a rollout is a person, and only a
person resumes it.

Who decides on the moves is `core.canary`.
"""

from enum import StrEnum
from typing import Literal

from evertrain.core.machine import Machine

__all__ = ["ROLLOUT", "RolloutMove", "RolloutState", "advance", "is_over"]


class RolloutState(StrEnum):
    """Where a rollout stands."""

    PENDING = "pending"
    PREPARING = "preparing"
    SHADOWING = "shadowing"
    STEPPING = "stepping"
    PAUSED = "paused"
    PROMOTED = "promoted"
    ABORTED = "aborted"
    ROLLED_BACK = "rolled_back"


RolloutMove = Literal[
    "prepare", "mirror", "pass", "start", "advance", "hold", "pause", "resume", "promote", "abort", "roll back"
]

ROLLOUT: Machine[RolloutState, RolloutMove] = Machine(
    name="rollout",
    initial=RolloutState.PENDING,
    table={
        (RolloutState.PENDING, "prepare"): RolloutState.PREPARING,
        (RolloutState.PREPARING, "mirror"): RolloutState.SHADOWING,
        (RolloutState.SHADOWING, "pass"): RolloutState.PREPARING,
        (RolloutState.PREPARING, "start"): RolloutState.STEPPING,
        (RolloutState.STEPPING, "advance"): RolloutState.STEPPING,
        (RolloutState.STEPPING, "hold"): RolloutState.PREPARING,
        (RolloutState.STEPPING, "promote"): RolloutState.PROMOTED,
        (RolloutState.STEPPING, "roll back"): RolloutState.ROLLED_BACK,
        (RolloutState.SHADOWING, "roll back"): RolloutState.ROLLED_BACK,
        (RolloutState.PREPARING, "roll back"): RolloutState.ROLLED_BACK,
        (RolloutState.PAUSED, "roll back"): RolloutState.ROLLED_BACK,
        (RolloutState.PREPARING, "pause"): RolloutState.PAUSED,
        (RolloutState.SHADOWING, "pause"): RolloutState.PAUSED,
        (RolloutState.STEPPING, "pause"): RolloutState.PAUSED,
        (RolloutState.PAUSED, "pause"): RolloutState.PAUSED,
        (RolloutState.PAUSED, "resume"): RolloutState.PREPARING,
        (RolloutState.PENDING, "abort"): RolloutState.ABORTED,
        (RolloutState.PREPARING, "abort"): RolloutState.ABORTED,
        (RolloutState.SHADOWING, "abort"): RolloutState.ABORTED,
        (RolloutState.STEPPING, "abort"): RolloutState.ABORTED,
        (RolloutState.PAUSED, "abort"): RolloutState.ABORTED,
    },
)


def advance(state: RolloutState, move: RolloutMove, subject: str = "") -> RolloutState:
    """The state after a legal move; TransitionError otherwise. `subject` is the id that the error names.

    >>> advance(RolloutState.PENDING, "prepare").value
    'preparing'
    """
    return ROLLOUT.advance(state, move, subject)


def is_over(state: RolloutState) -> bool:
    """Whether a rollout in this state has ended.

    >>> is_over(RolloutState.PAUSED), is_over(RolloutState.ABORTED)
    (False, True)
    """
    return state in ROLLOUT.terminal
