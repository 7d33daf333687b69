"""Mermaid state diagrams, drawn from the transition tables, and their place in the documentation.

A page holds `<!-- diagram: NAME -->` ... `<!-- end -->`; `redraw` puts the diagram between the two lines, and a test
holds the pages fresh.
"""

import re
from typing import TypeVar

from evertrain.core.cycle import CYCLES
from evertrain.core.machine import Machine
from evertrain.core.rollout import ROLLOUT

__all__ = ["DIAGRAMS", "draw", "redraw"]

State = TypeVar("State", bound=str)
Move = TypeVar("Move", bound=str)

_PLACE = re.compile(r"<!-- diagram: (?P<name>[\w ]+) -->\n.*?<!-- end -->", re.DOTALL)


def draw(machine: Machine[State, Move]) -> str:
    """The Mermaid text of a machine.

    Moves between the same two states share an arrow, and an end that every other state can come to is drawn once.

    >>> print(draw(Machine(name="door", initial="shut", table={("shut", "open"): "ajar", ("ajar", "fall"): "open"})))
    stateDiagram-v2
        [*] --> shut
        shut --> ajar: open
        ajar --> open: fall
        open --> [*]
    """
    common = _from_everywhere(machine)
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, move), after in machine.table.items():
        if (move, after) not in common:
            arrows.setdefault((before, after), []).append(move)
    lines = ["stateDiagram-v2", f"    [*] --> {machine.initial}"]
    lines += [f"    {before} --> {after}: {', '.join(moves)}" for (before, after), moves in arrows.items()]
    if common:
        lines.append('    state "every state that has not ended" as under_way')
        lines += [f"    under_way --> {after}: {move}" for move, after in common]
    lines += [f"    {state} --> [*]" for state in machine.states if state in machine.terminal]
    return "\n".join(lines)


def _from_everywhere(machine: Machine[State, Move]) -> list[tuple[Move, State]]:
    """Moves to one end that are legal in every state that has not ended, where there are several such states."""
    under_way = set(machine.states) - machine.terminal
    targets: dict[tuple[Move, State], set[State]] = {}
    for (before, move), after in machine.table.items():
        targets.setdefault((move, after), set()).add(before)
    return [pair for pair, befores in targets.items() if befores == under_way and len(under_way) > 2]


DIAGRAMS: dict[str, str] = {
    ROLLOUT.name: draw(ROLLOUT),
    **{machine.name: draw(machine) for machine in CYCLES.values()},
}
"""Name on a page to Mermaid text."""


def redraw(page: str) -> str:
    """The page with every diagram drawn anew; KeyError for a name that no machine has."""
    return _PLACE.sub(
        lambda found: f"<!-- diagram: {found['name']} -->\n```mermaid\n{DIAGRAMS[found['name']]}\n```\n<!-- end -->",
        page,
    )
