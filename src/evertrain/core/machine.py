"""A state machine is data: one table of (state, move) to state, and nothing else decides what is legal.

Rules of every machine here:
- a pair that stands in the table is a legal move; every other pair raises TransitionError and changes nothing;
- a state without a move out of it is terminal;
- diagrams and documentation are drawn from the same table (`core.diagram`).
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

import msgspec

from evertrain.errors import TransitionError

__all__ = ["Machine"]

State = TypeVar("State", bound=str)
Move = TypeVar("Move", bound=str)


class Machine(msgspec.Struct, Generic[State, Move], frozen=True, kw_only=True):
    """The states of one kind of thing and the moves between them.

    name: what it is, for people ("rollout"). initial: where each one starts.

    >>> door = Machine(name="door", initial="shut", table={("shut", "open"): "ajar", ("ajar", "close"): "shut"})
    >>> door.advance("shut", "open")
    'ajar'
    >>> door.legal("ajar")
    ('close',)
    """

    name: str
    initial: State
    table: Mapping[tuple[State, Move], State]

    @property
    def states(self) -> tuple[State, ...]:
        """Every state, in the order in which the table first names it."""
        named = [self.initial, *(state for (before, _), after in self.table.items() for state in (before, after))]
        return tuple(dict.fromkeys(named))

    @property
    def moves(self) -> tuple[Move, ...]:
        return tuple(dict.fromkeys(move for _, move in self.table))

    @property
    def terminal(self) -> frozenset[State]:
        """The states that nothing leaves."""
        return frozenset(self.states) - {before for before, _ in self.table}

    def legal(self, state: State) -> tuple[Move, ...]:
        """The moves out of a state, in the table's order."""
        return tuple(move for before, move in self.table if before == state)

    def advance(self, state: State, move: Move, subject: str = "") -> State:
        """The state after a move. `subject` is the id that an error names."""
        after = self.table.get((state, move))
        if after is None:
            what = f"{self.name} {subject}".strip()
            raise TransitionError(
                f"{what}: {move!r} is not a move out of {state!r}.",
                f"Legal here: {', '.join(self.legal(state)) or 'nothing, it has ended'}.",
            )
        return after
