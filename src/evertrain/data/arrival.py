"""Files that arrive in a folder: which are new, which are complete, and when each was first taken.

A file that is still being written is left alone. On the system clock a file counts as complete when its size and
modification time have stood still for a while and it ends as its form ends; one that does not end so is taken as it
is after a longer while. Under a story's clock files are complete when they appear, because the story writes them
beside and renames them. Names that begin with a dot, or that cannot be printed, are left alone always.
"""

import fnmatch
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from evertrain.core.identity import Digest
from evertrain.core.time import Instant
from evertrain.data.source import looks_whole

__all__ = ["Arrival", "Arrivals", "Journal", "Mark", "Patience", "mark_of"]

_RACE_NS = 100_000_000
"""A folder that changed so recently may change again within one step of its time stamp: it is listed again."""

_WILD = frozenset("*?[")
_ENDS = 4
_BEGUN = b'"begun"'


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that a file must stand still: `quiet_s` when it ends as its form ends, else `unfinished_s`.

    recheck_s: how often files that were taken already are looked at for changes.
    """

    quiet_s: float = 2.0
    unfinished_s: float = 60.0
    recheck_s: float = 5.0

    def is_over(self, file: Path, mark: "Mark", quiet_s: float) -> bool:
        """Whether a file that has stood still for so long is complete."""
        return quiet_s >= self.unfinished_s or (quiet_s >= self.quiet_s and _ends_as_its_form(file, mark.size))


class Mark(NamedTuple):
    """What tells that a file was written to."""

    size: int
    modified_ns: int


def mark_of(file: Path) -> Mark | None:
    """The file's mark; None where there is none."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Mark(found.st_size, found.st_mtime_ns)


def _ends_as_its_form(file: Path, size: int) -> bool:
    with file.open("rb") as content:
        head = content.read(_ENDS)
        content.seek(max(0, size - _ENDS))
        return looks_whole(file.name, head, content.read(_ENDS))


class Arrivals:
    """The files of one glob. What stands before its first wildcard is the folder; names are relative to that."""

    def __init__(
        self,
        pattern: Path,
        patience: Patience | None,
        taken: Mapping[str, Mark] | None = None,
        again: Iterable[str] = (),
    ) -> None:
        """patience None: a file is complete when it appears. taken: files that were taken before, as they were.

        again: those of them that are to be taken once more though they did not change; they stood still long ago.
        """
        wild = next((at for at, part in enumerate(pattern.parts) if _WILD & {*part}), len(pattern.parts) - 1)
        self.folder = Path(*pattern.parts[:wild])
        self._parts = pattern.parts[wild:]
        self._patience = patience
        self._folders: dict[str, _Folder] = {}
        self._taken = dict(taken or {})
        self._waiting: dict[str, tuple[Mark, float] | None] = {
            name: (self._taken[name], float("-inf"))
            for name in again
            if name in self._taken and self._mark(name) is not None
        }
        self._rechecked = float("-inf")
        self.first: frozenset[str] = frozenset()
        self.looked = False

    def ready(self, tick: float) -> list[str]:
        """Names of the files that are complete and new, or complete and changed, in order. tick: monotonic seconds."""
        for name in self._discover("", 0):
            if name not in self._taken:
                self._waiting.setdefault(name, None)
        if not self.looked:
            self.looked, self.first = True, frozenset(self._waiting)
        if self._patience is None:
            return sorted(self._waiting)
        if tick - self._rechecked >= self._patience.recheck_s:
            self._rechecked = tick
            changed = [name for name, mark in self._taken.items() if self._mark(name) not in (mark, None)]
            for name in changed:
                self._waiting.setdefault(name, None)
        return [name for name in sorted(self._waiting) if self._stands_still(name, tick, self._patience)]

    @property
    def waiting(self) -> frozenset[str]:
        """Files that were seen and not taken yet."""
        return frozenset(self._waiting)

    def take(self, name: str) -> tuple[bytes, Mark] | None:
        """The bytes of a file that is ready; None when it changed or vanished in between (it is looked at again)."""
        before = self._mark(name)
        if before is not None:
            content = (self.folder / name).read_bytes()
            if self._mark(name) == before and len(content) == before.size:
                self._waiting.pop(name, None)
                self._taken[name] = before
                return content, before
        return None

    def _discover(self, inside: str, depth: int) -> Iterator[str]:
        """Names that were never seen before, below a folder."""
        folder = self._folders.setdefault(inside, _Folder(self.folder / inside, self._parts[depth]))
        new = folder.new()
        if depth == len(self._parts) - 1:
            yield from (inside + name for name in new)
            return
        for name in folder.known:
            yield from self._discover(f"{inside}{name}/", depth + 1)

    def _stands_still(self, name: str, tick: float, patience: Patience) -> bool:
        mark = self._mark(name)
        if mark is None:
            self._waiting.pop(name, None)
            self._taken.pop(name, None)
            return False
        seen = self._waiting[name]
        if seen is None or seen[0] != mark:
            self._waiting[name] = (mark, tick)
            return False
        return patience.is_over(self.folder / name, mark, tick - seen[1])

    def _mark(self, name: str) -> Mark | None:
        return mark_of(self.folder / name)


class _Folder:
    """One folder, listed again only when its time stamp moved: a quiet folder costs one system call."""

    def __init__(self, path: Path, pattern: str) -> None:
        self.path, self.pattern = path, pattern
        self.known: dict[str, None] = {}
        self._stamp = -1

    def new(self) -> list[str]:
        try:
            stamp = self.path.stat().st_mtime_ns
            if stamp == self._stamp:
                return []
            names = os.listdir(self.path)  # noqa: PTH208 - names are all that is wanted of thousands of files
        except (FileNotFoundError, NotADirectoryError):
            return []
        new = [name for name in names if name not in self.known and self._fits(name)]
        self.known |= dict.fromkeys(new)
        self._stamp = stamp if time.time_ns() - stamp > _RACE_NS else -1
        return new

    def _fits(self, name: str) -> bool:
        return not name.startswith(".") and name.isprintable() and fnmatch.fnmatchcase(name, self.pattern)


class Arrival(msgspec.Struct, frozen=True, array_like=True):
    """A file that was taken: its bytes' digest, when (business time), whether as history, how it stood on disk.

    rules: by which it was read again, as a digest; "" the first time.
    """

    name: str
    digest: Digest
    at: Instant
    history: bool
    mark: Mark
    rules: str = ""


class Journal:
    """When each file arrived, kept through a crash: a row that is read a second time is known as early as the first.

    One line a file, written before its rows are visible anywhere. It is not fsynced: what a power cut takes counts
    as arriving again, later. A line that was cut is left out.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.arrivals: dict[tuple[str, Digest, str], Arrival] = {}
        self.begun = False
        content = path.read_bytes() if path.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
        for line in content[:whole].splitlines():
            if line == _BEGUN:
                self.begun = True
            else:
                arrival = msgspec.json.decode(line, type=Arrival)
                self.arrivals[arrival.name, arrival.digest, arrival.rules] = arrival
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._handle)

    def note(self, arrival: Arrival) -> Arrival:
        """Remember an arrival; the one that stands for this name, digest and rules wins."""
        at = (arrival.name, arrival.digest, arrival.rules)
        standing = self.arrivals.get(at)
        if standing is not None:
            return standing
        self._add(msgspec.json.encode(arrival))
        self.arrivals[at] = arrival
        return arrival

    def begin(self) -> None:
        """The history is taken: what arrives from now on is live."""
        self._add(_BEGUN)
        self.begun = True

    def _add(self, line: bytes) -> None:
        os.write(self._handle, line + b"\n")
