"""Damage in sealed segments, with real files: it is named, all else is read, and what is restored comes in once."""

import struct
import zlib
from pathlib import Path

import pytest

from evertrain.core.identity import ServiceName
from evertrain.core.prediction import Labelled
from evertrain.core.time import Instant
from evertrain.store.gap import Gap
from evertrain.store.log import LogWriter
from evertrain.store.reader import LogReader
from evertrain.store.segment import HEADER, Position, frame_size, read_frame, sequences

COUNT = 40


def _label(number: int, prediction: str = "") -> Labelled:
    return Labelled(
        service=ServiceName("shop"),
        prediction=prediction,
        key="",
        value=float(number),
        known=Instant(number),
        received=Instant(number),
    )


def _written(folder: Path, *more: Labelled) -> Path:
    """Records in one sealed segment, and one in the segment after it."""
    for records in ((*map(_label, range(COUNT)), *more), (_label(1_000),)):
        writer = LogWriter(folder, "w0", segment_bytes=1 << 16)
        writer.append(*records)
        writer.close()
    assert sequences(folder / "w0") == [0, 1]
    return folder / "w0" / f"{0:012d}.seg"


def _offsets(path: Path) -> list[int]:
    """Where each frame of a segment begins."""
    with path.open("rb") as file:
        offset, found = HEADER, []
        while (payload := read_frame(file.fileno(), offset)) is not None:
            found.append(offset)
            offset += frame_size(len(payload))
    return found


def _spoil(path: Path, begin: int, content: bytes) -> bytes:
    """Write over a part of the file; returns what it was."""
    before = path.read_bytes()
    path.write_bytes(before[:begin] + content + before[begin + len(content) :])
    return before


class _Follower:
    """Whoever follows the log with positions of its own, for instance after a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.positions: dict[str, Position] = {}
        self.gaps: list[Gap] = []

    def numbers(self) -> list[int]:
        """What is new."""
        found: list[int] = []
        with LogReader(self.folder) as reader:
            for _ in range(2):
                for position, record in reader.tail(self.positions):
                    assert isinstance(record, Labelled)
                    found.append(int(record.value))
                    self.positions[position.writer] = position
                self.gaps += reader.pass_gaps(self.positions)
        return found

    def is_filled(self, gap: Gap) -> bool:
        with LogReader(self.folder) as reader:
            return reader.is_filled(self.positions[gap.name])


def _lost(*numbers: int) -> list[int]:
    return [number for number in (*range(COUNT), 1_000) if number not in numbers]


@pytest.mark.parametrize(
    ("first", "within", "size", "lost"),
    [
        pytest.param(7, 20, 1, (7,), id="a payload"),
        pytest.param(7, 4, 1, (7,), id="a checksum"),
        pytest.param(7, 3, 1, (7,), id="a length"),
        pytest.param(7, 0, 4, (7,), id="a length and no more"),
        pytest.param(7, 9, 200, tuple(range(7, 14)), id="several"),
        pytest.param(COUNT - 1, 20, 1, (COUNT - 1,), id="the last"),
        pytest.param(0, 0, 4, (0,), id="the first"),
    ],
)
def test_all_but_what_is_damaged_is_read_and_a_restored_file_brings_that_back_once(
    tmp_path: Path, first: int, within: int, size: int, lost: tuple[int, ...]
) -> None:
    path = _written(tmp_path)
    begin = _offsets(path)[first]
    whole = _spoil(path, begin + within, b"\xff" * size)
    follower = _Follower(tmp_path)
    assert follower.numbers() == _lost(*lost)
    [gap] = follower.gaps
    assert (gap.writer, gap.sequence, gap.offset, gap.file) == ("w0", 0, begin, "w0/000000000000.seg")
    assert gap.records is not None
    assert gap.records == len(lost)
    assert not follower.is_filled(gap)
    assert follower.numbers() == []
    path.write_bytes(whole)
    assert follower.numbers() == list(lost)
    assert follower.is_filled(gap)
    assert follower.numbers() == []
    assert follower.gaps == [gap]


@pytest.mark.parametrize("size", [0, 30, HEADER, 1_000])
def test_a_copy_that_was_cut_off_ends_where_it_ends(tmp_path: Path, size: int) -> None:
    path = _written(tmp_path)
    whole = path.read_bytes()
    kept = [number for number, end in enumerate(_offsets(path)[1:]) if end <= size]
    path.write_bytes(whole[:size])
    follower = _Follower(tmp_path)
    assert follower.numbers() == [*kept, 1_000]
    [gap] = follower.gaps
    assert (gap.records is None) is (size < HEADER)
    assert gap.records is None or gap.records >= COUNT - len(kept)
    path.write_bytes(whole)
    assert follower.numbers() == list(range(len(kept), COUNT))
    assert follower.is_filled(gap)
    assert follower.numbers() == []


def test_a_damaged_header_costs_no_record(tmp_path: Path) -> None:
    path = _written(tmp_path)
    _spoil(path, 0, b"\0" * 20)
    follower = _Follower(tmp_path)
    assert (follower.numbers(), follower.gaps) == (_lost(), [])


def test_what_a_client_wrote_into_a_row_is_never_taken_for_a_frame(tmp_path: Path) -> None:
    """Bytes of a payload that are a whole frame stand where a frame could; they do not lead on to the next one."""
    inner = b"\x91\x01\x02\x03abcd"
    frame = struct.pack("<II", len(inner), zlib.crc32(inner)) + inner
    text = "".join(f"{shift * 'x'}{frame.decode('latin-1')}" for shift in range(8) if frame.isascii())
    path = _written(tmp_path, _label(7_000, text or "x" * 64), _label(8_000))
    begin = _offsets(path)[COUNT]
    # The frame is put there byte by byte, as it may be no text; the checksum around it is then wrong, as after bit rot.
    place = (begin + 40) // 8 * 8
    _spoil(path, place, frame)
    _spoil(path, begin, b"\xff\xff\xff\x0f")
    follower = _Follower(tmp_path)
    assert follower.numbers() == [*range(COUNT), 8_000, 1_000]
    [gap] = follower.gaps
    assert gap.offset < place < gap.until


def test_a_writer_takes_up_a_name_whose_segment_is_damaged_and_leaves_that_as_it_is(tmp_path: Path) -> None:
    path = _written(tmp_path)
    path.write_bytes(path.read_bytes()[:1_000])
    writer = LogWriter(tmp_path, "w0", segment_bytes=1 << 16)
    writer.append(_label(2_000))
    writer.close()
    assert path.stat().st_size == 1_000
    assert _Follower(tmp_path).numbers()[-2:] == [1_000, 2_000]
