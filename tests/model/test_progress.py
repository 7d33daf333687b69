"""What runs and how long the like took, from tasks that real processes do."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import pytest

from evertrain.core.identity import ServiceName
from evertrain.model.executor import Crashed, Done, LocalExecutor, Task
from evertrain.model.progress import Tasks
from evertrain.store.state import State
from evertrain.testing.tree import wait_until

WORK = """
import json, pathlib, sys, time

folder = pathlib.Path(sys.argv[sys.argv.index("--task") + 1])
way = json.loads((folder / "task.json").read_text())["seed"]
if way == 1:
    raise ValueError("no rows")
while not (folder / "go").exists():
    time.sleep(0.005)
(folder / "draft").write_text("{}")
(folder / "draft").rename(folder / "result.json")
"""
SHOP = ServiceName("shop")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """A state directory, and a module of work that the started processes find. Ends what a failed test left."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "long_work.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(modules), os.environ.get("PYTHONPATH", "")]))
    state = State.create(tmp_path / "state")
    yield state
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(state.path) in " ".join(process.cmdline()):
                process.kill()


def task(name: str, *, recipe: str = "fast", fails: bool = False) -> Task:
    arguments = {"stage": "train", "service": SHOP, "recipe": recipe, "seed": int(fails)}
    return Task(id=name, module="long_work", arguments=arguments, memory_mb=512, timeout_s=600.0, nice=0)


def begin(executor: LocalExecutor, tasks: Tasks, work: Task) -> None:
    executor.submit(work)
    wait_until(lambda: len(tasks.under_way()) == 1, "a process at work")


def end(state: State, executor: LocalExecutor, name: str, after_s: float) -> None:
    """Let a task end that began, by its record, so many seconds ago."""
    submitted = state.tasks / name / "submitted.json"
    began = submitted.stat().st_mtime - after_s
    os.utime(submitted, (began, began))
    (state.tasks / name / "go").touch()
    wait_until(lambda: isinstance(executor.poll(name), Done), "its end")


def test_what_runs_is_told_with_how_long_the_like_took(state: State) -> None:
    executor, tasks = LocalExecutor(state), Tasks(state.tasks)
    assert tasks.under_way() == []
    for number, seconds in enumerate((100.0, 300.0)):
        begin(executor, tasks, task(f"shop-c{number}-train-0"))
        end(state, executor, f"shop-c{number}-train-0", seconds)
        assert tasks.under_way() == []
    begin(executor, tasks, task("shop-c2-train-0"))
    for looker in (tasks, Tasks(state.tasks)):  # one that has seen it all, and one that comes now
        [found] = looker.under_way()
        assert (found.service, found.stage, found.recipe, found.limit_s) == (SHOP, "train", "fast", 600.0)
        assert found.took == pytest.approx((300.0, 100.0), abs=20.0)
    end(state, executor, "shop-c2-train-0", 0.0)


def test_what_failed_or_was_interrupted_or_is_of_another_recipe_says_nothing(state: State) -> None:
    executor, tasks = LocalExecutor(state), Tasks(state.tasks)
    executor.submit(task("shop-c0-train-0", fails=True))
    wait_until(lambda: isinstance(executor.poll("shop-c0-train-0"), Crashed), "its crash")
    begin(executor, tasks, task("shop-c1-train-0", recipe="slow"))
    end(state, executor, "shop-c1-train-0", 50.0)
    begin(executor, tasks, task("shop-c2-train-0"))
    os.kill(msgspec.json.decode((state.tasks / "shop-c2-train-0" / "lease").read_bytes())["pid"], signal.SIGKILL)
    wait_until(lambda: tasks.under_way() == [], "its end")

    def is_at_work_again() -> bool:
        executor.poll("shop-c2-train-0")  # whoever looks starts it again, once its end can be seen
        return len(tasks.under_way()) == 1

    wait_until(is_at_work_again, "a process at work again")
    end(state, executor, "shop-c2-train-0", 50.0)
    begin(executor, tasks, task("shop-c3-train-0"))
    assert [one.took for one in tasks.under_way()] == [()]
    end(state, executor, "shop-c3-train-0", 0.0)
