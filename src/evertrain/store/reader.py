"""How the prediction log is read while it grows: the records of all writers, in the order in which they were received.

Each writer's own order is kept. Between writers the older record comes first, so that a label does not come long before
its prediction, nor a client's retry long before or after its request, however much there is to read. Of a writer that
has nothing more at the moment nothing is waited for.
"""

import contextlib
import heapq
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

import msgspec

from evertrain.core.prediction import Record
from evertrain.core.time import SECOND, Instant
from evertrain.errors import IntegrityError, OccupiedError
from evertrain.store.gap import Gap, is_filled, is_gap, pass_over, read_gap
from evertrain.store.lease import Lease
from evertrain.store.repeat import Repeats
from evertrain.store.segment import HEADER, Position, Reading, Sealed, path_of, seal_folder, sequences

__all__ = ["LogReader", "known_to"]

_LATE = 5 * SECOND
"""Less is what any look is late."""

_TICK_NS = 1_000_000_000
"""More than the clock of any file system is coarse."""


class LogReader:
    """Reads all writers' records, sealed and live. One object serves one thread; it keeps the open segments.

    Looking when nothing is new costs one `stat` of the folder and one `pread` or two a writer. Damage in a sealed
    segment is passed over: whoever keeps positions asks `pass_gaps` after each look.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp = -1
        self._writers: tuple[str, ...] = ()
        self._readings: dict[str, Reading] = {}
        self._decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
        self._repeats = Repeats()
        self._gaps: dict[str, Gap] = {}

    def writers(self) -> tuple[str, ...]:
        """The names of all writers that ever wrote."""
        try:
            stamp = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            return ()
        if stamp != self._stamp:
            self._writers = tuple(sorted(entry.name for entry in self._folder.iterdir() if entry.is_dir()))
            # A writer that comes within the same tick of the file system's clock leaves the stamp as it is.
            self._stamp = stamp if time.time_ns() - stamp > _TICK_NS else -1
        return self._writers

    def tail(self, positions: Mapping[str, Position], limit: int = 100_000) -> list[tuple[Position, Record]]:
        """At most about `limit` records after these positions; a writer without one is read from its beginning.

        Each record comes with the position after it: hand the newest ones in again to go on. Fewer than `limit` are
        all that there were.
        """
        each = [self._tail_writer(writer, positions.get(writer)) for writer in self.writers()]
        found = list(islice(heapq.merge(*each, key=_received), limit))
        for name in filter(is_gap, positions):
            for place, payload in read_gap(self._folder, positions[name]):
                found.append((place, self._repeats.marked(place, self._decode(payload, place))))
        return found

    def pass_gaps(self, positions: dict[str, Position]) -> list[Gap]:
        """Damage that was passed over since the last time, and stands in the positions from now on.

        Records that a restored file brings back come under the gap's name: the writer's own position is after it.
        """
        new = [gap for gap in self._gaps.values() if gap.name not in positions]
        for gap in self._gaps.values():
            positions[gap.writer] = max(positions.get(gap.writer, gap.after), gap.after)
            positions.setdefault(gap.name, gap.begin)
        self._gaps.clear()
        return new

    def is_filled(self, position: Position) -> bool:
        """Whether everything in the gap that this position is in has been read."""
        return is_filled(self._folder, position)

    def sealed(self) -> list[tuple[str, int, Path]]:
        """Writer, sequence and path of each segment that will not change any more, in order."""
        found = []
        for writer in self.writers():
            folder = self._folder / writer
            for sequence in sequences(folder):
                path = path_of(folder, sequence)
                with contextlib.suppress(FileNotFoundError), Reading(path) as reading:
                    if reading.end():
                        found.append((writer, sequence, path))
        return found

    def seal_orphans(self, alive: Collection[str] = ()) -> list[Sealed]:
        """Seal what dead writers left open. A writer that lives is known by the lock that it holds, or from `alive`."""
        found = []
        for writer in self.writers():
            if writer not in alive:
                found += self.seal_orphan(writer)
        return found

    def seal_orphan(self, writer: str) -> list[Sealed]:
        """Seal what this writer left open; nothing when it lives."""
        folder = self._folder / writer
        try:
            lease = Lease.take(folder / ".lock", "sealing the log")
        except (OccupiedError, FileNotFoundError):
            return []
        with lease:
            return seal_folder(folder)

    def close(self) -> None:
        for reading in self._readings.values():
            reading.close()
        self._readings.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tail_writer(self, writer: str, position: Position | None) -> Iterator[tuple[Position, Record]]:
        reading = self._reading(writer, position)
        while reading is not None:
            payload = reading.take()
            if payload is None and (gap := pass_over(reading)) is not None:
                self._gaps[gap.name] = gap
                continue
            if payload is None and not reading.ended():
                if not path_of(reading.path.parent, reading.sequence + 1).exists():
                    return
                # The writer has gone on; it seals this one after a sync, in its own time. That is not waited for, or
                # records of other writers would be read before older ones of this one.
                payload = reading.take()
            if payload is None:
                reading = self._keep(writer, reading.sequence + 1, HEADER)  # by name: no folder is listed
                continue
            place = Position(writer=writer, sequence=reading.sequence, offset=reading.offset)
            yield place, self._repeats.marked(place, self._decode(payload, place))

    def _decode(self, payload: bytes, place: Position) -> Record:
        try:
            return self._decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise IntegrityError(
                f"Log {place.writer}/{place.sequence} holds a record before byte {place.offset} that cannot be read: "
                f"{error}.",
                "It was written by a newer evertrain: upgrade this one.",
            ) from error

    def _reading(self, writer: str, position: Position | None) -> Reading | None:
        """The open segment at this position; another one is opened when the caller stands elsewhere than we do."""
        reading = self._readings.get(writer)
        if reading is not None and position is not None and reading.sequence == position.sequence:
            reading.offset = position.offset  # one record was looked at that may not have been handed out
            return reading
        return self._open(writer, position)

    def _open(self, writer: str, position: Position | None) -> Reading | None:
        numbers: Sequence[int] = sequences(self._folder / writer)
        if position is not None:
            numbers = [number for number in numbers if number >= position.sequence]
        if not numbers:
            return None
        same = position is not None and numbers[0] == position.sequence
        return self._keep(writer, numbers[0], position.offset if position is not None and same else HEADER)

    def _keep(self, writer: str, sequence: int, offset: int) -> Reading | None:
        try:
            reading = Reading(path_of(self._folder / writer, sequence), offset)
        except FileNotFoundError:
            return None
        last = self._readings.pop(writer, None)
        if last is not None:
            last.close()
        self._readings[writer] = reading
        return reading


def known_to(found: Sequence[tuple[Position, Record]], limit: int, now: Instant) -> Instant | None:
    """Up to when the log is known after a look that found these, where there is more and that is old; else None."""
    if len(found) < limit:
        return None
    last = _received(found[limit - 1])
    return last if now - last > _LATE else None


def _received(found: tuple[Position, Record]) -> Instant:
    return found[1].received
