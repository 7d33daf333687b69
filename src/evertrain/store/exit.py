"""Notes about processes that ended, or were replaced, left by the supervisor for the controller, who keeps the ledger.

The supervisor keeps no ledger, and the controller may be the one that ended. A note is one file; it is removed only
after the event that it became stands, so none is lost, and the event's id makes a second reading harmless.
"""

import contextlib
from pathlib import Path

import msgspec

from evertrain.core.event import Draft
from evertrain.store.file import write_atomically
from evertrain.store.state import State

__all__ = ["ExitNotes", "exit_notes", "forget_exit_note"]

_decoder = msgspec.json.Decoder(Draft)


class ExitNotes:
    """Leaves `ProcessExited` and `ProcessesRestarted` events to be appended, in order.

    Whoever keeps processes alive must not end because a disk is full: what cannot be left now is left by a later
    `leave_rest`.
    """

    def __init__(self, state: State) -> None:
        self._folder = _folder(state)
        self._waiting: list[Draft] = []

    def leave(self, draft: Draft) -> None:
        """Leave one, as soon as that is possible."""
        self._waiting.append(draft)
        self.leave_rest()

    def leave_rest(self) -> None:
        """Leave what could not be left before."""
        with contextlib.suppress(OSError):
            while self._waiting:
                self._folder.mkdir(exist_ok=True)
                path = self._folder / f"{self._waiting[0].id.replace('/', '_')}.json"
                write_atomically(path, msgspec.json.encode(self._waiting[0]))
                del self._waiting[0]


def exit_notes(state: State) -> list[Draft]:
    """All events that wait to be appended, the oldest first."""
    found = []
    for path in sorted(_folder(state).glob("*.json")):
        try:
            found.append(_decoder.decode(path.read_bytes()))
        except (msgspec.DecodeError, UnicodeDecodeError):
            path.unlink()  # cut by a power failure, together with the process that it is about
    return sorted(found, key=lambda draft: (draft.at, draft.id))


def forget_exit_note(state: State, draft: Draft) -> None:
    """Remove a note whose event stands in the ledger."""
    (_folder(state) / f"{draft.id.replace('/', '_')}.json").unlink(missing_ok=True)


def _folder(state: State) -> Path:
    return state.path / "serving" / "exits"
