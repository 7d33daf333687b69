"""One segment of a prediction log: a preallocated file of frames, written through a memory map.

    header  64 bytes: magic, sequence, creation (microseconds), end (0 while it is written), writer (UTF-8)
    frame   length (4 bytes), CRC-32 (4 bytes), payload, zeros up to the next multiple of 8

All numbers are little-endian. The file is full of zeros when it is made, and a frame's length is written last: a
length of zero means "nothing here yet", so whoever reads while another process writes, or after that process was
killed in the middle of a frame, never takes a torn frame for a whole one.
"""

import contextlib
import errno
import mmap
import os
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from evertrain.core.identity import Digest
from evertrain.errors import CapacityError, IntegrityError
from evertrain.store.file import digest_of_file
from evertrain.store.room import free_bytes

__all__ = [
    "HEADER",
    "LONGEST",
    "FullLogError",
    "Header",
    "Position",
    "Reading",
    "Sealed",
    "Segment",
    "frame_size",
    "path_of",
    "read_frame",
    "read_header",
    "recover",
    "seal_folder",
    "sequences",
]

HEADER = 64
LONGEST = 1 << 28
"""Bytes of a payload at most."""
_NOWHERE = 1 << 62
_BLOCK = 1 << 15
"""Bytes that are read at once."""
_MAGIC = b"evlog\x00\x00\x01"
_HEAD = struct.Struct("<8sQQQ32s")
_FRAME = struct.Struct("<II")
_WORD = struct.Struct("<I")
_END = struct.Struct("<Q")
_END_AT = 24


class Header(msgspec.Struct, frozen=True):
    """end: the first byte after the last frame, 0 while the segment is being written."""

    writer: str
    sequence: int
    created: int
    end: int


class Position(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """The place after a record: where reading goes on. offset: bytes into the segment."""

    writer: str
    sequence: int
    offset: int


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """A segment that will not change any more. digest: of its first `bytes` bytes, which are all of it."""

    writer: str
    sequence: int
    digest: Digest
    frames: int
    bytes: int


def frame_size(payload: int) -> int:
    """Bytes that a payload of this length takes in a segment.

    >>> frame_size(1), frame_size(8), frame_size(9)
    (16, 16, 24)
    """
    return (payload + 8 + 7) & ~7


class FullLogError(CapacityError):
    """The disk takes no more of the log. Its words name a folder: for who runs the machine, not for who asks it."""


class Segment:
    """A segment that this process writes. Not thread-safe, but for `sync`."""

    def __init__(self, path: Path, handle: int, size: int) -> None:
        self.path = path
        self.size = size
        self.end = HEADER
        self._synced = HEADER
        self._handle = handle
        self._map = mmap.mmap(handle, size)

    @classmethod
    def reserve(cls, path: Path, *, writer: str, sequence: int, size: int, min_free: int = 0) -> "Segment":
        """Make the file with every block of it allocated, so that no later write can find the disk full.

        FullLogError when there is no room, or when less than `min_free` bytes would be left on the disk.
        """
        handle = -1
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            _allocate(handle, size, min_free)
            name = writer.encode()[:32]
            os.pwrite(handle, _HEAD.pack(_MAGIC, sequence, time.time_ns() // 1000, 0, name), 0)
            return cls(path, handle, size)
        except OSError as error:
            if handle >= 0:
                os.close(handle)
                path.unlink(missing_ok=True)
            # A disk that fails in another way takes nothing either, and may be put right while we live.
            raise FullLogError(
                f"No room for a log segment of {_say_size(size)} at {path.parent}: {error.strerror}.",
                "Free space on this disk; writing resumes by itself.",
            ) from error

    @property
    def room(self) -> int:
        """Bytes that are left."""
        return self.size - self.end

    def write(self, payload: bytes) -> None:
        """Append one frame; the caller has seen that there is room. It is in the kernel's hands when this returns."""
        start, body = self.end, self.end + 8
        self._map[body : body + len(payload)] = payload
        self._map[start + 4 : body] = _WORD.pack(zlib.crc32(payload))
        # The length comes last: until it stands, the frame does not exist.
        self._map[start : start + 4] = _WORD.pack(len(payload))
        self.end = start + frame_size(len(payload))

    def sync(self) -> None:
        """Bring what was written to the disk. May run beside `write`, in another thread."""
        end = self.end
        if end == self._synced:
            return
        if sys.platform == "linux":
            # fdatasync covers pages that were written through the map, and lets other threads run meanwhile.
            os.fdatasync(self._handle)
        else:
            self._map.flush()
        self._synced = end

    def move(self, path: Path) -> None:
        """Give the reserved file its real name. FullLogError where the disk does not take it: then it is discarded."""
        try:
            self.path.rename(path)
        except OSError as error:
            self.discard()
            raise FullLogError(
                f"The log segment {path} cannot be named: {error.strerror}.",
                "Let the folder be written; writing resumes by itself.",
            ) from error
        self.path = path

    def seal(self) -> None:
        """Record the end, cut the unused rest off, and let go. Nothing can be written afterwards.

        OSError where the disk fails: then it may be tried again.
        """
        if not self._map.closed:
            # The frames first: a power cut must not leave an end behind that they do not reach.
            self.sync()
            self._map[_END_AT : _END_AT + 8] = _END.pack(self.end)
            self._map.close()
        os.ftruncate(self._handle, self.end)
        os.fsync(self._handle)
        os.close(self._handle)

    def discard(self) -> None:
        """Remove a reserved segment that was never used."""
        self._map.close()
        os.close(self._handle)
        with contextlib.suppress(OSError):  # whoever has the name next removes it
            self.path.unlink(missing_ok=True)


def _say_size(size: int) -> str:
    return f"{size / 2**20:.3g} MiB"


def _allocate(handle: int, size: int, min_free: int) -> None:
    if min_free and free_bytes(handle) < size + min_free:
        raise OSError(errno.ENOSPC, f"less than {_say_size(min_free)} would be left on the disk")
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
        return
    zeros = bytes(1 << 20)
    for start in range(0, size, len(zeros)):
        os.pwrite(handle, zeros[: size - start], start)
    os.fsync(handle)


def read_header(handle: int, path: Path) -> Header:
    """The header of an open segment; IntegrityError when the file is no segment."""
    head = os.pread(handle, HEADER, 0)
    if len(head) < HEADER or head[:8] != _MAGIC:
        raise IntegrityError(f"{path} is not a log segment, or its header is damaged.", "Restore it from a backup.")
    _, sequence, created, end, name = _HEAD.unpack(head)
    return Header(writer=name.rstrip(b"\0").decode("utf-8", "replace"), sequence=sequence, created=created, end=end)


def read_frame(handle: int, offset: int) -> bytes | None:
    """The payload of the frame at `offset`, None when no whole frame stands there (yet)."""
    head = os.pread(handle, 8, offset)
    if len(head) < 8:
        return None
    length, crc = _FRAME.unpack(head)
    if length == 0 or length > LONGEST:
        return None
    payload = os.pread(handle, length, offset + 8)
    if len(payload) < length or zlib.crc32(payload) != crc:
        return None
    return payload


class _Window:
    """Whole frames of an open segment, which is read a block at a time."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._block, self._at = b"", 0

    def frame(self, offset: int) -> bytes | None:
        """The same as `read_frame`."""
        payload = _frame_in(self._block, offset - self._at)
        if payload is None:
            # What was no frame when the block was read may be one by now; and a frame may be longer than a block.
            self._block, self._at = os.pread(self._handle, _BLOCK, offset), offset
            payload = _frame_in(self._block, 0) or read_frame(self._handle, offset)
        return payload


def _frame_in(block: bytes, place: int) -> bytes | None:
    """The payload of the frame at a place of bytes that were read, None when they hold no whole one there."""
    if not 0 <= place <= len(block) - 8:
        return None
    length, crc = _FRAME.unpack_from(block, place)
    payload = block[place + 8 : place + 8 + length]
    return payload if 0 < length == len(payload) and zlib.crc32(payload) == crc else None


class Reading:
    """An open segment and where reading stands in it.

    By its name it has its place among the others, whatever became of its header.
    """

    def __init__(self, path: Path, offset: int = HEADER) -> None:
        self.path = path
        self.sequence = int(path.stem)
        self.offset = offset
        self._file = path.open("rb", buffering=0)
        self.handle = self._file.fileno()
        self._window = _Window(self.handle)

    def __enter__(self) -> "Reading":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def take(self) -> bytes | None:
        """The next payload, and one step forward; None when there is none yet, or none any more (see `ended`)."""
        payload = self._window.frame(self.offset)
        if payload is not None:
            self.offset += frame_size(len(payload))
        return payload

    def end(self) -> int:
        """The first byte after the last frame, 0 while it is written.

        Whoever writes names the file when its header stands, and cuts it where its frames end: a file without a header
        is damaged, and ends where it ends. One that is shorter than a header ends nobody knows where.
        """
        try:
            return read_header(self.handle, self.path).end
        except IntegrityError:
            size = os.fstat(self.handle).st_size
            return size if size > HEADER else _NOWHERE

    def ended(self) -> bool:
        """Whether everything was read and nothing will follow."""
        return 0 < self.end() <= self.offset


def _frames(handle: int, end: int) -> Iterator[int]:
    """The offsets at which whole frames end, one after the other."""
    offset, window = HEADER, _Window(handle)
    while (payload := window.frame(offset)) is not None:
        offset += frame_size(len(payload))
        if end and offset > end:
            return
        yield offset


def recover(path: Path) -> Sealed:
    """Seal a segment whose writer is gone, after its last whole frame; look at one that is sealed already.

    Idempotent. A sealed segment whose frames do not reach its end is damaged: IntegrityError.
    """
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        header = read_header(handle, path)
        last, frames = HEADER, 0
        for offset in _frames(handle, header.end):
            last, frames = offset, frames + 1
        if header.end and last != header.end:
            raise IntegrityError(
                f"Log segment {path} is damaged after byte {last} (it ends at {header.end}).",
                "Restore it from a backup; the records before that byte are whole.",
            )
        if not header.end:
            os.pwrite(handle, _END.pack(last), _END_AT)
        if os.fstat(handle).st_size != last:
            os.ftruncate(handle, last)
        os.fsync(handle)
    finally:
        os.close(handle)
    return Sealed(
        writer=header.writer, sequence=header.sequence, digest=digest_of_file(path, last), frames=frames, bytes=last
    )


def path_of(folder: Path, sequence: int) -> Path:
    """The file of a segment in its writer's folder."""
    return folder / f"{sequence:012d}.seg"


def sequences(folder: Path) -> list[int]:
    """The numbers of the segments in a writer's folder, in order."""
    return sorted(int(path.stem) for path in folder.glob("*.seg") if path.stem.isdigit())


def seal_folder(folder: Path) -> list[Sealed]:
    """Seal every open segment of a folder whose lock the caller holds; a writer may leave two, and a reserved one.

    One that is damaged stays as it is, for whoever restores it: nothing is written into it, and nothing waits for it.
    """
    (folder / ".next").unlink(missing_ok=True)
    sealed = []
    for sequence in sequences(folder):
        path = path_of(folder, sequence)
        with Reading(path) as reading:
            whole = reading.end() == path.stat().st_size
        if not whole:
            with contextlib.suppress(IntegrityError):
                sealed.append(recover(path))
    return sealed
