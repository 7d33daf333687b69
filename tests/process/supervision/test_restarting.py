"""In which order processes are replaced, and what becomes of an order that cannot be carried out."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from evertrain.core.succession import SuccessionState
from evertrain.process.supervision.child import Child, Post
from evertrain.process.supervision.restarting import Restarting, Standing
from evertrain.store.exit import ExitNotes, exit_notes
from evertrain.store.process import Role
from evertrain.store.restart import RestartReport, order_restart, restart_report
from evertrain.store.state import State
from evertrain.testing.installation import Installation
from evertrain.testing.tree import wait_until


class Scripted:
    """A tree of names: who is told what, in order. faults: why a successor of a process does not come up."""

    def __init__(self, faults: dict[str, str] | None = None, deaf: str = "") -> None:
        self._faults = faults or {}
        self._deaf = deaf
        self._place: dict[Child, str] = {}
        self.told: list[str] = []
        self.workers: Sequence[Child] = [child_of("w0"), child_of("w1")]
        self.planes: Sequence[Child] = [child_of("controller", "controller"), child_of("data", "data")]

    def nominate(self, old: Child) -> Child:
        return self._successor("nominate", old)

    def appoint(self, old: Child, successor: Child) -> None:
        self.told.append(f"appoint {successor.post.name} for {old.post.name}")

    def reject(self, successor: Child) -> None:
        self.told.append(f"reject {successor.post.name}")

    def make_room(self, old: Child) -> Child:
        return self._successor("make room", old)

    def has_left(self, _: Child) -> bool:
        return True

    def standing_of(self, child: Child) -> Standing:
        fault = self._faults.get(self._place[child], "")
        return Standing(is_up=not fault and self._place[child] != self._deaf, fault=fault)

    def _successor(self, deed: str, old: Child) -> Child:
        self.told.append(f"{deed} {old.post.name}")
        successor = child_of(f"{old.post.name}+", old.post.role)
        self._place[successor] = old.post.name
        return successor


def child_of(name: str, role: Role = "worker") -> Child:
    return Child(Post(name=name, role=role, command=()))


@pytest.fixture
def state(tmp_path: Path) -> State:
    return Installation(tmp_path / "state").state


def carried_out(state: State, tree: Scripted, patience_s: float = 60.0) -> RestartReport:
    """What is said at the end of an order to restart all."""
    restarting = Restarting(state, tree, ExitNotes(state), patience_s=patience_s)
    order_restart(state, "all")

    def is_over() -> bool:
        restarting.look()
        report = restart_report(state)
        return report is not None and report.outcome != "under way"

    wait_until(is_over, "the end of the restart")
    report = restart_report(state)
    assert report is not None
    return report


def test_workers_come_first_one_at_a_time_and_then_the_planes(state: State) -> None:
    tree = Scripted()
    report = carried_out(state, tree)
    assert (report.outcome, report.reason) == ("done", "")
    assert tree.told == [
        "nominate w0",
        "appoint w0+ for w0",
        "nominate w1",
        "appoint w1+ for w1",
        "make room controller",
        "make room data",
    ]
    [note] = exit_notes(state)
    assert note.id == f"restart:{report.order}"


def test_a_worker_that_does_not_come_up_ends_it_before_a_plane_is_touched(state: State) -> None:
    tree = Scripted(faults={"w1": "It cannot load."})
    report = carried_out(state, tree)
    assert report.outcome == "stopped"
    assert report.reason == "w1+, which was to replace w1, does not come up: It cannot load."
    assert tree.told[-2:] == ["nominate w1", "reject w1+"]
    assert [step.state for step in report.steps] == [
        SuccessionState.REPLACED,
        SuccessionState.KEPT,
        SuccessionState.WAITING,
        SuccessionState.WAITING,
    ]


def test_a_plane_that_does_not_come_up_in_time_is_told(state: State) -> None:
    report = carried_out(state, Scripted(deaf="controller"), patience_s=0.0)
    assert report.outcome == "stopped"
    assert report.reason.startswith("controller has ended, and its successor does not come up: It did not come up")
    assert report.steps[-1].state is SuccessionState.WAITING


class Furnished(Scripted):
    """The environment of the first successor is being built for so many looks; then it does not come up."""

    looks = 3

    def standing_of(self, child: Child) -> Standing:
        self.looks -= 1
        child.able = time.monotonic() + 60.0 if self.looks else 0.0
        return Standing(is_up=False)


def test_a_successor_has_its_time_once_its_environment_is_there(state: State) -> None:
    tree = Furnished()
    report = carried_out(state, tree, patience_s=0.0)
    assert (tree.looks, report.outcome) == (0, "stopped")
    assert tree.told == ["nominate w0", "reject w0+"]


def test_an_order_to_a_supervisor_that_is_gone_is_not_carried_out(state: State) -> None:
    order_restart(state, "all")
    tree = Scripted()
    Restarting(state, tree, ExitNotes(state)).look()
    assert tree.told == []
    assert restart_report(state) is None


def test_a_restart_that_was_under_way_when_the_supervisor_ended_is_over(state: State) -> None:
    first = Restarting(state, Scripted(deaf="w0"), ExitNotes(state))
    order_restart(state, "workers")
    first.look()
    found = restart_report(state)
    assert found is not None
    assert found.outcome == "under way"
    tree = Scripted()
    Restarting(state, tree, ExitNotes(state)).look()
    found = restart_report(state)
    assert found is not None
    assert (found.outcome, tree.told) == ("stopped", [])
    assert "The supervisor ended meanwhile" in found.reason
