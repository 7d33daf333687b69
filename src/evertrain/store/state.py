"""The state directory: where everything of an installation lies, and who may enter.

    state.json    the schema version; a newer one is refused
    control/      ledger, keys, tables, quarantine, tasks, reports: private to its user (mode 0700)
    serving/      artifacts, public keys, routing table, log segments, heartbeats: all that a worker needs
    cache/        rebuilt from the rest when it is lost

Sockets lie elsewhere, in a short private folder of the user's, because their paths are limited to 107 bytes.
"""

import contextlib
import hashlib
import os
import re
import shutil
import stat
from pathlib import Path
from typing import Final

import msgspec

from evertrain.core.identity import SourceName
from evertrain.errors import OccupiedError, StateError
from evertrain.store.environment import Environments, module_command
from evertrain.store.file import write_atomically

__all__ = ["SCHEMA", "State", "refuse_folder"]

SCHEMA: Final = 1

_FILE = "state.json"
_PRIVATE = ("control", "control/keys", "control/tasks")
_FOLDERS = (
    "control/tables",
    "control/quarantine",
    "control/reports",
    "serving",
    "serving/keys",
    "serving/artifacts",
    "serving/log",
    "serving/processes",
    "cache",
    "cache/online",
    "cache/bundles",
    "cache/datasets",
    "cache/environments",
)
_SOCKET = re.compile(r"[A-Za-z0-9._-]{1,48}")
_UNSPEAKABLE = re.compile(r"%[0-9A-Fa-f]{2}|[\[\]^|\\\x00-\x1f\x7f]")


class _Stamp(msgspec.Struct, frozen=True):
    """The content of state.json; other keys are of newer versions and are judged by the schema number alone."""

    schema: int


class State:
    """One state directory, by absolute path. It opens no file of a plane; it says where each one lies."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> "State":
        """Make the directory, or open the one that is there. A folder that holds anything else is refused."""
        path = path.absolute()
        refuse_folder(path)
        _make(path)
        if not (path / _FILE).exists():
            strangers = [child.name for child in path.iterdir() if not child.name.startswith(f".{_FILE}.")]
            if strangers and not (path / _FILE).exists():
                raise StateError(
                    f"{path} is not empty and is no state directory of evertrain.",
                    "Name a folder that is empty or does not exist yet.",
                )
            write_atomically(path / _FILE, msgspec.json.encode(_Stamp(schema=SCHEMA)))
        _check(path)
        state = cls(path)
        state._lay_out()
        return state

    @classmethod
    def open(cls, path: Path) -> "State":
        """Open a directory that exists, of this schema version."""
        path = path.absolute()
        _check(path)
        return cls(path)

    # Folders and files ----------------------------------------------------------------------------------------------

    @property
    def ledger(self) -> Path:
        return self.path / "control" / "ledger.db"

    @property
    def keys(self) -> Path:
        """Private: the signing key and the tokens. Workers never look here."""
        return self.path / "control" / "keys"

    @property
    def tables(self) -> Path:
        return self.path / "control" / "tables"

    @property
    def tasks(self) -> Path:
        return self.path / "control" / "tasks"

    @property
    def reports(self) -> Path:
        return self.path / "control" / "reports"

    @property
    def trusted(self) -> Path:
        """Public keys whose signatures count, and digests of the tokens that a worker checks."""
        return self.path / "serving" / "keys"

    @property
    def artifacts(self) -> Path:
        return self.path / "serving" / "artifacts"

    @property
    def routing(self) -> Path:
        return self.path / "serving" / "routing.json"

    @property
    def log(self) -> Path:
        return self.path / "serving" / "log"

    @property
    def processes(self) -> Path:
        return self.path / "serving" / "processes"

    @property
    def clock(self) -> Path:
        return self.path / "serving" / "clock"

    @property
    def cache(self) -> Path:
        return self.path / "cache"

    @property
    def online(self) -> Path:
        return self.path / "cache" / "online"

    @property
    def bundles(self) -> Path:
        return self.path / "cache" / "bundles"

    @property
    def datasets(self) -> Path:
        return self.path / "cache" / "datasets"

    @property
    def environments(self) -> Environments:
        return Environments(self.path / "cache" / "environments")

    def interpreter(self, environment: str) -> Path:
        """The Python of a version that runs in this environment (`Manifest.runs_in`); it may have to be built first."""
        return self.environments.interpreter(environment)

    def command(self, environment: str, module: str, *words: str) -> tuple[str, ...]:
        """The command line of a module in this environment, which is built before the module runs, if need be."""
        return module_command(self.path, environment, module, words)

    def quarantine(self, source: SourceName) -> Path:
        return self.path / "control" / "quarantine" / source

    def socket(self, name: str) -> Path:
        """The path of a Unix socket that belongs to this directory, in a folder that only this user can enter."""
        if _SOCKET.fullmatch(name) is None:
            raise StateError(f"{name!r} is no name for a socket.", "Use up to 48 letters, digits, '.', '_' or '-'.")
        place = os.environ.get("XDG_RUNTIME_DIR") or "/tmp"  # noqa: S108 - the folder below is checked to be ours
        mark = hashlib.sha256(os.fsencode(self.path.resolve())).hexdigest()[:12]
        folder = Path(place) / f"evertrain-{os.getuid()}-{mark}"
        if len(os.fsencode(folder)) > 107 - 49:
            folder = Path("/tmp") / folder.name  # noqa: S108
        _make_private(folder)
        return folder / name

    def clear_sockets(self) -> None:
        """Remove the folder of the sockets, when nothing of this directory runs any more."""
        shutil.rmtree(self.socket("any").parent, ignore_errors=True)

    def _lay_out(self) -> None:
        for name in _PRIVATE:
            (self.path / name).mkdir(mode=0o700, exist_ok=True)
        for name in _FOLDERS:
            (self.path / name).mkdir(exist_ok=True)


def refuse_folder(path: Path) -> None:
    """Raise a StateError for a folder that the library of the tables cannot open, or would take for another one.

    It decodes "my%20projects" into "my projects", and gives up at brackets, carets, bars, backslashes and control
    characters. Spaces, umlauts, "#", "?" and a plain "%" are fine.
    """
    found = _UNSPEAKABLE.search(str(path.resolve()))
    if found is not None:
        raise StateError(
            f"The path {str(path)!r} holds {found[0]!r}, which the library that keeps the tables cannot open.",
            "Choose a folder without it.",
        )


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StateError(f"{path} is not a folder.", "Name a folder for the state with --dir.") from error
    except PermissionError as error:
        raise StateError(f"{path} cannot be made: permission denied.", "Name a folder that you may write.") from error


def _check(path: Path) -> None:
    try:
        stamp = msgspec.json.decode((path / _FILE).read_bytes(), type=_Stamp)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StateError(
            f"{path} is no state directory of evertrain.", "Start one with `evertrain up` or `evertrain serve`."
        ) from error
    except PermissionError as error:
        raise StateError(f"{path} cannot be read: permission denied.", "Run as the user who owns it.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(
            f"{path / _FILE} is damaged.", f'Put back its content, {{"schema":{SCHEMA}}}, if the folder is yours.'
        ) from error
    if stamp.schema > SCHEMA:
        raise StateError(
            f"{path} was written by a newer evertrain (schema {stamp.schema}; this one reads {SCHEMA}).",
            "Upgrade evertrain.",
        )


def _make_private(folder: Path) -> None:
    """Make the folder, or see that it is a real folder of this user that nobody else can enter."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise OccupiedError(f"{folder} is not a private folder of this user.", "Remove it, or set XDG_RUNTIME_DIR.")
