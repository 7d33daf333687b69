"""The prediction log: what workers write before they answer. `store.reader` reads it while it grows.

    serving/log/<writer>/<sequence>.seg   segments, the newest one perhaps still being written
    serving/log/<writer>/.next            the segment after that, reserved before it is needed
    serving/log/<writer>/.lock            held (flock) by the process that writes

A record is in the kernel's hands when `LogWriter.append` returns: the death of any process loses none that was
answered. A power cut loses at most the sync interval, since syncing is done on a thread of its own.
"""

import contextlib
import logging
import threading
from pathlib import Path

import msgspec

from evertrain.core.prediction import Record
from evertrain.errors import CapacityError, OccupiedError, TooLargeError
from evertrain.store.file import sync_folder
from evertrain.store.lease import Lease
from evertrain.store.room import Level, Room, free_bytes
from evertrain.store.segment import (
    HEADER,
    Segment,
    frame_size,
    path_of,
    seal_folder,
    sequences,
)

__all__ = ["LogWriter", "claim_writer"]

_log = logging.getLogger(__name__)
_MEGABYTE = 1 << 20


class LogWriter:
    """The one writer of a folder of segments. `append` is for one thread; a second thread syncs and reserves.

    A process that was killed left its last segment open: whoever takes over its name seals it first. Where there is no
    room for a segment the writer stands all the same, and takes records as soon as there is.
    room: how the disk stands; less than `warn_free_bytes` is low.
    """

    def __init__(
        self,
        folder: Path,
        writer: str,
        *,
        segment_bytes: int = 16 * _MEGABYTE,
        sync_interval_s: float = 0.2,
        min_free_bytes: int = 0,
        warn_free_bytes: int = 0,
    ) -> None:
        self._folder = folder / writer
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lease = Lease.take(self._folder / ".lock", f"log writer {writer}")
        self.writer = writer
        self._size = (segment_bytes + 7) & ~7
        self._interval = sync_interval_s
        self._min_free = min_free_bytes
        self._warn_free = warn_free_bytes
        self._encoder = msgspec.msgpack.Encoder()
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._closing = False
        self._trouble = ""
        self._starved = False
        self._is_named = True
        self.room = Room()
        self._retired: list[Segment] = []
        self._segment: Segment | None = None
        self._next: Segment | None = None
        try:
            seal_folder(self._folder)
            self._sequence = max(sequences(self._folder), default=-1)
            with contextlib.suppress(CapacityError):
                self._turn(0)
        except BaseException:
            self._lease.release()
            raise
        self._thread = threading.Thread(target=self._tend, name=f"log-{writer}", daemon=True)
        self._thread.start()
        self._woken.set()

    def append(self, *records: Record) -> None:
        """Write records, all or none: CapacityError when the disk has no room, TooLargeError when no segment ever has.

        They are in the mapped file when this returns. Nothing is synced on this thread.
        """
        payloads = [self._encoder.encode(record) for record in records]
        need = sum([frame_size(len(payload)) for payload in payloads])
        segment = self._segment
        if segment is None or need > segment.room:
            segment = self._turn(need)
        write = segment.write
        for payload in payloads:
            write(payload)

    def close(self) -> None:
        """Seal what was written, give the reserved segment back, and let the name go."""
        self._closing = True
        self._woken.set()
        self._thread.join()
        self._seal_retired()
        if self._segment is not None:
            self._segment.seal()
        if self._next is not None:
            self._next.discard()
        self._lease.release()

    def _turn(self, need: int) -> Segment:
        """Go on in the reserved segment, or in one that is reserved now."""
        if need > self._size - HEADER:
            raise TooLargeError(
                f"{need} bytes of records do not fit in a segment of the prediction log, which has {self._size}.",
                "Send fewer rows in one request, or set a larger segment_mb.",
            )
        with self._lock:
            try:
                following = self._next if self._next is not None else self._reserve(self._sequence + 1)
            except CapacityError:
                self._starved = True
                self._judge()
                raise
            self._next = None
            following.move(path_of(self._folder, self._sequence + 1))
            if self._segment is not None:
                self._retired.append(self._segment)
            self._sequence, self._segment = self._sequence + 1, following
            self._is_named = False
            self._judge()
        self._woken.set()
        return following

    def _reserve(self, sequence: int) -> Segment:
        try:
            segment = Segment.reserve(
                self._folder / ".next",
                writer=self.writer,
                sequence=sequence,
                size=self._size,
                min_free=self._min_free,
            )
        except CapacityError as error:
            self._trouble = error.what
            raise
        self._trouble, self._starved = "", False
        return segment

    def _judge(self) -> None:
        """See how the disk stands. The caller holds the lock."""
        free, trouble = free_bytes(self._folder), self._trouble
        if not trouble and self._next is None and free < self._size + self._min_free:
            trouble = f"No room for the next log segment of {self._size / 2**20:.3g} MiB at {self._folder}."
        if trouble:
            level: Level = "full" if self._starved else "short"
            what = "requests are refused" if self._starved else "versions on trial get no requests"
            self.room = Room(level, f"{trouble} Until there is, {what}.")
        elif free < self._warn_free:
            self.room = Room("low", f"{free // _MEGABYTE} MiB are free at {self._folder.parent}.")
        else:
            self.room = Room()

    def _tend(self) -> None:
        """Sync at each interval, seal what is full, and keep one segment in reserve."""
        while not self._closing:
            self._woken.wait(self._interval)
            self._woken.clear()
            self._seal_retired()
            with self._lock:
                self._stock()
                self._judge()
                current = self._segment
            with contextlib.suppress(ValueError, OSError):
                # The segment may be retired meanwhile; sealing syncs it.
                if current is not None:
                    current.sync()
                if not self._is_named:
                    # Without its name on the disk a power cut would take along what was synced in it.
                    self._is_named = True
                    sync_folder(self._folder)

    def _stock(self) -> None:
        if self._next is not None:
            return
        # Without room `room` says so, and the next look tries again.
        with contextlib.suppress(CapacityError):
            self._next = self._reserve(self._sequence + 1)

    def _seal_retired(self) -> None:
        """Seal what is full; where the disk fails it is tried again at the next look."""
        with self._lock:
            retired, self._retired = self._retired, []
        for place, segment in enumerate(retired):
            try:
                segment.seal()
            except OSError as error:
                _log.error("%s cannot be sealed: %s", segment.path, error)
                with self._lock:
                    self._retired = [*retired[place:], *self._retired]
                return


def claim_writer(
    folder: Path,
    name: str,
    *,
    segment_bytes: int,
    sync_interval_s: float,
    min_free_bytes: int = 0,
    warn_free_bytes: int = 0,
) -> LogWriter:
    """The log writer `name`, or `name.1`, `name.2` ... when an orphan of that name still drains and writes."""
    for attempt in range(64):
        with contextlib.suppress(OccupiedError):
            return LogWriter(
                folder,
                name if attempt == 0 else f"{name}.{attempt}",
                segment_bytes=segment_bytes,
                sync_interval_s=sync_interval_s,
                min_free_bytes=min_free_bytes,
                warn_free_bytes=warn_free_bytes,
            )
    raise OccupiedError(f"64 processes write the log under the name {name}.", "End the ones that are left over.")
