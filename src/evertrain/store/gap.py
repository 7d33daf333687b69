"""Damage in a sealed segment: which bytes are lost, where whole frames go on, and what a restored file brings back.

Reading goes on after damage only where that is sound: where the damaged frame's own length says that the next one
begins, or from where whole frames follow one another right to the segment's end. Bytes that only look like a frame, as
those that a client wrote into a row may, are therefore never taken for one.

What is lost is read by a name of its own, `<writer>~<sequence>~<until>`: whoever keeps positions keeps one under that
name, so that records that a restored file brings back are taken in once, however late they come.
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from evertrain.core.wording import say_many
from evertrain.store.segment import LONGEST, Position, Reading, frame_size, path_of, read_frame

__all__ = ["Gap", "is_filled", "is_gap", "pass_over", "read_gap"]

_WORD = struct.Struct("<I")
_SMALLEST = 32
"""Bytes that a record takes at least: a label of a service with a name of one letter."""
_FAR = (1 << 32) - 1
"""The end of a segment of which not even the header is left."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a sealed segment that cannot be read, from `offset` up to `until`.

    records: how many they held at most; None where not even that can be known.
    """

    writer: str
    sequence: int
    offset: int
    until: int
    records: int | None

    @property
    def name(self) -> str:
        """Under which the records are read that a restored file brings back."""
        return f"{self.writer}~{self.sequence}~{self.until}"

    @property
    def begin(self) -> Position:
        """Where reading begins of what is lost, under the gap's name."""
        return Position(writer=self.name, sequence=self.sequence, offset=self.offset)

    @property
    def after(self) -> Position:
        """Where its writer is read on."""
        return Position(writer=self.writer, sequence=self.sequence, offset=self.until)

    def holds(self, place: Position) -> bool:
        """Whether the record before this place of the writer's log was lost in it."""
        within = self.offset < place.offset <= self.until
        return (place.writer, place.sequence) == (self.writer, self.sequence) and within

    @property
    def file(self) -> str:
        """The segment, in the folder of the log."""
        return f"{self.writer}/{self.sequence:012d}.seg"

    @property
    def says(self) -> str:
        """What is lost, for people."""
        lost = "nobody knows how many records are"
        if self.records is not None:
            lost = f"at most {say_many(self.records, 'record')} {'is' if self.records == 1 else 'are'}"
        return f"Log segment {self.file} is damaged from byte {self.offset:,} on: {lost} lost."


def is_gap(name: str) -> bool:
    """Whether positions under this name are in a gap.

    >>> is_gap("w0~3~4096"), is_gap("w0.1")
    (True, False)
    """
    return "~" in name


def pass_over(reading: Reading) -> Gap | None:
    """Go on after the damage, where no whole frame stands in a segment that is sealed; None where all is well."""
    end, offset = min(reading.end(), _FAR), reading.offset
    if not end or offset >= end or read_frame(reading.handle, offset) is not None:
        return None
    there = min(end, os.fstat(reading.handle).st_size)
    step = _own_length(reading.handle, offset)
    if step:
        reading.offset, records = offset + step, 1
    else:
        reading.offset = end if there < end else offset + _whole_until_the_end(reading.handle, offset, end)
        records = max(1, (reading.offset - offset) // _SMALLEST)
    return Gap(
        writer=reading.path.parent.name,
        sequence=reading.sequence,
        offset=offset,
        until=reading.offset,
        records=None if end == _FAR else records,
    )


def read_gap(folder: Path, position: Position) -> Iterator[tuple[Position, bytes]]:
    """What can be read now of a gap from a position in it on: payloads, each with the position after it."""
    until = _until(position)
    if position.offset >= until:
        return
    with contextlib.suppress(FileNotFoundError), _open(folder, position) as reading:
        while reading.offset < until and (payload := reading.take()) is not None:
            yield msgspec.structs.replace(position, offset=reading.offset), payload


def is_filled(folder: Path, position: Position) -> bool:
    """Whether everything in the gap that this position is in has been read."""
    with contextlib.suppress(FileNotFoundError), _open(folder, position) as reading:
        return position.offset >= min(_until(position), reading.end() or _FAR)
    return False


def _open(folder: Path, position: Position) -> Reading:
    return Reading(path_of(folder / position.writer.rsplit("~", 2)[0], position.sequence), position.offset)


def _until(position: Position) -> int:
    return int(position.writer.rsplit("~", 1)[1])


def _own_length(handle: int, offset: int) -> int:
    """How far the next frame is by the damaged one's length, where a whole one stands there; else 0."""
    head = os.pread(handle, 4, offset)
    length = _WORD.unpack(head)[0] if len(head) == 4 else 0
    if not 0 < length <= LONGEST:
        return 0
    step = frame_size(length)
    return step if read_frame(handle, offset + step) is not None else 0


def _whole_until_the_end(handle: int, offset: int, end: int) -> int:
    """How far behind `offset` the first place is from which whole frames reach the end; to the end where there is none.

    It is looked for from the end: only what leads to a place that is known to lead on is worth a checksum.
    """
    content = os.pread(handle, end - offset, offset)
    lowest = len(content)
    lead = {lowest}
    for place in range(len(content) - frame_size(1), 0, -8):
        length = _WORD.unpack_from(content, place)[0]
        if length and place + frame_size(length) in lead and read_frame(handle, offset + place) is not None:
            lead.add(place)
            lowest = place
    return lowest
