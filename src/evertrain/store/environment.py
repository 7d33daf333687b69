"""Where the environments of versions lie: folders in the cache, each named by all that decides what is in it.

    <digest>/            an environment: an interpreter, the packages of a lock, this evertrain; environment.json last
    <digest>.note        how its building goes, or why it failed
    <digest>.used        locked by whoever runs in it, and by whoever removes it
    <digest>.building    locked by whoever builds it

An environment is asked for by the digest of a lock (`Manifest.runs_in`); "" is the one that the installation runs in.
The same lock gives another folder under another interpreter, and beside another evertrain, which is in it as well: so
what stands in a folder is always what this code would build, and an upgrade finds none that is out of date.
"""

import contextlib
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec

from evertrain.core.identity import Digest, digest_of, digest_of_bytes
from evertrain.store.file import write_atomically

__all__ = ["Built", "Environments", "Standing", "module_command", "own_code", "own_digest"]

_RECORD: Final = "environment.json"
_LAUNCHER: Final = "evertrain.process.furnishing"


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """The record in an environment that is whole. lock: digest of its lock; packages: name to version of each one.

    seconds: that building it took.
    """

    lock: str
    packages: dict[str, str]
    seconds: float


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    """Of a building, by the process that does it; `failed` is its last word. since: Unix seconds."""

    since: float
    says: str
    failed: bool = False


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with an environment. says: what its building does, or why it failed. since: Unix seconds of that.

    packages: by name, where it is there.
    """

    lock: str
    state: Literal["there", "being built", "failed", "not built yet"]
    says: str = ""
    since: float = 0.0
    packages: dict[str, str] = {}


def own_code() -> Path:
    """The folder of the evertrain that runs."""
    return Path(__file__).parents[1]


@lru_cache(maxsize=1)
def own_digest() -> Digest:
    """The digest of the code of evertrain as it is; the same in an environment that holds a copy of it."""
    folder = own_code()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return digest_of({path.relative_to(folder).as_posix(): digest_of_bytes(path.read_bytes()) for path in files})


def module_command(state: Path, environment: str, module: str, words: Sequence[str]) -> tuple[str, ...]:
    """The command line of a module in an environment; one other than the installation's is built first, if need be.

    state: the state directory, whose cache it lies in.
    """
    if not environment:
        return (sys.executable, "-P", "-m", module, *words)
    enter = ("--dir", str(state), "--environment", environment)
    return (sys.executable, "-P", "-m", _LAUNCHER, *enter, module, *words)


class Environments:
    """The environments of one state directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def folder(self, environment: str) -> Path:
        """Of an environment other than the installation's, built or not."""
        machine = (sys.version, sys.platform, os.uname().machine, sys.base_prefix)
        return self.path / digest_of((environment, *machine, own_digest()))

    def interpreter(self, environment: str) -> Path:
        """Its Python; it is not there before the environment is built."""
        return self.folder(environment) / "bin" / "python" if environment else Path(sys.executable)

    def is_home(self, environment: str) -> bool:
        """Whether this very process runs in it."""
        here = os.path.realpath(sys.prefix)
        if environment:
            return here == os.path.realpath(self.folder(environment))
        return not here.startswith(os.path.realpath(self.path) + os.sep)

    def built(self, environment: str) -> Built | None:
        """The record of an environment that is whole; None for any other, also where its base Python is gone."""
        return _read(self.folder(environment) / _RECORD) if self.interpreter(environment).exists() else None

    def standing(self, environment: str) -> Standing:
        """How it stands with an environment other than the installation's."""
        built = self.built(environment)
        if built is not None:
            return Standing(lock=environment, state="there", packages=built.packages)
        note = self._note(environment)
        if note is None or not (note.failed or self._is_being_built(environment)):
            return Standing(lock=environment, state="not built yet")
        return Standing(
            lock=environment, state="failed" if note.failed else "being built", says=note.says, since=note.since
        )

    def _is_being_built(self, environment: str) -> bool:
        return _is_held(self.folder(environment).with_suffix(".building"))

    @property
    def are_being_built(self) -> bool:
        """Whether one of them is, whichever: another evertrain than the one that asks calls the same lock otherwise."""
        return any(_is_held(path) for path in self.path.glob("*.building"))

    # Building ---------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def building(self, environment: str) -> Iterator[Path]:
        """Be the only one who builds it, waiting for whoever does; gives an empty folder, which is removed at the end.

        What somebody left who was killed in the middle is removed first.
        """
        folder = self.folder(environment)
        self.path.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_suffix(".building")):
            for left in self.path.glob(f".{folder.name}.*"):
                _remove(left)
            made = self.path / f".{folder.name}.{os.getpid()}"
            made.mkdir()
            try:
                yield made
            finally:
                _remove(made)

    def keep(self, environment: str, made: Path, built: Built) -> None:
        """Put what was built in its place, whole, in one step."""
        folder = self.folder(environment)
        write_atomically(made / _RECORD, msgspec.json.encode(built))
        if folder.exists():
            _remove(folder)
        made.rename(folder)
        folder.with_suffix(".note").unlink(missing_ok=True)

    def note(self, environment: str, says: str, *, failed: bool = False) -> None:
        """Leave word of what its building does, or why it failed."""
        note = _Note(since=time.time(), says=says, failed=failed)
        write_atomically(self.folder(environment).with_suffix(".note"), msgspec.json.encode(note), durable=False)

    def _note(self, environment: str) -> _Note | None:
        try:
            return msgspec.json.decode(self.folder(environment).with_suffix(".note").read_bytes(), type=_Note)
        except (OSError, msgspec.DecodeError):
            return None

    # Use --------------------------------------------------------------------------------------------------------------

    def hold(self, environment: str) -> int:
        """Keep an environment from being removed, until the handle is closed that is returned.

        The process that this one becomes inherits it, and the kernel closes it when that ends.
        """
        folder = self.folder(environment)
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder.with_suffix(".used"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_SH)
        os.set_inheritable(handle, True)
        with contextlib.suppress(FileNotFoundError):
            os.utime(folder / _RECORD)
        return handle

    def sweep(self, wanted: Sequence[str], spare: int) -> list[str]:
        """Remove all but those that are wanted, those that somebody runs in, and the `spare` last used ones.

        Returns the locks of those that are gone. wanted: as `Manifest.runs_in` says them.
        """
        kept = {self.folder(environment) for environment in wanted if environment}
        folders = [path.parent for path in self.path.glob(f"[!.]*/{_RECORD}") if path.parent not in kept]
        gone = []
        for folder in sorted(folders, key=lambda one: (one / _RECORD).stat().st_mtime, reverse=True)[spare:]:
            built = _read(folder / _RECORD)
            with _alone(folder.with_suffix(".used")) as alone:
                if alone:
                    away = folder.rename(folder.with_name(f".{folder.name}.gone"))
                    _remove(away)
                    gone.append(built.lock if built is not None else "")
        return gone


def _read(path: Path) -> Built | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Built)
    except (OSError, msgspec.DecodeError):
        return None


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock alone; waits for it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether nobody holds the lock; if so, it is held until the end."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _takes(handle)
    finally:
        os.close(handle)


def _is_held(path: Path) -> bool:
    with _alone(path) as alone:
        return not alone


def _takes(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
