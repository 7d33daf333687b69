"""One run of the loop: from the trigger to a promoted, refused or otherwise ended version.

What ends a cycle has a name: *promoted*, *refused* (the gate said no), *rolled_back* (live traffic said no), *failed*
(it could not be done or measured), *no_op* (there was nothing to change), *superseded* (a newer cycle took over).
Two states hold it, with a time to look again: *inconclusive* (the evidence does not suffice yet; the next look
evaluates the same version on more labels) and *waiting_for_labels* (too few mature rows to train on; the next look
snapshots again). Looks are counted and bounded, so every cycle ends.

The kinds differ in where the version comes from: *full* and *refresh* snapshot data and train; *external* (a pushed
file) and *online* (a checkpoint of a learner) enter with a version that exists.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, get_args

from evertrain.core.machine import Machine

__all__ = ["CYCLES", "MAX_LOOKS", "CycleMove", "CycleState", "Kind", "advance", "is_held", "is_terminal"]

Kind = Literal["full", "refresh", "external", "online"]


class CycleState(StrEnum):
    """Where a cycle stands."""

    TRIGGERED = "triggered"
    SNAPSHOTTED = "snapshotted"
    ASSEMBLED = "assembled"
    TRAINED = "trained"
    EVALUATED = "evaluated"
    JUDGED = "judged"
    REGISTERED = "registered"
    ROLLING_OUT = "rolling_out"
    PROMOTED = "promoted"
    REFUSED = "refused"
    INCONCLUSIVE = "inconclusive"
    WAITING_FOR_LABELS = "waiting_for_labels"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    NO_OP = "no_op"
    SUPERSEDED = "superseded"


CycleMove = Literal[
    "snapshot",
    "assemble",
    "train",
    "adopt",
    "evaluate",
    "judge",
    "register",
    "roll out",
    "promote",
    "refuse",
    "hold",
    "wait",
    "look again",
    "roll back",
    "give up",
    "fail",
    "supersede",
]

MAX_LOOKS = 8
"""How often a held cycle is looked at again; after that it must "give up", or be superseded."""

_Table = dict[tuple[CycleState, CycleMove], CycleState]

_MAKE: _Table = {
    (CycleState.TRIGGERED, "snapshot"): CycleState.SNAPSHOTTED,
    (CycleState.SNAPSHOTTED, "assemble"): CycleState.ASSEMBLED,
    (CycleState.ASSEMBLED, "train"): CycleState.TRAINED,
    (CycleState.TRIGGERED, "wait"): CycleState.WAITING_FOR_LABELS,
    (CycleState.SNAPSHOTTED, "wait"): CycleState.WAITING_FOR_LABELS,
    (CycleState.ASSEMBLED, "wait"): CycleState.WAITING_FOR_LABELS,
    (CycleState.WAITING_FOR_LABELS, "look again"): CycleState.TRIGGERED,
    (CycleState.SNAPSHOTTED, "give up"): CycleState.NO_OP,
    (CycleState.ASSEMBLED, "give up"): CycleState.NO_OP,
    (CycleState.WAITING_FOR_LABELS, "give up"): CycleState.NO_OP,
}
"""How a full retrain and a refresh get their version. "give up": the snapshot holds nothing new."""

_ADOPT: _Table = {(CycleState.TRIGGERED, "adopt"): CycleState.TRAINED}
"""How a pushed file and a checkpoint enter: the version exists."""

_PROVE: _Table = {
    (CycleState.TRAINED, "evaluate"): CycleState.EVALUATED,
    (CycleState.EVALUATED, "judge"): CycleState.JUDGED,
    (CycleState.JUDGED, "register"): CycleState.REGISTERED,
    (CycleState.JUDGED, "refuse"): CycleState.REFUSED,
    (CycleState.JUDGED, "hold"): CycleState.INCONCLUSIVE,
    (CycleState.INCONCLUSIVE, "look again"): CycleState.TRAINED,
    (CycleState.REGISTERED, "roll out"): CycleState.ROLLING_OUT,
    (CycleState.ROLLING_OUT, "promote"): CycleState.PROMOTED,
    (CycleState.ROLLING_OUT, "roll back"): CycleState.ROLLED_BACK,
    (CycleState.TRIGGERED, "give up"): CycleState.NO_OP,
    (CycleState.TRAINED, "give up"): CycleState.NO_OP,
    (CycleState.INCONCLUSIVE, "give up"): CycleState.NO_OP,
}
"""How a version, wherever it comes from, is proved and put into service. "trained", "give up": it is the champion."""


def _table(entry: _Table) -> _Table:
    table = entry | _PROVE
    ends: _Table = {}
    for state in dict.fromkeys(before for before, _ in table):
        ends[state, "fail"] = CycleState.FAILED
        ends[state, "supersede"] = CycleState.SUPERSEDED
    return table | ends


CYCLES: Mapping[Kind, Machine[CycleState, CycleMove]] = {
    kind: Machine(
        name=f"{kind} cycle",
        initial=CycleState.TRIGGERED,
        table=_table(_MAKE if kind in ("full", "refresh") else _ADOPT),
    )
    for kind in get_args(Kind)
}
"""The transition table of each kind."""

_TERMINAL: frozenset[CycleState] = frozenset[CycleState]().union(*(machine.terminal for machine in CYCLES.values()))


def advance(kind: Kind, state: CycleState, move: CycleMove, subject: str = "") -> CycleState:
    """The state after a legal move; TransitionError otherwise. `subject` is the id that the error names.

    >>> advance("external", CycleState.TRIGGERED, "adopt").value
    'trained'
    """
    return CYCLES[kind].advance(state, move, subject)


def is_terminal(state: CycleState) -> bool:
    """Whether a cycle in this state has ended.

    >>> is_terminal(CycleState.PROMOTED), is_terminal(CycleState.INCONCLUSIVE)
    (True, False)
    """
    return state in _TERMINAL


def is_held(state: CycleState) -> bool:
    """Whether a cycle in this state stands still until its time to look again."""
    return state in (CycleState.INCONCLUSIVE, CycleState.WAITING_FOR_LABELS)
