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
    """The Mermaid text of a machine; moves between the same two states share an arrow.

    >>> print(draw(Machine(name="door", initial="shut", table={("shut", "open"): "ajar"})))
    stateDiagram-v2
        [*] --> shut
        shut --> ajar: open
        ajar --> [*]
    """
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, move), after in machine.table.items():
        arrows.setdefault((before, after), []).append(move)
    lines = ["stateDiagram-v2", f"    [*] --> {machine.initial}"]
    lines += [f"    {before} --> {after}: {', '.join(moves)}" for (before, after), moves in arrows.items()]
    lines += [f"    {state} --> [*]" for state in machine.states if state in machine.terminal]
    return "\n".join(lines)


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
