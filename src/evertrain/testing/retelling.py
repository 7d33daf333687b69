"""Telling a story with the real processes, killing some of them on the way, and what two tellings have in common."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock, Timer

import msgspec
import polars as pl
import psutil

from evertrain.core import event as facts
from evertrain.core.registry import Registry
from evertrain.core.time import HOUR, Instant
from evertrain.data.commit import predictions_table
from evertrain.govern.selfaudit import verify
from evertrain.store.artifact import Artifacts
from evertrain.store.ledger import Ledger
from evertrain.store.process import alive, at_work, heartbeats, start_of
from evertrain.store.state import State
from evertrain.store.table import Table
from evertrain.story.demo import Demo, Ending
from evertrain.story.script import Script
from evertrain.story.teller import Told
from evertrain.testing.tree import free_port, wait_until

__all__ = ["Retold", "Victims", "busy_cpu", "running_in", "tell"]


class Retold(msgspec.Struct, frozen=True, kw_only=True):
    """What must be the same in every telling of one script.

    decisions: (business time, kind, subject, outcome). datasets: of each cycle that had one. models: the bytes of each
    version, in order. verdicts: (business time, verdict) of each judged version. scores: of each of the story's
    requests, by key, with the version's place and the arm that answered. (A version's id also names the versions of
    the tables that it was made from, and a killed data process commits more often.)
    """

    decisions: tuple[tuple[Instant, str, str, str], ...]
    datasets: dict[str, str]
    models: tuple[str, ...]
    verdicts: tuple[tuple[Instant, str], ...]
    scores: dict[str, tuple[float, int, str]]
    figures: dict[str, float]


def tell(
    folder: Path, script: Script, *, each_hour: Callable[[State, Instant], None] = lambda _, __: None
) -> tuple[Ending, Retold]:
    """Tell the whole story; `each_hour` is called after each of its hours. Nothing of it is left running."""

    def go_on(now: Instant, _: Told) -> None:
        each_hour(demo.state, now)

    demo = Demo(folder, script, port=free_port(), control_port=free_port(), tell=go_on)
    try:
        with demo:
            ending = demo.run()
    finally:
        left = [(process, process.cmdline()) for process in running_in(folder)]
        for process, _ in left:
            process.kill()
    if left:
        raise AssertionError(f"The story left {[command for _, command in left]} running")
    findings = verify(demo.state).findings
    if findings:
        raise AssertionError(f"The audit found {findings[:10]}")
    return ending, retold(demo.state, script, ending)


def retold(state: State, script: Script, ending: Ending) -> Retold:
    """What the ledger and the tables say when the story is over."""
    with Ledger.open(state.ledger) as ledger:
        events = ledger.read()
    record = Registry(events).service(script.service)
    artifacts = Artifacts.at(state.artifacts)
    order = {version: place for place, version in enumerate(record.versions)}
    table = Table(state.tables, predictions_table(script.service)).read()
    served = table.filter(~pl.col("load") & ~pl.col("retry")).unique("key").select("key", "score", "version", "arm")
    report = ending.report
    return Retold(
        decisions=tuple((one.at, one.kind, one.subject, one.outcome) for one in record.decisions),
        datasets={cycle.cycle: cycle.dataset.digest for cycle in record.cycles.values() if cycle.dataset},
        models=tuple(artifacts.manifest(version).model for version in record.versions),
        verdicts=tuple(
            (event.at, event.fact.verdict) for event in events if isinstance(event.fact, facts.VersionJudged)
        ),
        scores={key: (score, order[version], arm) for key, score, version, arm in served.iter_rows()},
        figures={
            name: getattr(report, name)
            for name in ("requests", "champion_auc", "static_auc", "champion_log_loss", "static_log_loss", "swaps")
        },
    )


def running_in(folder: Path) -> list[psutil.Process]:
    """Every process whose command line names the folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and any(str(folder) in word for word in process.cmdline()):
                found.append(process)
    return found


class Victims:
    """Whom to kill after which hour of the story (counted from its beginning): the name of a process, "worker" for
    one of them, "trainer" for all. delay: seconds from the end of that hour. killed: in the order in which it happened.

    An hour may last for a hundredth of a second. So a worker or the supervisor is left alone until there is another one
    that holds the port: where nobody is left, nobody answers, and no contract says so.
    """

    def __init__(
        self, script: Script, plan: Mapping[int, Sequence[str]], delay: Callable[[], float] = lambda: 0.0
    ) -> None:
        self._script, self._plan, self._delay = script, plan, delay
        self.killed: list[str] = []
        self._turn = Lock()

    def __call__(self, state: State, now: Instant) -> None:
        names = self._plan.get((now - self._script.begin) // HOUR, ())
        if names:
            timer = Timer(self._delay(), self._kill, (state, names))
            timer.daemon = True
            timer.start()

    def _kill(self, state: State, names: Sequence[str]) -> None:
        with self._turn:
            for name in names:
                if name in ("worker", "supervisor"):
                    wait_until(lambda: len(_holders(state)) > 1, "another one that holds the port")
                for pid in _trainers(state) if name == "trainer" else _processes(state, name):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        self.killed.append(name)
                        wait_until(partial(_is_gone, pid), f"the end of a {name}")


def _is_gone(pid: int) -> bool:
    return start_of(pid) is None


def _holders(state: State) -> list[str]:
    """Who takes connections, or keeps them waiting until somebody does."""
    return [found.name for found in heartbeats(state) if found.role in ("worker", "supervisor") and at_work(found)]


def _processes(state: State, name: str) -> list[int]:
    living = [found for found in heartbeats(state) if alive(found)]
    if name == "worker":
        return [found.pid for found in living if found.role == "worker"][:1]
    return [found.pid for found in living if found.name == name]


def _trainers(state: State) -> list[int]:
    """The processes of tasks that run now."""
    return [process.pid for process in running_in(state.tasks) if "--task" in process.cmdline()]


@contextlib.contextmanager
def busy_cpu(processes: int) -> Iterator[None]:
    """So many processes beside the story that do nothing but spin."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()
