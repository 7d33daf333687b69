"""From settings to a running tree: everything that may refuse does so before anything is written."""

import contextlib
import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec
import psutil

from evertrain.config.hook import Hook, secret_of
from evertrain.config.settings import PREFIX, Settings
from evertrain.errors import CapacityError, IntegrityError, OccupiedError
from evertrain.process.port import can_bind, claim, holders_of, require_free
from evertrain.process.supervision.errand import Submission, command_of, run_module
from evertrain.process.supervision.supervisor import Supervisor
from evertrain.store.hook import HookRoll
from evertrain.store.lease import Lease
from evertrain.store.process import PARENT, alive, beat, forget, heartbeat_of, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.store.start import Start, last_start, note_start
from evertrain.store.state import State, refuse_folder

__all__ = ["Startup", "declaration", "model_file"]

LEASE = "supervisor.lease"
_SELF = "supervisor"


class Startup:
    """An installation that is ours and whose ports are ours, ready to be declared to and to be run.

    environment: settings of the command line, as EVERTRAIN_* for the processes of the tree. is_new: the state directory
    was made by this start. lack: why nothing can be put on record now, "" where it can. before: how it was started the
    last time, None where it never was.
    """

    def __init__(
        self,
        state: State,
        settings: Settings,
        lease: Lease,
        listener: socket.socket,
        environment: dict[str, str],
        *,
        is_new: bool,
        lack: str = "",
        start: Start,
        before: Start | None = None,
    ) -> None:
        self.state = state
        self.settings = settings
        self.is_new = is_new
        self.lack = lack
        self.before = before
        self._start = start
        self._lease = lease
        self._listener = listener
        self._environment = environment

    @classmethod
    def begin(
        cls,
        settings: Settings,
        environment: dict[str, str],
        submissions: Sequence[Submission] = (),
        words: Sequence[str] = (),
    ) -> Self:
        """Take the installation and its ports, make what is missing of the state directory, and record submissions.

        words: the flags that start it so again.

        Before a new state directory is made, each of them is looked at, and may be refused. OccupiedError when another
        supervisor runs it, or another process has a port; UserError for a folder that is not ours. Processes that a
        dead supervisor left here may hold the ports.
        """
        folder = Path(settings.dir).absolute()
        for hook in settings.hooks:
            secret_of(hook)
        start = _start_of(settings, words)
        settings, environment = _with_control_port(settings, environment)
        with contextlib.ExitStack() as undo:
            lease = None
            is_new = not (folder / "state.json").exists()
            if not is_new:
                State.open(folder)
                lease = undo.enter_context(_lease_of(folder, submissions))
            own = _own_processes(folder, settings)
            if is_new:
                refuse_folder(folder)
                for submission in submissions:
                    undo.callback(submission.withdraw)
                    submission.look(environment)
            _require_ports(settings, own)
            listener = undo.enter_context(claim(settings.host, settings.port, own=own))
            state = State.create(folder)
            if lease is None:
                lease = undo.enter_context(Lease.take(folder / LEASE, "its supervisor"))
            undo.callback(forget, state, _SELF)
            _say_starting(state)
            lack = _record(state, submissions, environment)
            before = last_start(state)
            note_start(state, start)
            _put_hooks(state, settings.hooks)
            undo.pop_all()
        return cls(state, settings, lease, listener, environment, is_new=is_new, lack=lack, start=start, before=before)

    @property
    def moved(self) -> str:
        """Which doors were elsewhere at the last start, and how to start it as it was; "" when none was."""
        moved = "" if self.before is None else self._start.moved_from(self.before)
        if not moved or self.before is None:
            return ""
        return f"OTHER PORTS than last time: {moved}. As it was: {self.before.command(self.state)}"

    @property
    def address(self) -> str:
        """Where predictions are answered."""
        host, port = self._listener.getsockname()[:2]
        return f"http://{host}:{port}"

    def follow(self, file: Path, data: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a process that applies the declaration whenever it changes; it ends with this one, or when told to."""
        words = ["--dir", str(self.state.path), *_declared(file, data)]
        return subprocess.Popen(
            command_of("declaration.reloading", words),
            env=os.environ | self._environment | {PARENT: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(
        self, stopping: threading.Event, hurry: threading.Event | None = None, ready: Callable[[], None] = lambda: None
    ) -> None:
        """Run the tree until `stopping` is set and everything has ended; `hurry` ends it without waiting."""
        supervisor = Supervisor(self.state, self.settings, self._listener, environment=self._environment, ready=ready)
        supervisor.run(stopping, hurry)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        forget(self.state, _SELF)
        self._listener.close()
        self._lease.release()


def declaration(file: Path, data: Path | None = None) -> Submission:
    """A file that declares services; the answer is their names, one a line."""
    return Submission("declaration.declaring", _declared(file, data))


def model_file(words: Sequence[str], instead: str = "") -> Submission:
    """A model file, as a version of a service without sources, by an order to the loop; the answer is its id.

    words: of `evertrain.process.steering.importing`, without the state directory.
    """
    return Submission("steering.importing", words, instead)


def _lease_of(folder: Path, submissions: Sequence[Submission]) -> Lease:
    """The lease of an installation that is there. Where another process has it, the remedy is what was meant."""
    try:
        return Lease.take(folder / LEASE, "its supervisor")
    except OccupiedError as error:
        instead = " and ".join(f"`{one.instead}`" for one in submissions if one.instead)
        if not instead:
            raise
        raise OccupiedError(
            error.what, f"It runs, so the file comes in by {instead}; or name another folder."
        ) from error


def _declared(file: Path, data: Path | None) -> list[str]:
    return [*([] if data is None else ["--data", str(data)]), str(file)]


def _require_ports(settings: Settings, own: Collection[int]) -> None:
    """OccupiedError that names every port which another process has."""
    doors = (
        ("The predict port", settings.host, settings.port),
        ("The control port", settings.control_host, settings.control_port),
    )
    found: list[OccupiedError] = []
    for what, host, port in doors:
        try:
            require_free(host, port, what=what, own=own)
        except OccupiedError as error:
            found.append(error)
    if len(found) > 1:
        said = " ".join(error.what for error in found)
        raise OccupiedError(said, "Stop what has them, or choose others with --port and --control-port.")
    if found:
        raise found[0]


def _start_of(settings: Settings, words: Sequence[str]) -> Start:
    return Start(
        words=tuple(words),
        predictions=f"{settings.host}:{settings.port}",
        page=f"{settings.control_host}:{settings.control_port}",
    )


def _with_control_port(settings: Settings, environment: dict[str, str]) -> tuple[Settings, dict[str, str]]:
    """Port 0 of the control door becomes a free one here: the controller keeps it when it starts anew."""
    if settings.control_port:
        return settings, environment
    with socket.create_server((settings.control_host, 0)) as probe:
        port = probe.getsockname()[1]
    return (
        msgspec.structs.replace(settings, control_port=port),
        environment | {f"{PREFIX}CONTROL_PORT": str(port)},
    )


def _put_hooks(state: State, hooks: tuple[Hook, ...]) -> None:
    """Those of this start are in force, also where the disk is full: then the controller has them from its settings."""
    roll = HookRoll(state)
    try:
        roll.put(hooks)
    except OSError:
        with contextlib.suppress(OSError):
            roll.forget()


def _own_processes(folder: Path, settings: Settings) -> set[int]:
    """Those of this installation that run: each that signed in, and who has its port without having come to that."""
    if not (folder / "state.json").exists():
        return set()
    state = State.open(folder)
    signed = {found.pid for found in heartbeats(state) if alive(found)}
    if can_bind(settings.host, settings.port):
        return signed
    return signed | {pid for pid in holders_of(settings.port, signed) if _was_started_on(pid, state)}


def _was_started_on(pid: int, state: State) -> bool:
    """Whether its command line is one of this state directory's."""
    with contextlib.suppress(psutil.Error):
        return ("--dir", str(state.path)) in itertools.pairwise(psutil.Process(pid).cmdline())
    return False


def _say_starting(state: State) -> None:
    """Whoever looks now is to know that somebody is at it: reading a declaration may take seconds."""
    beat(
        state, msgspec.structs.replace(heartbeat_of(_SELF, "supervisor"), starting=True, note="reads what it is given")
    )


def _record(state: State, submissions: Sequence[Submission], environment: Mapping[str, str]) -> str:
    """Complete the installation, and put on record what was submitted; in processes that may load a database.

    Returns why that cannot be, where users are answered all the same: workers need nothing but the last routing table.
    """
    try:
        for submission in submissions:
            submission.record(state.path, environment)
        if not submissions:
            run_module("declaration.installing", ["--dir", str(state.path)])
    except (CapacityError, IntegrityError) as error:
        if not RoutingFile(state.routing).read().routes:
            raise
        lost = "; what was given is not on record: give it again" if submissions else ""
        return f"{error} Until then the last versions answer, and nothing is decided{lost}."
    return ""
