"""A planned restart: one process after the other is replaced by a successor, and no request fails.

It decides and keeps count; whatever is done to a process is done by the supervisor, through `Tree`.
"""

import logging
import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from evertrain.core.event import Draft, ProcessesRestarted
from evertrain.core.succession import SUCCESSIONS, Manner, SuccessionMove, SuccessionState
from evertrain.process.supervision.child import Child
from evertrain.store.clock import business_clock
from evertrain.store.exit import ExitNotes
from evertrain.store.restart import (
    RestartOrder,
    RestartReport,
    RestartStep,
    restart_order,
    restart_report,
    tell_restart,
)
from evertrain.store.state import State

__all__ = ["Restarting", "Standing", "Tree"]

_log = logging.getLogger("supervisor")

_LOOK_S = 0.05


class Standing(NamedTuple):
    """Whether a process has come up; fault: why it will not, "" where nothing speaks against it."""

    is_up: bool
    fault: str = ""


class Tree(Protocol):
    """What a restart asks of the supervisor."""

    @property
    def workers(self) -> Sequence[Child]:
        """The processes that share the predict port."""

    @property
    def planes(self) -> Sequence[Child]:
        """The processes of which there is one at a time."""

    def nominate(self, old: Child) -> Child:
        """Start a successor beside `old`."""

    def appoint(self, old: Child, successor: Child) -> None:
        """Give the place of `old` to its successor, and tell `old` to finish what it has in hand and end."""

    def reject(self, successor: Child) -> None:
        """End a successor that did not come up."""

    def make_room(self, old: Child) -> Child:
        """Tell `old` to end; its successor, which is returned, starts when it has."""

    def has_left(self, old: Child) -> bool:
        """Whether a process that was told to end is gone."""

    def standing_of(self, child: Child) -> Standing:
        """Whether a process does its work."""


class _Succession:
    """One process and the one that follows it."""

    def __init__(self, manner: Manner, old: Child) -> None:
        self.manner = manner
        self.old = old
        self.successor: Child | None = None
        self.since = 0.0
        self.step = RestartStep(process=old.post.name, pid=old.pid, manner=manner)

    def move(self, move: SuccessionMove, why: str = "") -> None:
        state = SUCCESSIONS[self.manner].advance(self.step.state, move, self.step.process)
        self.since = time.monotonic()
        self.note(state=state, why=why)

    def note(self, *, state: SuccessionState | None = None, why: str = "") -> None:
        self.step = msgspec.structs.replace(
            self.step,
            state=state or self.step.state,
            successor="" if self.successor is None else self.successor.post.name,
            successor_pid=None if self.successor is None else self.successor.pid,
            why=why or self.step.why,
        )

    @property
    def is_over(self) -> bool:
        return self.step.state in SUCCESSIONS[self.manner].terminal


class _Restart:
    """One order, from its first process to its last."""

    def __init__(self, order: RestartOrder, tree: Tree, patience_s: float) -> None:
        self._order = order
        self._tree = tree
        self._patience_s = patience_s
        # Workers first: what cannot come up is found out where nothing is lost by it.
        self._line = [_Succession("beside", worker) for worker in tree.workers]
        if order.scope == "all":
            self._line += [_Succession("after", plane) for plane in tree.planes]

    def report(self) -> RestartReport:
        """How it stands now."""
        steps = tuple(one.step for one in self._line)
        report = RestartReport(order=self._order.id, scope=self._order.scope, steps=steps)
        faulty = next((step for step in steps if step.state in (SuccessionState.KEPT, SuccessionState.LOST)), None)
        if faulty is not None:
            return msgspec.structs.replace(report, outcome="stopped", reason=_say_fault(faulty))
        if all(one.is_over for one in self._line):
            return msgspec.structs.replace(report, outcome="done")
        return report

    def look(self) -> None:
        """Take the next step, if it is time for it."""
        for one in self._line:
            if not one.is_over:
                self._step(one)
            if one.step.state is not SuccessionState.REPLACED:
                return  # one at a time, and none after one that failed

    def _step(self, one: _Succession) -> None:
        match one.step.state:
            case SuccessionState.WAITING:
                start = self._tree.nominate if one.manner == "beside" else self._tree.make_room
                one.successor = start(one.old)
                one.move("begin")
            case SuccessionState.COMING if one.successor is not None:
                self._await(one, one.successor)
            case SuccessionState.LEAVING if self._tree.has_left(one.old):
                one.move("end")

    def _await(self, one: _Succession, successor: Child) -> None:
        standing = self._tree.standing_of(successor)
        one.note()
        if not standing.is_up:
            self._judge_delay(one, successor, standing.fault)
        elif one.manner == "beside":
            self._tree.appoint(one.old, successor)
            one.move("take over")
        else:
            one.move("come up")

    def _judge_delay(self, one: _Succession, successor: Child, fault: str) -> None:
        if not fault and time.monotonic() - max(one.since, successor.able) > self._patience_s:
            fault = f"It did not come up within {self._patience_s:g} s."
        if not fault:
            return
        if one.manner == "beside":
            self._tree.reject(successor)
        one.move("fail", fault)


class Restarting:
    """Takes orders up, one at a time and each once, and says how they fare.

    patience_s: how long a successor may take to come up, once its environment is there; by default what the watchdog
    gives any process.
    """

    def __init__(self, state: State, tree: Tree, notes: ExitNotes, *, patience_s: float = 180.0) -> None:
        self._state = state
        self._tree = tree
        self._notes = notes
        self._patience_s = patience_s
        self._restart: _Restart | None = None
        self._looked = 0.0
        before = restart_order(state)
        self._past = "" if before is None else before.id  # of an order to a supervisor that is gone; it is started anew
        self._told = restart_report(state)
        if self._told is not None and self._told.outcome == "under way":
            self._tell(
                msgspec.structs.replace(
                    self._told,
                    outcome="stopped",
                    reason="The supervisor ended meanwhile; its successor starts all anew.",
                )
            )

    @property
    def is_under_way(self) -> bool:
        """Whether an order is in hand."""
        return self._restart is not None

    def look(self) -> None:
        """Go on with the order in hand, or look whether there is a new one."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        if self._restart is None:
            order = restart_order(self._state)
            if order is None or order.id == self._past:
                return
            self._past = order.id
            self._restart = _Restart(order, self._tree, self._patience_s)
        self._restart.look()
        report = self._restart.report()
        if report != self._told and not self._tell(report):
            return
        if report.outcome != "under way":
            self._restart = None

    def _tell(self, report: RestartReport) -> bool:
        """Say how an order fares; False where the disk takes nothing now, and it has to be said again."""
        try:
            tell_restart(self._state, report)
        except OSError as error:
            _log.warning("how restart %s fares cannot be told: %s", report.order, error)
            return False
        self._told = report
        if report.outcome != "under way":
            _log.info("restart %s is %s. %s", report.order, report.outcome, report.reason)
            self._notes.leave(self._entry(report))
        return True

    def _entry(self, report: RestartReport) -> Draft:
        """What goes on record about an order that is over."""
        replaced = {step.process: step.successor for step in report.steps if step.state is SuccessionState.REPLACED}
        return Draft(
            id=f"restart:{report.order}",
            at=business_clock(self._state.clock).now(),
            actor="operator",
            subject="process/supervisor",
            reason=f"A person asked: restart {report.scope}. {report.reason or 'Each process was replaced.'}",
            fact=ProcessesRestarted(scope=report.scope, replaced=replaced, whole=report.outcome == "done"),
        )


def _say_fault(step: RestartStep) -> str:
    if step.state is SuccessionState.KEPT:
        return f"{step.successor}, which was to replace {step.process}, does not come up: {step.why}"
    return f"{step.process} has ended, and its successor does not come up: {step.why}"
