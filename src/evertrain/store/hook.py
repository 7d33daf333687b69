"""How far each hook has been told: files between the thread that sends and the commands that look.

    control/hooks/NAME.json    where it stands, by lane; its dead letters; what is wrong now
    control/hooks/again/       dead letters that a person wants sent once more, a file each

The messages themselves are events, and stand in the ledger.
"""

import contextlib
from pathlib import Path

import msgspec

from evertrain.core.event import Event
from evertrain.store.file import write_atomically
from evertrain.store.state import State

__all__ = ["MOST_DEAD", "DeadLetter", "Failing", "HookProgress", "HookShelf", "letter_of", "read_hook_progress"]

MOST_DEAD = 1000
"""So many dead letters of a hook are kept; the oldest goes, and is counted."""


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """The event that a lane is stuck at. since_s: of its first attempt, in seconds since 1970; error: of the last."""

    sequence: int
    since_s: float
    attempts: int
    error: str


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that its hook could not be told. at_s: when it was given up, in seconds since 1970."""

    sequence: int
    kind: str
    subject: str
    at_s: float
    attempts: int
    error: str


class HookProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Where one hook stands.

    floor: every event up to this one is settled; settled: by lane, beyond it. failing: by lane. lost: dead letters that
    there was no room for any more. active: False of one that is configured no more; it goes on here if it is again.
    """

    hook: str
    host: str
    floor: int
    settled: dict[str, int] = {}
    failing: dict[str, Failing] = {}
    dead: tuple[DeadLetter, ...] = ()
    lost: int = 0
    told: int = 0
    told_s: float = 0.0
    waiting: int = 0
    active: bool = True


class HookShelf:
    """The files of one hook. One thread of the controller writes them."""

    def __init__(self, state: State, hook: str) -> None:
        self._folder = _folder(state)
        self._file = self._folder / f"{hook}.json"
        self._hook = hook

    def load(self) -> HookProgress | None:
        """What was left last; None for a hook that is new."""
        return _read(self._file)

    def save(self, progress: HookProgress) -> None:
        """Leave where it stands, durably: what was told and is not on file is told again."""
        self._folder.mkdir(exist_ok=True)
        write_atomically(self._file, msgspec.json.encode(progress))

    def ask_again(self, sequence: int) -> None:
        """Have a dead letter sent once more."""
        folder = self._folder / "again"
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{self._hook}:{sequence}", b"")

    def asked_again(self) -> list[int]:
        """The dead letters that are to be sent once more."""
        found = (self._folder / "again").glob(f"{self._hook}:*")
        return sorted(int(path.name.rpartition(":")[2]) for path in found)

    def forget(self, sequence: int) -> None:
        """It was sent once more, or given up again."""
        with contextlib.suppress(FileNotFoundError):
            (self._folder / "again" / f"{self._hook}:{sequence}").unlink()


def read_hook_progress(state: State) -> list[HookProgress]:
    """Where all hooks stand that there ever were, by name."""
    found = (_read(path) for path in sorted(_folder(state).glob("*.json")))
    return [one for one in found if one is not None]


def letter_of(event: Event, failing: Failing, at_s: float) -> DeadLetter:
    """What is kept of an event that was given up."""
    return DeadLetter(
        sequence=event.sequence,
        kind=str(type(event.fact).__struct_config__.tag),
        subject=event.subject,
        at_s=at_s,
        attempts=failing.attempts,
        error=failing.error,
    )


def _folder(state: State) -> Path:
    return state.path / "control" / "hooks"


def _read(path: Path) -> HookProgress | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=HookProgress)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # damaged: it begins anew, where the ledger ends
