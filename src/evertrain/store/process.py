"""Who is alive: an identity of each process that no reuse of a number can fake, and the heartbeat it leaves.

A process number alone says little: numbers are used again. An identity is the number with the start time that the
kernel gave the process, counted since boot, so that a clock that is set back changes nothing.
"""

import contextlib
import errno
import os
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec
import psutil

from evertrain.core.identity import VersionId
from evertrain.core.time import Instant
from evertrain.store.file import write_atomically
from evertrain.store.room import NO_ROOM, Room
from evertrain.store.state import State

__all__ = [
    "PARENT",
    "Heartbeat",
    "Role",
    "alive",
    "at_work",
    "beat",
    "beaten_at",
    "forget",
    "heartbeat_at",
    "heartbeat_of",
    "heartbeats",
    "parent_lives",
    "runs",
    "sign_in",
    "start_of",
]

PARENT: Final = "EVERTRAIN_PARENT"
"""The variable in which a process finds the number of the one that started it: it may be gone before it can ask."""

Role = Literal["worker", "controller", "data", "candidate", "supervisor", "trainer"]


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says of itself. `name` is unique in an installation: "w0", "controller", "canary-3f2a90c1bb-0".

    started: its identity's second half, from `start_of`. starting: it has signed in and does nothing yet. generation:
    of the routing table that it obeys. ready: the versions that it can answer with; failed: those that it could not
    load, and why. pool: of a worker, the set that it belongs to. settled: everything known by then is done (business
    time). known_to: of one that still reads what was logged while it was away, up to when it knows that. note: one line
    for people. page: of a supervisor: where the page is, without the token. room: what the disk
    leaves to what it logs.
    """

    name: str
    role: Role
    pid: int
    started: str
    starting: bool = False
    generation: int = 0
    ready: tuple[VersionId, ...] = ()
    failed: dict[VersionId, str] = {}
    pool: int = 0
    settled: Instant = Instant(0)
    known_to: Instant | None = None
    note: str = ""
    page: str = ""
    room: Room = Room()


_decoder = msgspec.json.Decoder(Heartbeat)

_NO_HANDLE: Final = frozenset({errno.EMFILE, errno.ENFILE})

_HAS_PROC = Path("/proc/self/stat").exists()


def start_of(pid: int) -> str | None:
    """When the kernel started this process, as a text to compare for equality; None when there is none any more.

    A zombie has ended: None. On Linux it is the boot's id and clock ticks since boot; elsewhere the creation time.
    """
    return _start_in_proc(pid) if _HAS_PROC else _creation_time(pid)


def _creation_time(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return repr(process.create_time())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def _start_in_proc(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in parentheses and may hold anything, parentheses too: the fields follow the last one.
    fields = stat.rpartition(")")[2].split()
    state, ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}:{ticks}"


def runs(pid: int, started: str) -> bool:
    """Whether the process of this identity still runs."""
    return start_of(pid) == started


def heartbeat_of(name: str, role: Role) -> Heartbeat:
    """The first heartbeat of the process that calls."""
    pid = os.getpid()
    started = start_of(pid)
    if started is None:
        raise RuntimeError(f"Process {pid} cannot see itself in the process table")
    return Heartbeat(name=name, role=role, pid=pid, started=started)


def alive(heartbeat: Heartbeat) -> bool:
    """Whether the process that left this heartbeat still runs; a later process with its number does not count."""
    return runs(heartbeat.pid, heartbeat.started)


def at_work(heartbeat: Heartbeat) -> bool:
    """Whether that process runs and has come up."""
    return not heartbeat.starting and alive(heartbeat)


def parent_lives() -> bool:
    """Whether the process that started this one, and said so in PARENT, still runs."""
    parent = os.environ.get(PARENT)
    return parent is None or int(parent) == os.getppid()


def sign_in(state: State, name: str, role: Role) -> Heartbeat | None:
    """Be on the list before anything else is done; None when there is nobody any more to do it for.

    A supervisor that is killed knows nothing of what it was just starting. So a process that it started first says
    that it is there, and then looks whether its supervisor still is. If it is, the next supervisor will find the
    heartbeat; if it is not, the process ends. Returns the heartbeat to go on with.
    """
    heartbeat = heartbeat_of(name, role)
    if parent_lives():
        beat(state, msgspec.structs.replace(heartbeat, starting=True))
        if parent_lives():
            return heartbeat
        forget(state, name)
    return None


def beat(state: State, heartbeat: Heartbeat) -> None:
    """Leave a heartbeat, in place of the last one of this name. Not fsynced: after a power cut nobody is alive.

    On a full disk, or without a handle for it, what it said last stays and becomes newer: whoever answers users does
    not end for want of a sign of life.
    """
    path = _place(state.processes, heartbeat.name)
    try:
        write_atomically(path, msgspec.json.encode(heartbeat), durable=False)
    except OSError as error:
        if error.errno not in NO_ROOM | _NO_HANDLE:
            raise
        with contextlib.suppress(OSError):
            os.utime(path)


def heartbeats(state: State) -> list[Heartbeat]:
    """The last heartbeat of each process, dead ones too, by name."""
    # Twice: one listing of a folder may miss a file that is replaced while it is made.
    names = {path.stem for _ in range(2) for path in state.processes.glob("*.json")}
    found = (heartbeat_at(state, name) for name in sorted(names))
    return [one for one in found if one is not None]


def heartbeat_at(state: State, name: str) -> Heartbeat | None:
    """The last heartbeat of this name; None where there is none to be read."""
    try:
        return _decoder.decode(_place(state.processes, name).read_bytes())
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Cut by a power failure: whoever wrote it is gone.
        return None


def beaten_at(state: State, name: str) -> int | None:
    """When the last heartbeat of this name was left, in nanoseconds, by its file; None where there is none."""
    try:
        return _place(state.processes, name).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def forget(state: State, name: str) -> None:
    """Remove the heartbeat of a process that has ended."""
    _place(state.processes, name).unlink(missing_ok=True)


@lru_cache(256)
def _place(folder: Path, name: str) -> Path:
    """Where the heartbeat of this name is. Kept: a new Path interns its name, and the table of those never shrinks."""
    return folder / f"{name}.json"
