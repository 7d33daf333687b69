"""Ends processes that are still there and no good any more: too big, deaf, or never coming up."""

import contextlib
import logging
import os
import signal
import time

from evertrain.model.installer import BUILD_S
from evertrain.model.kin import end_below, resident
from evertrain.process.supervision.child import Child
from evertrain.process.supervision.pulse import Pulse
from evertrain.store.process import beaten_at, heartbeat_at
from evertrain.store.state import State

__all__ = ["Watchdog"]

_MIB = 1 << 20
_DEAF_S = 5.0
_LOAD_S = 180.0
_BUILT_S = 2.0 * BUILD_S
"""A building ends itself in time, and says why: a process may have to wait for another one's before its own."""
_LOG_BYTES = 1 << 20
_WEIGH_S = 1.0
"""How often memory is looked at: to know who belongs to a process, all of the machine have to be looked at."""
_log = logging.getLogger("supervisor")


class Watchdog:
    """Kills with a reason; the supervisor finds the process dead, tells the reason and starts it again.

    stuck_s: how long a process may be without a sign of life.
    """

    def __init__(self, state: State, *, stuck_s: float = 30.0) -> None:
        self._state = state
        self._stuck_s = stuck_s
        self._pulses: dict[str, Pulse] = {}
        self._beats: dict[str, tuple[int, float]] = {}
        self._weighed: dict[str, float] = {}

    def look(self, child: Child) -> None:
        """Look at one process; one that is not running has nothing to fear."""
        if child.pid is None or child.why:
            return
        why = self._fault_of(child, child.pid)
        if why:
            _log.warning("%s, process %d, is killed: %s", child.post.name, child.pid, why)
            if child.post.role == "candidate":
                end_below(child.pid)
            child.signal(signal.SIGKILL, why)

    def forget(self, child: Child) -> None:
        """The process is over: what is known of it does not hold for the next one."""
        self._beats.pop(child.post.name, None)
        self._weighed.pop(child.post.name, None)
        pulse = self._pulses.pop(child.post.name, None)
        if pulse is not None:
            pulse.close()

    def _fault_of(self, child: Child, pid: int) -> str:
        silent = self._silence_of(child)
        if silent is None:
            return self._lateness_of(child)
        if silent > self._stuck_s:
            return f"It gave no sign of life for {self._stuck_s:g} s."
        if child.post.role != "candidate":
            return ""
        self._bound_log(child)
        return self._excess_of(child, pid) or self._deafness_of(child)

    def _lateness_of(self, child: Child) -> str:
        """Whether it should have come up by now: it cannot while its environment is being built, by whomever."""
        now = time.monotonic()
        if child.post.within and now - child.begun < _BUILT_S and self._state.environments.are_being_built:
            child.able = now
        return f"It did not come up within {_LOAD_S:g} s." if now - child.able > _LOAD_S else ""

    def _silence_of(self, child: Child) -> float | None:
        """Seconds since its heartbeat last changed hands; None before this process has come up."""
        name = child.post.name
        found = heartbeat_at(self._state, name)
        stamp = beaten_at(self._state, name)
        if found is None or found.starting or stamp is None:
            return None
        now = time.monotonic()
        if self._beats.setdefault(name, (stamp, now))[0] != stamp:
            self._beats[name] = (stamp, now)
        return now - self._beats[name][1]

    def _excess_of(self, child: Child, pid: int) -> str:
        """Whether it holds too much memory, with all that it started."""
        now = time.monotonic()
        if child.post.memory_mb is None or now - self._weighed.get(child.post.name, -_WEIGH_S) < _WEIGH_S:
            return ""
        self._weighed[child.post.name] = now
        held = resident(pid)
        if held <= child.post.memory_mb * _MIB:
            return ""
        return f"It held {held // _MIB} MiB of memory, its limit is {child.post.memory_mb} MiB."

    def _deafness_of(self, child: Child) -> str:
        name = child.post.name
        if name not in self._pulses:
            path = self._state.socket(name)
            if not path.exists():
                return ""  # not loaded yet
            self._pulses[name] = Pulse(path)
        return f"It answered no ping for {_DEAF_S:g} s." if self._pulses[name].look() > _DEAF_S else ""

    def _bound_log(self, child: Child) -> None:
        if child.post.log is None:
            return
        with contextlib.suppress(OSError):  # whoever has removed it has bounded it
            if child.post.log.stat().st_size > _LOG_BYTES:
                os.truncate(child.post.log, 0)
