"""What is written down about a process that ended without being told to: for the ledger, by way of the controller."""

import contextlib
import signal
from typing import Final

from evertrain.core.event import Draft, ProcessExited
from evertrain.core.trial import LACKING
from evertrain.model.obituary import say_exit
from evertrain.process.entry import EXIT_FAULT
from evertrain.process.supervision.child import Child
from evertrain.store.clock import business_clock
from evertrain.store.exit import ExitNotes
from evertrain.store.process import heartbeats
from evertrain.store.state import State

__all__ = ["has_crashed", "leave_obituary"]

_TAIL = 4096
_NAMED: Final = (0, EXIT_FAULT, LACKING)
"""Exit codes of a process that says itself what it lacks."""
_FROM_OUTSIDE: Final = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def leave_obituary(state: State, notes: ExitNotes, child: Child, code: int | None, *, hidden: bool = False) -> str:
    """Leave the note, and return the cause in words.

    code: None when it was not a child of this supervisor. hidden: what it printed may repeat personal values, so that
    nothing is told of it.
    """
    printed = "" if hidden else _tail(child)
    cause = child.why or _own_words(state, child) or say_exit(code, printed, child.post.memory_mb or 0)
    fact = ProcessExited(
        process=child.post.name,
        code=code if code is not None and code >= 0 else None,
        signal=_signal_name(code),
        version=child.post.version,
        pool=child.post.pool.number if child.post.role == "worker" else None,
        crashed=has_crashed(code, child.why),
    )
    notes.leave(
        Draft(
            id=f"exit:{child.identity}",
            at=business_clock(state.clock).now(),
            actor="supervisor",
            subject=f"process/{child.post.name}",
            reason=cause,
            fact=fact,
        ),
    )
    return cause


def has_crashed(code: int | None, why: str = "") -> bool:
    """Whether a process ended by its own doing. code: None where nobody saw it; why: the watchdog ended it for this.

    >>> has_crashed(-signal.SIGSEGV), has_crashed(-signal.SIGKILL), has_crashed(-signal.SIGKILL, "It gave no sign.")
    (True, False, True)
    >>> has_crashed(EXIT_FAULT), has_crashed(3), has_crashed(None)
    (False, True, False)
    """
    if why:
        return True
    return code is not None and code not in _NAMED and -code not in _FROM_OUTSIDE


def _own_words(state: State, child: Child) -> str:
    """What the process said in its last heartbeat, if it knew that it was failing."""
    for found in heartbeats(state):
        if found.name == child.post.name and found.pid == child.pid and child.post.version is not None:
            return found.failed.get(child.post.version) or (found.note if not found.ready else "")
    return ""


def _tail(child: Child) -> str:
    if child.post.log is None:
        return ""
    with contextlib.suppress(OSError), child.post.log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL))
        return file.read().decode("utf-8", "replace")
    return ""


def _signal_name(code: int | None) -> str | None:
    if code is None or code >= 0:
        return None
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
