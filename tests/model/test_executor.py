import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import psutil
import pytest

from evertrain.errors import NotFoundError, TransitionError, UserError
from evertrain.model.executor import Crashed, Done, LocalExecutor, Outcome, Running, Task
from evertrain.store.process import start_of
from evertrain.store.state import State
from evertrain.testing.tree import wait_until

AUTOGROUP = Path("/proc/self/autogroup")
WORK = """
import ctypes, json, os, pathlib, resource, signal, subprocess, sys, time

folder = pathlib.Path(sys.argv[sys.argv.index("--task") + 1])
arguments = json.loads((folder / "task.json").read_text())

def end(value):
    (folder / "draft").write_text(json.dumps(value))
    (folder / "draft").rename(folder / "result.json")

def print_a_word():
    print("Done.")
    end("said")

def describe():
    end({
        "nice": os.nice(0), "threads": os.environ["OMP_NUM_THREADS"], "hash_seed": os.environ["PYTHONHASHSEED"],
        "data": resource.getrlimit(resource.RLIMIT_DATA)[0], "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "cwd": os.getcwd(), "leader": os.getpid() == os.getsid(0), "arguments": arguments,
        "share": read("/proc/self/autogroup").strip().rpartition(" ")[2],
    })

def read(path):
    return pathlib.Path(path).read_text() if os.path.exists(path) else ""

def wait():
    (folder / "started").touch()
    while not (folder / "go").exists():
        time.sleep(0.005)
    end("waited")

def wait_with_a_child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(str(child.pid))
    wait()

def fail():
    raise ValueError("no rows before 2013-02-06")

def segfault():
    ctypes.string_at(0)

def hang():
    while True:
        pass

def allocate():
    kept = []
    while True:
        kept.append(bytearray(8 << 20))

def map_memory():
    import mmap
    shared = mmap.mmap(-1, 512 << 20)  # shared: no part of the data segment, so only the watch sees it
    for at in range(0, len(shared), 4096):
        shared[at] = 1
    (folder / "started").touch()
    hang()

def linger():
    end("done, and still here")
    hang()

def leave_a_child():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (folder / "child").write_text(str(child.pid))
    fail()

def print_without_end():
    for _ in range(200_000):
        print("x" * 99)
    (folder / "started").touch()
    hang()

globals()[arguments["do"]]()
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """A state directory, and a module of work that the started processes find. Ends what a failed test left."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "work_of_tests.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(modules))
    state = State.create(tmp_path / "my state ☃")
    yield state
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(state.path) in " ".join(process.cmdline()):
                process.kill()


def task(do: str, *, name: str = "late-flights/c1/train", timeout_s: float = 600.0, nice: int = 0) -> Task:
    """A task of a cycle. nice: at 19 it gets nothing on a machine that is busy with other tests."""
    return Task(
        id=name,
        module="work_of_tests",
        arguments={"do": do},
        memory_mb=256,
        timeout_s=timeout_s,
        nice=nice,
    )


def running_children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if start_of(child.pid) is not None]


def outcome_of(executor: LocalExecutor, name: str = "late-flights/c1/train") -> Outcome:
    wait_until(lambda: not isinstance(executor.poll(name), Running))
    return executor.poll(name)


def run(state: State, work: Task) -> Outcome:
    executor = LocalExecutor(state)
    executor.submit(work)
    return outcome_of(executor, work.id)


def crash_of(state: State, work: Task) -> Crashed:
    outcome = run(state, work)
    assert isinstance(outcome, Crashed)
    return outcome


def folder_of(state: State) -> Path:
    return state.tasks / "late-flights/c1/train"


def test_a_task_runs_confined_from_its_first_line(state: State) -> None:
    outcome = run(state, task("describe", nice=19))
    assert isinstance(outcome, Done)
    assert json.loads(outcome.result) == {
        "nice": 19,
        "threads": "1",
        "data": 256 << 20,
        "core": 0,
        "cwd": str(folder_of(state)),
        "leader": True,
        "arguments": {"do": "describe"},
        "hash_seed": "0",
        "share": "19" if AUTOGROUP.exists() else "",
    }


def test_a_tuple_among_the_arguments_is_the_same_task_again(state: State) -> None:
    executor = LocalExecutor(state)
    tupled = msgspec.structs.replace(task("describe"), arguments={"do": "describe", "rehearsals": ()})
    executor.submit(tupled)
    executor.submit(tupled)
    outcome_of(executor)


def test_submitting_again_changes_nothing(state: State) -> None:
    executor = LocalExecutor(state)
    executor.submit(task("describe"))
    executor.submit(task("describe"))
    first = outcome_of(executor)
    executor.submit(task("describe"))
    assert executor.poll("late-flights/c1/train") == first
    with pytest.raises(TransitionError, match="differs"):
        executor.submit(task("fail"))


def test_a_task_that_stands_goes_on_under_other_settings(state: State) -> None:
    """Else a controller that starts again with another `trainer_nice` or `trainer_threads` would end at each look."""
    executor = LocalExecutor(state)
    executor.submit(task("describe"))
    given = {"do": "describe", "threads": 4}
    executor.submit(msgspec.structs.replace(task("describe"), arguments=given, threads=4, nice=0, memory_mb=64))
    assert isinstance(outcome_of(executor), Done)


def test_an_exception_is_told_with_the_users_frames(state: State) -> None:
    crashed = crash_of(state, task("fail"))
    assert crashed.cause == "It exited with code 1: ValueError: no rows before 2013-02-06"
    assert "in fail" in crashed.tail
    assert "runpy" not in crashed.tail


def test_a_signal_is_named(state: State) -> None:
    assert crash_of(state, task("segfault")).cause == "It was killed by SIGSEGV."


def test_a_hang_is_ended_at_its_limit(state: State) -> None:
    assert crash_of(state, task("hang", timeout_s=0.3)).cause == "It ran longer than its limit of 0.3 s."


def test_memory_beyond_the_limit_is_named(state: State) -> None:
    cause = crash_of(state, task("allocate")).cause  # inside, by the failed allocation, or outside, by the watch
    assert cause.endswith("its limit is 256 MiB.")
    assert "memory" in cause


def test_memory_that_the_kernel_does_not_count_is_watched(state: State) -> None:
    cause = crash_of(state, task("map_memory")).cause
    assert cause.startswith("It held ")
    assert cause.endswith(" MiB of memory, its limit is 256 MiB.")


def test_a_process_that_lingers_after_its_result_is_ended(state: State) -> None:
    executor = LocalExecutor(state)
    executor.submit(task("linger"))
    assert outcome_of(executor) == Done(b'"done, and still here"')
    wait_until(lambda: not running_children())


def test_what_a_task_left_running_ends_with_it(state: State) -> None:
    crash_of(state, task("leave_a_child"))
    child = int((folder_of(state) / "child").read_text())
    wait_until(lambda: start_of(child) is None)


def test_what_a_task_prints_is_bounded(state: State) -> None:
    executor = LocalExecutor(state)
    executor.submit(task("print_without_end"))
    wait_until((folder_of(state) / "started").exists)
    executor.poll("late-flights/c1/train")
    assert (folder_of(state) / "stderr.log").stat().st_size < 5 << 20
    executor.kill("late-flights/c1/train")


def test_the_newest_tasks_stay_and_those_that_are_not_over(state: State) -> None:
    executor = LocalExecutor(state, most=2)
    executor.submit(task("hang", name="c0"))
    for name in ("c1", "c2", "c3"):
        executor.submit(task("print_a_word", name=name))
        assert outcome_of(executor, name) == Done(b'"said"')
    assert sorted(folder.name for folder in state.tasks.iterdir()) == ["c0", "c2", "c3"]
    executor.kill("c0")
    executor.submit(task("fail", name="c4"))
    assert isinstance(outcome_of(executor, "c4"), Crashed)
    executor.submit(task("print_a_word", name="c5"))
    assert outcome_of(executor, "c5") == Done(b'"said"')
    assert sorted(folder.name for folder in state.tasks.iterdir()) == ["c4", "c5"]


def test_a_task_can_be_stopped(state: State) -> None:
    executor = LocalExecutor(state)
    executor.submit(task("hang"))
    executor.kill("late-flights/c1/train", "Superseded.")
    assert executor.poll("late-flights/c1/train") == Crashed("Superseded.")
    wait_until(lambda: not running_children())


def test_unknown_and_unfit_ids_are_refused(state: State) -> None:
    executor = LocalExecutor(state)
    with pytest.raises(NotFoundError, match="no task c9"):
        executor.poll("c9")
    for unfit in ("", "../c1", "/c1", "a//b", "a/../b", ".hidden", "ü"):
        with pytest.raises(UserError, match="is no id"):
            executor.poll(unfit)


def test_a_start_that_was_cut_off_is_made_again(state: State) -> None:
    """The controller died after it had written the task and before a process had its lease."""
    first = LocalExecutor(state)
    first.submit(task("wait"))
    first.kill("late-flights/c1/train")
    wait_until(lambda: not running_children())
    for name in ("crash.json", "lease"):
        (folder_of(state) / name).unlink(missing_ok=True)
    (folder_of(state) / "go").touch()
    assert outcome_of(LocalExecutor(state)) == Done(b'"waited"')


def test_two_starts_of_one_task_run_it_once(state: State) -> None:
    executor, other = LocalExecutor(state), LocalExecutor(state)
    executor.submit(task("wait"))
    other._start(task("wait"))
    wait_until((folder_of(state) / "started").exists)
    wait_until(lambda: len(running_children()) == 1)  # the second found the lease taken
    assert isinstance(other.poll("late-flights/c1/train"), Running)
    (folder_of(state) / "go").touch()
    assert outcome_of(executor) == outcome_of(other) == Done(b'"waited"')


CONTROLLER = """
import sys, time
from pathlib import Path
from evertrain.model.executor import LocalExecutor, Task
from evertrain.store.state import State
LocalExecutor(State.open(Path(sys.argv[1]))).submit(
    Task(id="late-flights/c1/train", module="work_of_tests", arguments={"do": sys.argv[2]}, memory_mb=256,
         timeout_s=float(sys.argv[3]), nice=0))
print("submitted", flush=True)
time.sleep(600)
"""


def submit_elsewhere_and_kill(state: State, do: str, timeout_s: float = 600.0) -> None:
    """A controller submits the task and is killed as soon as the task runs."""
    command = [sys.executable, "-c", CONTROLLER, str(state.path), do, str(timeout_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as controller:
        assert controller.stdout is not None
        assert controller.stdout.readline() == "submitted\n"
        wait_until(lambda: (folder_of(state) / "lease").exists() and (folder_of(state) / "lease").stat().st_size > 0)
        controller.send_signal(signal.SIGKILL)


def test_work_goes_on_without_its_controller_and_is_taken_over(state: State) -> None:
    submit_elsewhere_and_kill(state, "wait")
    executor = LocalExecutor(state)
    executor.submit(task("wait"))
    assert isinstance(executor.poll("late-flights/c1/train"), Running)
    assert not running_children()
    (folder_of(state) / "go").touch()
    assert outcome_of(executor) == Done(b'"waited"')


def test_a_result_that_came_while_nobody_watched_is_found(state: State) -> None:
    submit_elsewhere_and_kill(state, "wait")
    (folder_of(state) / "go").touch()
    wait_until((folder_of(state) / "result.json").exists)
    assert outcome_of(LocalExecutor(state)) == Done(b'"waited"')


def test_a_hang_is_ended_by_the_next_controller(state: State) -> None:
    submit_elsewhere_and_kill(state, "hang", 0.3)
    executor = LocalExecutor(state)
    outcome = outcome_of(executor)
    assert outcome == Crashed("It ran longer than its limit of 0.3 s.")
    assert LocalExecutor(state).poll("late-flights/c1/train") == outcome


def test_a_crash_that_nobody_saw_is_seen_the_next_time(state: State) -> None:
    submit_elsewhere_and_kill(state, "segfault")
    outcome = outcome_of(LocalExecutor(state))
    assert isinstance(outcome, Crashed)
    assert outcome.cause == "It was killed by SIGSEGV."


def pid_of(state: State) -> int:
    """The process of the task, once it runs the work."""
    wait_until((folder_of(state) / "started").exists)
    (folder_of(state) / "started").unlink()
    return int(json.loads((folder_of(state) / "lease").read_text())["pid"])


@pytest.mark.parametrize("watched", [True, False])
def test_a_task_that_somebody_kills_is_started_again(state: State, watched: bool) -> None:
    executor = LocalExecutor(state)
    executor.submit(task("wait"))
    killed = pid_of(state)
    os.kill(killed, signal.SIGKILL)
    if not watched:
        os.waitpid(killed, 0)
        executor = LocalExecutor(state)
    wait_until(lambda: isinstance(executor.poll("late-flights/c1/train"), Running) and bool(running_children()))
    (folder_of(state) / "go").touch()
    assert outcome_of(executor) == Done(b'"waited"')


def test_what_a_killed_task_left_running_is_ended_before_it_is_started_again(state: State) -> None:
    executor = LocalExecutor(state)
    executor.submit(task("wait_with_a_child"))
    killed = pid_of(state)
    child = int((folder_of(state) / "child").read_text())
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    (folder_of(state) / "go").touch()
    assert outcome_of(LocalExecutor(state)) == Done(b'"waited"')
    assert start_of(child) is None


def test_a_task_that_is_killed_again_and_again_is_given_up(state: State) -> None:
    executor = LocalExecutor(state)
    executor.submit(task("wait"))
    for _ in range(6):
        os.kill(pid_of(state), signal.SIGKILL)
        wait_until(lambda: not running_children())
        outcome = executor.poll("late-flights/c1/train")
    assert isinstance(outcome, Crashed)
    assert outcome.cause.startswith("It was killed by SIGKILL")


def test_a_process_of_another_that_got_the_number_is_left_alone(state: State) -> None:
    """The lease names the number of a process that is not ours: it is neither adopted nor killed."""
    executor = LocalExecutor(state)
    executor.submit(task("wait"))
    executor.kill("late-flights/c1/train")
    wait_until(lambda: not running_children())
    (folder_of(state) / "crash.json").unlink()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as other:
        (folder_of(state) / "lease").write_text(f'{{"pid": {other.pid}, "begun": 0.0}}')
        (folder_of(state) / "go").touch()
        assert outcome_of(LocalExecutor(state)) == Done(b'"waited"')
        assert os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        other.communicate(b"\n")
