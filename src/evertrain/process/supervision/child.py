"""One process that the supervisor keeps alive: started, watched, started again after a growing pause."""

import contextlib
import os
import signal
import time
from pathlib import Path

import msgspec

from evertrain.core.identity import VersionId
from evertrain.core.pool import FIRST, Pool
from evertrain.model.kin import end_group
from evertrain.store.process import PARENT, Heartbeat, Role, runs, start_of

__all__ = ["SOCKET_HANDLE", "Child", "Post"]

SOCKET_HANDLE = 64
"""The number under which a child finds the socket that it was given."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
_SETTLED_S = 30.0


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """What has to run under this name. log: where its output goes; None lets it speak on the supervisor's stderr.

    socket: a handle that the process inherits as SOCKET_HANDLE. pool: of a worker, the set that it belongs to. within:
    the environment that it runs in and that may have to be built before, "" for the installation's own.
    """

    name: str
    role: Role
    command: tuple[str, ...]
    environment: dict[str, str] = {}
    socket: int | None = None
    pool: Pool = FIRST
    log: Path | None = None
    version: VersionId | None = None
    memory_mb: int | None = None
    within: str = ""


class Child:
    """The process of a post, of this supervisor or adopted from one that died. All times are monotonic.

    why: it was told to end for this reason. fate: why the last process of this post ended, "" before one has. able:
    since when it can come up: since its start, or since its environment was seen being built last.
    """

    def __init__(self, post: Post) -> None:
        self.post = post
        self.pid: int | None = None
        self.begun = 0.0
        self.able = 0.0
        self.why = ""
        self.fate = ""
        self._started = ""
        self._adopted = False
        self._failures = 0
        self._next = 0.0

    @property
    def running(self) -> bool:
        return self.pid is not None

    @property
    def identity(self) -> str:
        """Of this one process among all that ever ran."""
        return f"{self.post.name}:{self.pid}:{self._started}"

    def adopt(self, heartbeat: Heartbeat) -> None:
        """Go on with a process that an earlier supervisor started."""
        self.pid, self._started, self._adopted = heartbeat.pid, heartbeat.started, True
        self.begun = self.able = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it does not run, and its pause is over."""
        return not self.running and time.monotonic() >= self._next

    def start(self) -> None:
        """Start the process."""
        self.why, self._adopted = "", False
        self.pid = self._spawn()
        self._started = start_of(self.pid) or ""
        self.begun = self.able = time.monotonic()

    def vanished(self) -> bool:
        """Whether an adopted process has ended. The end of one of our own is told by the kernel, when it is reaped."""
        return self._adopted and self.is_over()

    def is_over(self) -> bool:
        """Whether the process has ended, no matter who reaped it, or whether anybody has."""
        return self.pid is not None and not runs(self.pid, self._started)

    def ended(self, fate: str = "") -> float:
        """The process is over; returns the pause before the next start, in seconds."""
        self.fate = fate
        now = time.monotonic()
        self._failures = 0 if now - self.begun > _SETTLED_S else self._failures + 1
        pause: float = min(_FIRST_PAUSE_S * 2.0 ** max(0, self._failures - 1), _LONGEST_PAUSE_S)
        self._next = now + pause
        self.pid = None
        return pause

    def sweep(self) -> None:
        """End what a worker or a process on trial has left running: its model may have forked. It is over itself."""
        if self.pid is not None and self.post.role in ("worker", "candidate"):
            end_group(self.pid)

    def signal(self, number: signal.Signals, why: str = "") -> None:
        """Send a signal to the process, if it is still the one that was started."""
        if why:
            self.why = why
        if self.pid is not None and runs(self.pid, self._started):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _spawn(self) -> int:
        post = self.post
        actions: list[tuple[object, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        if post.log is not None:
            actions.append((os.POSIX_SPAWN_OPEN, 1, str(post.log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
            actions.append((os.POSIX_SPAWN_DUP2, 1, 2))
        else:
            actions.append((os.POSIX_SPAWN_DUP2, 2, 1))
        if post.socket is not None:
            actions.append((os.POSIX_SPAWN_DUP2, post.socket, SOCKET_HANDLE))
        return os.posix_spawn(
            post.command[0],
            post.command,
            os.environ | post.environment | {PARENT: str(os.getpid())},
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT),
        )
