"""How an installation was started last: `control/start.json`, so that it can be started so again.

Services and versions are on record, the flags of the command line are not: whoever starts without them gets other
ports, and clients that go on asking at the old ones are refused their connection.
"""

import contextlib
import shlex

import msgspec

from evertrain.store.file import write_atomically
from evertrain.store.state import State

__all__ = ["Start", "last_start", "note_start"]

_FILE = "start.json"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """One start. words: every setting that was not the default, as flags; predictions, page: "host:port" of each door.

    A port that was left to the system is 0 here.
    """

    words: tuple[str, ...] = ()
    predictions: str = ""
    page: str = ""

    def command(self, state: State) -> str:
        """What to type to start the same again; services need no file, they are on record.

        >>> from pathlib import Path
        >>> Start(words=("--port", "9280")).command(State(Path("/srv/my state")))
        "evertrain up --dir '/srv/my state' --port 9280"
        """
        return shlex.join(["evertrain", "up", "--dir", str(state.path), *self.words])

    def moved_from(self, before: "Start") -> str:
        """Which doors are elsewhere than at the start before, in words; "" when none is. Port 0 is anywhere.

        >>> Start(predictions="127.0.0.1:8080").moved_from(Start(predictions="127.0.0.1:9280"))
        'predictions were answered at 127.0.0.1:9280'
        """
        doors = (
            ("predictions were answered at", before.predictions, self.predictions),
            ("the page was at", before.page, self.page),
        )
        said = (f"{words} {was}" for words, was, now in doors if was != now and not _is_free(was) and not _is_free(now))
        return " and ".join(said)


def _is_free(door: str) -> bool:
    return door.rpartition(":")[2] == "0"


def note_start(state: State, start: Start) -> None:
    """Remember it. Where the disk is full it is not remembered, and users are answered all the same."""
    with contextlib.suppress(OSError):
        write_atomically(state.path / "control" / _FILE, msgspec.json.encode(start))


def last_start(state: State) -> Start | None:
    """The newest start; None before the first, or when what stands there cannot be read."""
    try:
        return msgspec.json.decode((state.path / "control" / _FILE).read_bytes(), type=Start)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
