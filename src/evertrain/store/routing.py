"""The routing table as a file: published by the controller, followed by every worker for the price of one stat."""

import fcntl
import os
from pathlib import Path

import msgspec

from evertrain.core.routing import RoutingTable
from evertrain.errors import IntegrityError, TransitionError
from evertrain.store.file import write_atomically

__all__ = ["RoutingFile"]

_decoder = msgspec.json.Decoder(RoutingTable)
_encoder = msgspec.json.Encoder(order="sorted")

_Stamp = tuple[int, int, int]


class RoutingFile:
    """One installation's routing table on disk.

    A reader needs nothing but this file: it may start, and go on, when every other process is down. One object serves
    one thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: _Stamp | None = None
        self._seen = RoutingTable(generation=0, routes={})

    def read(self) -> RoutingTable:
        """The table that stands; generation 0 without routes when none was ever published."""
        stamp = self._look()
        if stamp is None:
            return RoutingTable(generation=0, routes={})
        try:
            table = _decoder.decode(self._path.read_bytes())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise IntegrityError(
                f"{self._path} is not a routing table: {error}.",
                "Start the controller: it publishes the table again from the ledger.",
            ) from error
        # The stamp was taken before the content: a table that came between the two is read again, never missed.
        self._stamp, self._seen = stamp, table
        return table

    def changed(self, since_generation: int) -> RoutingTable | None:
        """The table, when its generation is above `since_generation`. One stat when nothing was published."""
        if self._look() != self._stamp:
            self.read()
        return self._seen if self._seen.generation > since_generation else None

    def publish(self, table: RoutingTable) -> None:
        """Replace the table, durably. One whose generation is not higher raises TransitionError and changes nothing."""
        lock = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._replace(table)
        finally:
            os.close(lock)

    def _replace(self, table: RoutingTable) -> None:
        stands = self.read().generation
        if table.generation <= stands:
            raise TransitionError(
                f"Routing table {table.generation} was not published: table {stands} stands.",
                "Read the table, and publish one with a higher generation.",
            )
        before = self._look()
        write_atomically(self._path, _encoder.encode(table))
        self._keep_stamps_apart(before)

    def _keep_stamps_apart(self, before: _Stamp | None) -> None:
        """Give two tables of one tick of the file system's clock different times: `changed` tells them by the time.

        An inode number comes back as soon as its file is gone, so it cannot tell them.
        """
        after = self._look()
        if before is not None and after is not None and after[0] <= before[0]:
            os.utime(self._path, ns=(before[0] + 1, before[0] + 1))

    def _look(self) -> _Stamp | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
