"""Notes about processes that ended, or were replaced, left by the supervisor for the controller, who keeps the ledger.

The supervisor keeps no ledger, and the controller may be the one that ended. A note is one file; it is removed only
after the event that it became stands, so none is lost, and the event's id makes a second reading harmless.
"""

from pathlib import Path

import msgspec

from evertrain.core.event import Draft
from evertrain.store.file import write_atomically
from evertrain.store.state import State

__all__ = ["exit_notes", "forget_exit_note", "leave_exit_note"]

_decoder = msgspec.json.Decoder(Draft)


def leave_exit_note(state: State, draft: Draft) -> None:
    """Leave a `ProcessExited` or `ProcessesRestarted` event to be appended."""
    folder = _folder(state)
    folder.mkdir(exist_ok=True)
    write_atomically(folder / f"{draft.id.replace('/', '_')}.json", msgspec.json.encode(draft))


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
