"""The right to be the only one: of a supervisor for its installation, of a controller for its ledger.

The lock is the kernel's (flock): it ends with the process that holds it, whatever ended it, so no stale file blocks a
restart. What stands in the file only names the holder for the message to whoever comes second.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

import msgspec

from evertrain.errors import OccupiedError
from evertrain.store.process import start_of

__all__ = ["Holder", "Lease"]


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lease; `what` says it in words ("its supervisor")."""

    pid: int
    started: str
    what: str


class Lease:
    """A held lease. It is given back by `release`, or by the end of the process; children do not inherit it."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path = path
        self._handle = handle

    @classmethod
    def take(cls, path: Path, what: str) -> Self:
        """Take the lease at `path`, at once or not at all: OccupiedError names the process that holds it."""
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise OccupiedError(_say_occupied(path), "Stop that one first, or name another folder.") from error
        holder = Holder(pid=os.getpid(), started=start_of(os.getpid()) or "", what=what)
        with contextlib.suppress(OSError):  # on a full disk it is held all the same, by nobody that has a name
            os.ftruncate(handle, 0)
            os.pwrite(handle, msgspec.json.encode(holder), 0)
        return cls(path, handle)

    def release(self) -> None:
        if self._handle >= 0:
            os.ftruncate(self._handle, 0)
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _say_occupied(path: Path) -> str:
    holder = None
    with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
        holder = msgspec.json.decode(path.read_bytes(), type=Holder)
    who = "another process" if holder is None else f"process {holder.pid} ({holder.what})"
    return f"{path.parent} already belongs to {who}."
