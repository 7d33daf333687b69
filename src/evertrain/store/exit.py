"""Notes about processes that ended, or were replaced, left by the supervisor for the controller, who keeps the ledger.

The supervisor keeps no ledger, and the controller may be the one that ended. A note is one file; it is removed only
after the event that it became stands, so none is lost, and the event's id makes a second reading harmless.

Where no controller comes for them, as when the ledger is gone, a process may be started and end for days. So of one
process no more than a few dozen notes wait: the first ones, and the newest, which counts those between.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from evertrain.core.event import Draft, ProcessExited
from evertrain.store.file import write_atomically
from evertrain.store.state import State

__all__ = ["MOST_NOTES", "ExitNotes", "exit_notes", "forget_exit_note"]

MOST_NOTES = 32
"""Of one process."""

_decoder = msgspec.json.Decoder(Draft)


class ExitNotes:
    """Leaves `ProcessExited` and `ProcessesRestarted` events to be appended, in order.

    Whoever keeps processes alive must not end because a disk is full: what cannot be left now is left by a later
    `leave_rest`.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: list[Draft] = []

    def leave(self, draft: Draft) -> None:
        """Leave one, as soon as that is possible."""
        draft, replaced = _in_place_of(draft, self._waiting)
        if replaced is not None:
            self._waiting.remove(replaced)
        self._waiting.append(draft)
        self.leave_rest()

    def leave_rest(self) -> None:
        """Leave what could not be left before."""
        with contextlib.suppress(OSError):
            while self._waiting:
                self._write(self._waiting[0])
                del self._waiting[0]

    def _write(self, draft: Draft) -> None:
        draft, replaced = _in_place_of(draft, exit_notes(self._state))
        path = _path(self._state, draft)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, msgspec.json.encode(draft))
        if replaced is not None:
            forget_exit_note(self._state, replaced)


def exit_notes(state: State) -> list[Draft]:
    """All events that wait to be appended, the oldest first."""
    found = []
    for path in sorted(_folder(state).glob("*.json")):
        try:
            found.append(_decoder.decode(path.read_bytes()))
        except FileNotFoundError:
            continue  # forgotten meanwhile
        except (msgspec.DecodeError, UnicodeDecodeError):
            path.unlink(missing_ok=True)  # cut by a power failure, together with the process that it is about
    return sorted(found, key=lambda draft: (draft.at, draft.id))


def forget_exit_note(state: State, draft: Draft) -> None:
    """Remove a note whose event stands in the ledger."""
    _path(state, draft).unlink(missing_ok=True)


def _in_place_of(draft: Draft, waiting: Sequence[Draft]) -> tuple[Draft, Draft | None]:
    """The note to leave beside those that wait, and the one of them that it takes the place of: the newest of its
    process, where there are as many as may be.
    """
    fact = draft.fact
    if not isinstance(fact, ProcessExited):
        return draft, None
    before = [(one, one.fact) for one in waiting if isinstance(one.fact, ProcessExited) and one.id != draft.id]
    own = [(one, ended) for one, ended in before if ended.process == fact.process]
    if len(own) < MOST_NOTES:
        return draft, None
    newest, ended = own[-1]
    fact = msgspec.structs.replace(fact, untold=fact.untold + ended.untold + 1)
    return msgspec.structs.replace(draft, fact=fact), newest


def _path(state: State, draft: Draft) -> Path:
    return _folder(state) / f"{draft.id.replace('/', '_')}.json"


def _folder(state: State) -> Path:
    return state.path / "serving" / "exits"
