"""Work in processes of their own that a restart of the controller neither loses nor repeats.

Everything about a task lies in its folder, control/tasks/<id>/, and nothing in memory:

    task.json       the arguments, for the process
    submitted.json  the whole task
    lease           locked for as long as the process, or a child of its, lives; number and begin of the process
    stderr.log      what it printed, bounded
    result.json     its result, written by the process in one step
    crash.json      why there will be none
    restarts        how often it was started again

so an executor that is made anew after SIGKILL finds what the last one left: running work goes on and is watched
again, finished work is there. At most one process works on a task, by the kernel's lock. A process that somebody else
killed, or that ended while nobody watched, says nothing about the work: it is started again, five times at most.

Whoever asked puts the result on record, so a folder is of use for as long as people ask what a task printed: the newest
thousand stay, and all whose work is not over.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil

from evertrain.core.identity import canonical
from evertrain.errors import NotFoundError, TransitionError, UserError
from evertrain.model import limits
from evertrain.model.kin import end_group, resident
from evertrain.model.obituary import say_exit, say_tail
from evertrain.store.file import write_atomically
from evertrain.store.state import State

__all__ = ["Crashed", "Done", "LocalExecutor", "Outcome", "Running", "Task", "is_at_work"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_LOG_BYTES = 4 << 20
_MOST_RESTARTS = 5
_MOST_TASKS = 1000
_LOOK_S = 0.2
_MIB = 1 << 20


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work: `python -m module --task FOLDER --dir DIR`, with `arguments` as FOLDER/task.json.

    id: parts of letters, digits, '.', '_' and '-', joined by '/'. memory_mb: MiB. timeout_s: of real time. environment:
    what it runs in (`Manifest.runs_in`), built first if it is not there.
    """

    id: str
    module: str
    arguments: dict[str, Any] = {}
    memory_mb: int = 4096
    timeout_s: float = 3600.0
    threads: int = 1
    nice: int = 19
    environment: str = ""


class Running(msgspec.Struct, frozen=True):
    """Not over yet."""


class Done(msgspec.Struct, frozen=True):
    """The bytes of result.json."""

    result: bytes


class Crashed(msgspec.Struct, frozen=True):
    """There is no result and will be none. cause: one sentence. tail: the last lines that the process printed."""

    cause: str
    tail: str = ""


Outcome = Running | Done | Crashed


class _Grip(msgspec.Struct, frozen=True):
    """What the process wrote into its lease. begun: the system's monotonic clock."""

    pid: int
    begun: float


def _work_of(task: Task) -> bytes:
    """What a task is to do, without what it may take for it. As JSON: what was read back has lists for tuples."""
    return canonical((task.module, {name: value for name, value in task.arguments.items() if name != "threads"}))


class LocalExecutor:
    """Runs tasks as processes of this machine. One executor at a time works on a state directory.

    most: so many folders stay, and those of work that is not over.
    """

    def __init__(self, state: State, most: int = _MOST_TASKS) -> None:
        self._state = state
        self._most = most
        self._children: dict[str, int] = {}
        self._exits: dict[str, int] = {}
        self._looked: dict[str, float] = {}

    def submit(self, task: Task) -> None:
        """Start the task, unless it runs, is done or has crashed already: to try again, submit under a new id.

        Other work under an id that stands raises TransitionError. What it may take is no part of that: it follows from
        settings, which may be others since a restart, and the task goes on with what it was given.
        """
        folder = self._folder(task.id)
        if (folder / "submitted.json").exists():
            if _work_of(self._submitted(task.id)) != _work_of(task):
                raise TransitionError(f"Task {task.id} stands already, and differs.", "Give the new one a new id.")
        else:
            self._remove_oldest()
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "task.json", canonical(task.arguments))
            write_atomically(folder / "submitted.json", canonical(task))
        self.poll(task.id)

    def poll(self, task_id: str) -> Outcome:
        """How far it is. Looks after time and memory as well: an overrun is killed here."""
        task = self._submitted(task_id)
        folder = self._folder(task_id)
        alive = self._alive(task_id)  # before the result is looked for: whoever has ended has written all it will
        crash, result = _read(folder / "crash.json"), _read(folder / "result.json")
        if crash is not None or result is not None:
            if alive:
                self._strike(task_id)
            self._exits.pop(task_id, None)
            self._looked.pop(task_id, None)
            return msgspec.json.decode(crash, type=Crashed) if crash is not None else Done(result or b"")
        if alive:
            excess = self._excess(task) if self._is_time_to_look(task_id) else None
            return Running() if excess is None else self._end(task_id, excess)
        if _grip(folder) is None and task_id not in self._exits:
            self._start(task)  # the executor that accepted it died before the process took its lease
            return Running()
        if self._exits.get(task_id) in (None, -signal.SIGKILL) and self._start_again(task):
            return Running()
        return self._end(task_id, say_exit(self._exits.get(task_id), _tail(folder), task.memory_mb))

    def kill(self, task_id: str, cause: str = "It was stopped.") -> None:
        """End the task, if it is not over: it counts as crashed, with `cause`."""
        if isinstance(self.poll(task_id), Running):
            self._end(task_id, cause)

    # The process -----------------------------------------------------------------------------------------------------

    def _start(self, task: Task) -> None:
        folder = self._folder(task.id)
        words = ("--task", str(folder), "--dir", str(self._state.path))
        work = self._state.command(task.environment, task.module, *words)
        launcher = [sys.executable, "-I", "-S", str(limits.__file__), str(folder / "lease")]
        command = [*launcher, str(task.memory_mb), str(task.nice), *work]
        log = (os.POSIX_SPAWN_OPEN, 1, str(folder / "stderr.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._children[task.id] = os.posix_spawn(
            command[0],
            command,
            os.environ | limits.thread_environment(task.threads) | {"PYTHONHASHSEED": "0", "PYTHONFAULTHANDLER": "1"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                log,
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT),
        )

    def _start_again(self, task: Task) -> bool:
        """Start a task anew whose process was interrupted; False when that was done often enough."""
        folder = self._folder(task.id)
        restarts = int(_read(folder / "restarts") or 0)
        if restarts >= _MOST_RESTARTS:
            return False
        grip = _grip(folder)
        if grip is not None and not psutil.pid_exists(grip.pid):
            end_group(grip.pid)
        if _is_locked(folder / "lease"):
            return grip is None or time.monotonic() - grip.begun <= task.timeout_s
        write_atomically(folder / "restarts", str(restarts + 1).encode())
        with contextlib.suppress(FileNotFoundError):
            os.truncate(folder / "lease", 0)
        self._exits.pop(task.id, None)
        self._start(task)
        return True

    def _alive(self, task_id: str) -> bool:
        for child_id, child in list(self._children.items()):
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self._bury(child_id, child)
        if task_id in self._children:
            return True
        folder = self._folder(task_id)
        if not _is_locked(folder / "lease"):
            return False
        grip = _grip(folder)
        return grip is None or _is_process_of(folder, grip.pid)

    def _bury(self, task_id: str, child: int) -> None:
        """Reap a child that has ended, after what it left running: until then nobody else can have its number."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        del self._children[task_id]
        code = os.waitstatus_to_exitcode(status)
        if code != limits.ALREADY_RUNS:
            self._exits[task_id] = code

    def _excess(self, task: Task) -> str | None:
        """What the process takes too much of, in words. Keeps its log within bounds on the way."""
        folder = self._folder(task.id)
        grip = _grip(folder)
        if grip is None:
            return None
        log = folder / "stderr.log"
        if log.stat().st_size > _LOG_BYTES:
            os.truncate(log, 0)
        if time.monotonic() - grip.begun > task.timeout_s:
            return f"It ran longer than its limit of {task.timeout_s:g} s."
        held = resident(grip.pid)
        if held > task.memory_mb * _MIB:
            return f"It held {held // _MIB} MiB of memory, its limit is {task.memory_mb} MiB."
        return None

    def _is_time_to_look(self, task_id: str) -> bool:
        """Memory is looked at now and then: finding a process's children reads the whole process table."""
        now = time.monotonic()
        if now - self._looked.get(task_id, 0.0) < _LOOK_S:
            return False
        self._looked[task_id] = now
        return True

    def _end(self, task_id: str, cause: str) -> Crashed:
        """Record the crash first: a controller that dies between the two leaves a process that `poll` ends."""
        folder = self._folder(task_id)
        crashed = Crashed(cause=cause, tail=say_tail(_tail(folder)))
        write_atomically(folder / "crash.json", msgspec.json.encode(crashed))
        self._strike(task_id)
        return crashed

    def _strike(self, task_id: str) -> None:
        """SIGKILL the process and its group, if they are still this task's."""
        folder, child = self._folder(task_id), self._children.get(task_id)
        grip = _grip(folder)
        if grip is not None and _is_locked(folder / "lease") and _is_process_of(folder, grip.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(grip.pid, signal.SIGKILL)
        elif child is not None:
            os.kill(child, signal.SIGKILL)  # it has not come as far as its lease

    # The folder ------------------------------------------------------------------------------------------------------

    def _folder(self, task_id: str) -> Path:
        if _ID.fullmatch(task_id) is None:
            raise UserError(f"{task_id!r} is no id of a task.", "Join letters, digits, '.', '_' and '-' by '/'.")
        return self._state.tasks / task_id

    def _remove_oldest(self) -> None:
        """Make room for one more folder."""
        with os.scandir(self._state.tasks) as entries:
            folders = [(entry.stat().st_mtime_ns, entry.path) for entry in entries]
        for _, path in sorted(folders, reverse=True)[self._most - 1 :]:
            folder = Path(path)
            is_over = (folder / "result.json").exists() or (folder / "crash.json").exists()
            if is_over and not _is_locked(folder / "lease"):
                shutil.rmtree(folder, ignore_errors=True)

    def _submitted(self, task_id: str) -> Task:
        content = _read(self._folder(task_id) / "submitted.json")
        if content is None:
            raise NotFoundError(f"There is no task {task_id}.", "Submit it first.")
        return msgspec.json.decode(content, type=Task)


def is_at_work(folder: Path) -> bool:
    """Whether a process works on the task of this folder. The process table says so; no lock is taken."""
    grip = _grip(folder)
    return grip is not None and _is_process_of(folder, grip.pid)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _grip(folder: Path) -> _Grip | None:
    """None while the process is between its lock and its first line."""
    content = _read(folder / "lease")
    return msgspec.json.decode(content, type=_Grip) if content else None


def _is_locked(lease: Path) -> bool:
    try:
        handle = os.open(lease, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _is_process_of(folder: Path, pid: int) -> bool:
    """Whether the process of this number was started for this folder: its command line names it."""
    try:
        return str(folder) in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def _tail(folder: Path, size: int = 16 << 10) -> str:
    try:
        with (folder / "stderr.log").open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
