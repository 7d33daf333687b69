"""An embedded, memory-mapped store of online states (LMDB): one writing process, any number of reading ones.

It lies in the cache: what it holds can be rebuilt from the tables, so commits are not flushed to the disk. The death of
a process harms nothing (the pages are the kernel's); after a power cut the store is thrown away when it is next opened
for writing. Keys are bytes of at most 511, in the order of their bytes.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import lmdb
import psutil

from evertrain.errors import CapacityError, UnavailableError
from evertrain.store.file import write_atomically

__all__ = ["MAX_KEY", "OnlineStore"]

MAX_KEY: Final = 511

# Address space only: the file is as large as what is in it. Every process must name the same size.
_MAP: Final = 64 << 30
_READERS: Final = 1022
_BOOT: Final = "boot"
_DATA: Final = "states"
_SWEEP: Final = 1000


class OnlineStore:
    """The states in one folder. A process opens a folder once; later opens share the first one's environment."""

    _opened: dict[Path, tuple[Any, int, bool]] = {}  # noqa: RUF012 - LMDB forbids a second environment in a process

    def __init__(self, folder: Path, environment: Any, *, writing: bool) -> None:
        self._folder = folder
        self._environment = environment
        self._writing = writing
        self._writes = 0

    @classmethod
    def open(cls, folder: Path, *, write: bool = False) -> "OnlineStore":
        """Open the states of `folder`. Reading ones that were never written raises UnavailableError."""
        folder = folder.resolve()
        environment, count, writable = cls._opened.get(folder, (None, 0, False))
        if environment is None or (write and not writable):
            if environment is not None:
                raise UnavailableError(f"{folder} is open for reading in this process.", "Open it for writing first.")
            environment = _create(folder) if write else _attach(folder)
            writable = write
        cls._opened[folder] = (environment, count + 1, writable)
        return cls(folder, environment, writing=write)

    @contextmanager
    def write(self) -> Iterator[Any]:
        """A transaction, whole or not at all; its `put`, `get`, `delete` and `cursor` are LMDB's."""
        self._writes += 1
        if self._writes % _SWEEP == 1:
            # A reader that was killed would keep old pages alive for ever.
            self._environment.reader_check()
        try:
            with self._environment.begin(write=True) as transaction:
                yield transaction
        except (lmdb.MapFullError, lmdb.DiskError) as error:
            raise CapacityError(f"No room for online states in {self._folder}: {error}.", "Free disk space.") from error

    @contextmanager
    def read(self) -> Iterator[Any]:
        """A cursor over one consistent state of the store, however it is written meanwhile."""
        with self._environment.begin() as transaction:
            yield transaction.cursor()

    def begin(self) -> Any:
        """A reading transaction, for those who count microseconds; it must be aborted."""
        return self._environment.begin()

    def close(self) -> None:
        """Give the folder back. The last writer's close flushes, and says so for the next start of the machine."""
        environment, count, writable = self._opened.pop(self._folder)
        if count > 1:
            self._opened[self._folder] = (environment, count - 1, writable)
            return
        if writable:
            environment.sync(True)
            write_atomically(self._folder / _BOOT, b"clean")
        environment.close()


def _create(folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    data, marker = folder / _DATA, folder / _BOOT
    mark = marker.read_bytes() if marker.exists() else b""
    if mark not in (_boot(), b"clean"):
        shutil.rmtree(data, ignore_errors=True)
    write_atomically(marker, _boot())
    return _open(data, readonly=False)


def _attach(folder: Path) -> Any:
    try:
        return _open(folder / _DATA, readonly=True)
    except lmdb.Error as error:
        raise UnavailableError(
            f"There are no online states in {folder}.", "They appear when the data process has started; retry."
        ) from error


def _open(data: Path, *, readonly: bool) -> Any:
    return lmdb.open(
        str(data),
        map_size=_MAP,
        max_readers=_READERS,
        readonly=readonly,
        create=not readonly,
        sync=False,
        metasync=False,
        readahead=False,
        max_spare_txns=8,
    )


def _boot() -> bytes:
    """What tells one start of the machine from the next."""
    identity = Path("/proc/sys/kernel/random/boot_id")
    return identity.read_bytes() if identity.exists() else str(int(psutil.boot_time())).encode()
