"""How far each hook has been told: files between the thread that sends and the commands that look.

    control/hooks/NAME.json    where it stands, by lane; its dead letters; what is wrong now
    control/hooks/again/       dead letters that a person wants sent once more, a file each
    control/hooks.json         who is told and asked now

The messages themselves are events, and stand in the ledger.
"""

import contextlib
import logging
from collections.abc import Collection
from pathlib import Path

import msgspec

from evertrain.config.hook import Hook, read_hooks, written_hooks
from evertrain.core.event import Event
from evertrain.errors import SettingsError
from evertrain.store.file import write_atomically
from evertrain.store.state import State

__all__ = [
    "MOST_DEAD",
    "DeadLetter",
    "Failing",
    "HookProgress",
    "HookRoll",
    "HookShelf",
    "letter_of",
    "read_hook_progress",
]

MOST_DEAD = 1000
"""So many dead letters of a hook are kept; the oldest goes, and is counted."""


_log = logging.getLogger(__name__)


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


class HookRoll:
    """The hooks that are in force: those of the last start, or of `evertrain hooks apply` since.

    instead: holds where nothing was put into force yet. For all threads.
    """

    def __init__(self, state: State, instead: tuple[Hook, ...] = ()) -> None:
        self._file = state.path / "control" / "hooks.json"
        self._read: tuple[tuple[int, ...], tuple[Hook, ...]] = ((), instead)

    def put(self, hooks: tuple[Hook, ...]) -> None:
        """Put them into force, in place of all others. An address may hold a secret, so others cannot read it."""
        write_atomically(self._file, written_hooks(hooks).encode(), mode=0o600)

    def forget(self) -> None:
        """Nothing was put into force."""
        self._file.unlink(missing_ok=True)

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """As they are in force now. A file that cannot be read changes nothing, and the log says so."""
        stamp, known = self._read
        try:
            found = self._file.stat()
        except FileNotFoundError:
            return known
        now = (found.st_ino, found.st_mtime_ns)
        if now != stamp:
            try:
                known = read_hooks(self._file.read_text(), str(self._file))
            except (OSError, UnicodeDecodeError, SettingsError) as error:
                _log.warning("The hooks stay as they were: %s", error)
            self._read = (now, known)
        return known

    def astray(self, services: Collection[str]) -> dict[str, tuple[str, ...]]:
        """By hook, the services that it names and that there are not."""
        named = {hook.name: tuple(one for one in hook.services if one not in services) for hook in self.hooks}
        return {hook: missing for hook, missing in named.items() if missing}


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
