"""The rules that hold of every machine: totality, illegal moves change nothing, what the tables say."""

import itertools
from collections.abc import Mapping
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.cycle import CYCLES, CycleState, is_held, is_terminal
from evertrain.core.machine import Machine
from evertrain.core.rollout import ROLLOUT, RolloutState, is_over
from evertrain.core.succession import SUCCESSIONS
from evertrain.errors import TransitionError

State = TypeVar("State", bound=str)
Move = TypeVar("Move", bound=str)


def as_text(machine: Machine[State, Move]) -> Machine[str, str]:
    table = {(str(before), str(move)): str(after) for (before, move), after in machine.table.items()}
    return Machine(name=machine.name, initial=str(machine.initial), table=table)


MACHINES: Mapping[str, Machine[str, str]] = {
    ROLLOUT.name: as_text(ROLLOUT),
    **{machine.name: as_text(machine) for machine in CYCLES.values()},
    **{machine.name: as_text(machine) for machine in SUCCESSIONS.values()},
}

every_machine = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES.keys())


@every_machine
def test_each_pair_of_state_and_move_is_legal_or_raises(machine: Machine[str, str]) -> None:
    for state, move in itertools.product(machine.states, machine.moves):
        if move in machine.legal(state):
            assert machine.advance(state, move) == machine.table[state, move]
        else:
            with pytest.raises(TransitionError, match="x/7") as caught:
                machine.advance(state, move, "x/7")
            assert caught.value.remedy.startswith("Legal here:")


@every_machine
def test_an_unknown_state_or_move_raises(machine: Machine[str, str]) -> None:
    with pytest.raises(TransitionError):
        machine.advance(machine.initial, "teleport")
    with pytest.raises(TransitionError):
        machine.advance("nowhere", machine.moves[0])


@every_machine
def test_every_state_is_reached_and_every_state_can_end(machine: Machine[str, str]) -> None:
    reached = {machine.initial}
    while more := {after for (before, _), after in machine.table.items() if before in reached} - reached:
        reached |= more
    assert reached == set(machine.states)
    ending = set(machine.terminal)
    while more := {before for (before, _), after in machine.table.items() if after in ending} - ending:
        ending |= more
    assert ending == set(machine.states)
    assert machine.terminal


REPEATING = ("look again", "mirror", "advance", "resume", "pause", "hold")
"""What a bound, a person or traffic ends, and not the table."""


@given(data=st.data(), machine=st.sampled_from(list(MACHINES.values())))
def test_a_walk_of_legal_moves_that_bounds_its_repeats_ends(data: st.DataObject, machine: Machine[str, str]) -> None:
    state, repeats = machine.initial, 0
    for _ in range(200):
        legal = machine.legal(state)
        if not legal:
            assert state in machine.terminal
            return
        if repeats >= 8:
            legal = tuple(move for move in legal if move not in REPEATING)
        move = data.draw(st.sampled_from(legal))
        repeats += move in REPEATING
        state = machine.advance(state, move)
    raise AssertionError("the walk did not end")


def test_all_declared_states_are_in_the_tables() -> None:
    assert set(ROLLOUT.states) == set(RolloutState)
    assert set(CYCLES["full"].states) | set(CYCLES["external"].states) == set(CycleState)


def test_the_ends_are_the_ones_of_the_field() -> None:
    assert {state.value for state in RolloutState if is_over(state)} == {"promoted", "aborted", "rolled_back"}
    assert {state.value for state in CycleState if is_terminal(state)} == {
        "promoted",
        "refused",
        "rolled_back",
        "failed",
        "no_op",
        "superseded",
    }
    assert {state.value for state in CycleState if is_held(state)} == {"inconclusive", "waiting_for_labels"}
    assert not any(is_terminal(state) for state in CycleState if is_held(state))
