"""How one process takes over from another in a planned restart.

Workers share a port, so the successor comes up *beside* the one that answers, which goes only when it is not needed any
more; a successor that does not come up changes nothing (*kept*). Of a controller there is one at a time: its successor
comes *after* it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from evertrain.core.machine import Machine

__all__ = ["SUCCESSIONS", "Manner", "SuccessionMove", "SuccessionState"]

Manner = Literal["beside", "after"]


class SuccessionState(StrEnum):
    """Where a succession stands."""

    WAITING = "waiting"
    COMING = "coming"
    LEAVING = "leaving"
    REPLACED = "replaced"
    KEPT = "kept"
    LOST = "lost"


SuccessionMove = Literal["begin", "take over", "end", "come up", "fail"]

SUCCESSIONS: Mapping[Manner, Machine[SuccessionState, SuccessionMove]] = {
    "beside": Machine(
        name="succession beside",
        initial=SuccessionState.WAITING,
        table={
            (SuccessionState.WAITING, "begin"): SuccessionState.COMING,
            (SuccessionState.COMING, "take over"): SuccessionState.LEAVING,
            (SuccessionState.COMING, "fail"): SuccessionState.KEPT,
            (SuccessionState.LEAVING, "end"): SuccessionState.REPLACED,
        },
    ),
    "after": Machine(
        name="succession after",
        initial=SuccessionState.WAITING,
        table={
            (SuccessionState.WAITING, "begin"): SuccessionState.LEAVING,
            (SuccessionState.LEAVING, "end"): SuccessionState.COMING,
            (SuccessionState.COMING, "come up"): SuccessionState.REPLACED,
            (SuccessionState.COMING, "fail"): SuccessionState.LOST,
        },
    ),
}
"""Kept: the old process goes on. Lost: the old one is gone, and its successor is being started again and again."""
