"""The prediction log, with real files."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Failed, Labelled, Predicted, Record
from evertrain.core.time import SECOND, Instant
from evertrain.errors import CapacityError, IntegrityError, OccupiedError, TooLargeError
from evertrain.store.log import LogWriter, claim_writer
from evertrain.store.reader import LogReader, known_to
from evertrain.store.segment import HEADER, Position, Segment, frame_size, recover
from evertrain.testing.disk import SmallDisk, small_disk
from evertrain.testing.tree import wait_until

PREDICTED = Predicted(
    id="0" * 32,
    service=ServiceName("shop"),
    version=VersionId("v" * 64),
    key="k",
    at=Instant(1),
    received=Instant(2),
    row=("s1", 1.5, 3, True, None),
    vector=("s1", 2**53 + 1, None),
    score=0.1 + 0.2,
    arm="champion",
    assigned="canary",
    latency_us=12,
)
FAILED = Failed(
    id="1" * 32,
    service=ServiceName("shop"),
    version=VersionId("v" * 64),
    key="k",
    at=Instant(1),
    received=Instant(2),
    arm="canary",
    cause="deadline",
    detail="after 1 s",
    latency_us=12,
)


def _label(number: int, size: int = 0) -> Labelled:
    return Labelled(
        service=ServiceName("shop"),
        prediction="x" * size,
        key="",
        value=float(number),
        known=Instant(number),
        received=Instant(number),
    )


def _all(folder: Path, places: dict[str, Position] | None = None) -> list[tuple[Position, Record]]:
    with LogReader(folder) as reader:
        return reader.tail(places or {})


def _numbers(found: list[tuple[Position, Record]]) -> list[int]:
    return [int(record.value) for _, record in found if isinstance(record, Labelled)]


def _places(found: list[tuple[Position, Record]], before: dict[str, Position]) -> dict[str, Position]:
    return before | {place.writer: place for place, _ in found}


def _until_reserved(writer: LogWriter, folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not (folder / writer.writer / ".next").exists():
        assert time.monotonic() < deadline
        os.sched_yield()


def test_records_are_read_as_they_were_written_before_and_after_sealing(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "w0", segment_bytes=1 << 16)
    writer.append(PREDICTED, FAILED, _label(3))
    live = _all(tmp_path)
    assert [record for _, record in live] == [PREDICTED, FAILED, _label(3)]
    writer.close()
    assert _all(tmp_path) == live


@given(sizes=st.lists(st.integers(0, 600), max_size=60), stride=st.integers(1, 7))
def test_a_reader_that_follows_sees_each_record_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], stride: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    writer, reader = LogWriter(folder, "w0", segment_bytes=2048), LogReader(folder)
    places: dict[str, Position] = {}
    seen: list[int] = []
    for number, size in enumerate(sizes):
        writer.append(_label(number, size))
        if number % stride == 0:
            found = reader.tail(places, limit=stride)
            places = _places(found, places)
            seen += _numbers(found)
    writer.close()
    while found := reader.tail(places, limit=3):
        places = _places(found, places)
        seen += _numbers(found)
    reader.close()
    assert seen == list(range(len(sizes)))
    # Another reader goes on from any place.
    assert _all(folder, places) == []
    assert _numbers(_all(folder)) == seen


def test_what_was_appended_is_read_at_once_whether_or_not_its_segment_is_full(tmp_path: Path) -> None:
    """A full segment is sealed after a sync; what is in the next one does not wait for that."""
    places: dict[str, Position] = {}
    with closing(LogWriter(tmp_path, "w0", segment_bytes=1024)) as writer, LogReader(tmp_path) as reader:
        for number in range(2_000):
            writer.append(_label(number))
            found = reader.tail(places)
            places = _places(found, places)
            assert _numbers(found) == [number]
    assert len(list((tmp_path / "w0").glob("*.seg"))) > 50


def test_writers_are_read_side_by_side_and_a_name_belongs_to_one_process(tmp_path: Path) -> None:
    first = claim_writer(tmp_path, "w0", segment_bytes=4096, sync_interval_s=0.1, min_free_bytes=0)
    second = claim_writer(tmp_path, "w0", segment_bytes=4096, sync_interval_s=0.1, min_free_bytes=0)
    assert (first.writer, second.writer) == ("w0", "w0.1")
    with pytest.raises(OccupiedError, match="already belongs"):
        LogWriter(tmp_path, "w0", segment_bytes=4096)
    reader = LogReader(tmp_path)
    first.append(_label(1))
    assert _numbers(reader.tail({})) == [1]
    second.append(_label(2))
    assert _numbers(reader.tail({})) == [1, 2]
    assert reader.seal_orphans() == []
    reader.close()
    first.close()
    second.close()


@pytest.mark.parametrize("limit", [1, 7, 100, 1_000])
def test_between_writers_the_older_record_comes_first_whatever_the_size_of_a_look(tmp_path: Path, limit: int) -> None:
    """A writer that is long gone is not read to its end before one that answers, nor the other way round."""
    for writer in range(3):
        with closing(LogWriter(tmp_path, f"w{writer}", segment_bytes=1 << 12)) as log:
            log.append(*(_label(number) for number in range(writer, 240, 3)))
    numbers: list[int] = []
    places: dict[str, Position] = {}
    with LogReader(tmp_path) as reader:
        while found := reader.tail(places, limit=limit):
            assert len(found) <= limit
            numbers += _numbers(found)
            places = _places(found, places)
    assert numbers == list(range(240))


def test_what_is_read_a_few_seconds_late_is_no_outage(tmp_path: Path) -> None:
    with closing(LogWriter(tmp_path, "w0")) as log:
        log.append(*(_label(number * SECOND) for number in range(10)))
    with LogReader(tmp_path) as reader:
        found = reader.tail({}, limit=4)
    assert known_to(found, 4, Instant(8 * SECOND)) is None
    assert known_to(found, 4, Instant(9 * SECOND)) == 3 * SECOND
    assert known_to(found, 5, Instant(9 * SECOND)) is None  # that was all


@pytest.mark.parametrize("longest", [32_000, 33_000, 100_000])
def test_records_longer_than_what_is_read_at_once_are_read_too(tmp_path: Path, longest: int) -> None:
    sizes = [0, longest, 8, longest, longest, 40]
    records = [_label(number, size) for number, size in enumerate(sizes)]
    with closing(LogWriter(tmp_path, "w0")) as log:
        log.append(*records)
        assert [record for _, record in _all(tmp_path)] == records
    assert [record for _, record in _all(tmp_path)] == records
    assert recover(tmp_path / "w0" / f"{0:012d}.seg").frames == len(records)


def test_a_writer_that_opens_again_goes_on_in_a_new_segment(tmp_path: Path) -> None:
    for number in range(3):
        writer = LogWriter(tmp_path, "w0", segment_bytes=4096)
        writer.append(_label(number))
        writer.close()
    assert _numbers(_all(tmp_path)) == [0, 1, 2]
    assert [(name, sequence) for name, sequence, _ in LogReader(tmp_path).sealed()] == [("w0", n) for n in range(3)]


def test_a_sealed_segment_says_its_digest_and_keeps_it(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "w0", segment_bytes=4096)
    writer.append(_label(1), _label(2))
    writer.close()
    [(_, _, path)] = LogReader(tmp_path).sealed()
    sealed = recover(path)
    assert (sealed.writer, sealed.sequence, sealed.frames) == ("w0", 0, 2)
    assert sealed.bytes == path.stat().st_size
    assert recover(path) == sealed


@pytest.mark.parametrize("place", [HEADER, HEADER + 4, HEADER + 9, -1])
def test_a_flipped_byte_in_a_sealed_segment_is_named(tmp_path: Path, place: int) -> None:
    writer = LogWriter(tmp_path, "w0", segment_bytes=4096)
    writer.append(_label(1, 16), _label(2, 16))
    writer.close()
    [(_, _, path)] = LogReader(tmp_path).sealed()
    before = recover(path).digest
    content = bytearray(path.read_bytes())
    content[place] ^= 0x40
    path.write_bytes(content)
    if place == -1 and content[place] == 0x40:  # padding: no frame is hurt, the digest is
        assert recover(path).digest != before
        return
    with pytest.raises(IntegrityError, match="damaged"):
        recover(path)
    assert len(_all(tmp_path)) == 1


def test_a_half_written_frame_is_not_read_and_sealing_ends_before_it(tmp_path: Path) -> None:
    path = tmp_path / "w0" / "000000000000.seg"
    path.parent.mkdir()
    segment = Segment.reserve(path, writer="w0", sequence=0, size=4096)
    segment.write(b"\x95" * 3)
    start = segment.end
    with path.open("r+b") as file:  # body and checksum of the next frame stand, its length does not
        file.seek(start + 4)
        file.write(b"12345678")
    [sealed] = LogReader(tmp_path).seal_orphan("w0")
    assert (sealed.frames, sealed.bytes) == (1, start)
    assert path.stat().st_size == start


def test_records_that_do_not_fit_together_are_not_written_at_all(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "w0", segment_bytes=1024)
    with pytest.raises(TooLargeError, match="fewer rows"):
        writer.append(*[_label(number, 100) for number in range(20)])
    assert _all(tmp_path) == []
    writer.close()


def test_looking_when_nothing_is_new_is_cheap(tmp_path: Path) -> None:
    writers = [LogWriter(tmp_path, f"w{number}", segment_bytes=4096) for number in range(4)]
    reader, places = LogReader(tmp_path), dict[str, Position]()
    for number, writer in enumerate(writers):
        writer.append(_label(number))
    places = _places(reader.tail(places), places)
    best = min(_timed(reader, places) for _ in range(200))
    assert best < 0.001
    reader.close()
    for writer in writers:
        writer.close()


def _timed(reader: LogReader, places: dict[str, Position]) -> float:
    begun = time.perf_counter()
    assert reader.tail(places) == []
    return time.perf_counter() - begun


# No room left --------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(mounting: None, tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 1 << 20) as found:
        yield found


def _fill(writer: LogWriter, first: int) -> int:
    """Write until there is no room; returns the number after the last record."""
    for number in range(first, 100_000):
        try:
            writer.append(_label(number, 400))
        except CapacityError:
            return number
    raise AssertionError("the disk was never full")


def _until_level(writer: LogWriter, level: str) -> None:
    wait_until(lambda: writer.room.level == level, f"{level} rather than {writer.room}")


def test_a_full_disk_is_an_error_before_it_is_a_signal_and_writing_resumes(disk: SmallDisk) -> None:
    """People are told, trials give way, then nothing is taken; each step is taken back when there is room again."""
    writer = LogWriter(disk.folder, "w0", segment_bytes=1 << 18, warn_free_bytes=400_000)
    _until_level(writer, "enough")
    disk.leave(300_000)
    _until_level(writer, "low")
    assert writer.room.for_trials
    disk.leave(200_000)
    written = 0
    while (room := writer.room).for_trials:  # the reserved segment is begun, and no other can be reserved
        writer.append(_label(written, 400))
        written += 1
    assert room.level == "short"
    written = _fill(writer, written)
    assert writer.room.level == "full"
    assert "No room" in writer.room.says
    assert _numbers(_all(disk.folder)) == list(range(written))
    disk.leave(0)
    with pytest.raises(CapacityError, match="resumes by itself"):
        writer.append(_label(written, 400))
    disk.leave(600_000)
    _until_level(writer, "low")  # also when nobody asks meanwhile
    writer.append(_label(written))
    writer.close()
    assert _numbers(_all(disk.folder)) == list(range(written + 1))


def test_a_writer_that_starts_on_a_full_disk_takes_records_once_there_is_room(disk: SmallDisk) -> None:
    LogWriter(disk.folder, "w0", segment_bytes=1 << 18).close()
    disk.leave(0)
    writer = LogWriter(disk.folder, "w0", segment_bytes=1 << 18)
    assert writer.room.level == "full"
    with pytest.raises(CapacityError, match="No room for a log segment"):
        writer.append(_label(0))
    disk.leave(600_000)
    _until_level(writer, "enough")
    writer.append(_label(0))
    writer.close()
    assert _numbers(_all(disk.folder)) == [0]


def test_a_writer_that_comes_in_the_same_tick_of_the_clock_is_seen(tmp_path: Path) -> None:
    with LogReader(tmp_path) as reader:
        first = LogWriter(tmp_path, "w0", segment_bytes=4096)
        assert reader.writers() == ("w0",)
        stamp = tmp_path.stat().st_mtime_ns
        second = LogWriter(tmp_path, "w1", segment_bytes=4096)
        os.utime(tmp_path, ns=(stamp, stamp))
        assert reader.writers() == ("w0", "w1")
    first.close()
    second.close()


FULL = """
import resource, sys
from pathlib import Path
from evertrain.errors import CapacityError
from evertrain.store.log import LogWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
writer = LogWriter(Path(sys.argv[1]), "w0", segment_bytes=1 << 20)
try:
    writer.append()
except CapacityError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 21, resource.RLIM_INFINITY))
writer.append()
writer.close()
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no such limit here")
def test_a_limit_on_file_sizes_is_an_error_before_it_is_a_signal(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True)
    assert "No room for a log segment of 1 MiB" in done.stdout


def test_the_disk_is_left_with_the_free_space_that_was_asked_for(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "w0", segment_bytes=4096, min_free_bytes=1 << 60)
    with pytest.raises(CapacityError, match="would be left"):
        writer.append(_label(0))
    writer.close()
    LogWriter(tmp_path, "w0", segment_bytes=4096, min_free_bytes=1).close()


def test_frames_are_aligned() -> None:
    assert all(frame_size(length) % 8 == 0 and frame_size(length) >= length + 8 for length in range(100))


def test_a_reserved_segment_that_somebody_removed_costs_the_record_that_wanted_it_alone(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, "w0", segment_bytes=1024, sync_interval_s=0.005)
    writer.append(_label(0, 600))
    _until_reserved(writer, tmp_path)
    (tmp_path / "w0" / ".next").unlink()
    with pytest.raises(CapacityError, match="cannot be named"):
        writer.append(_label(1, 600))
    _until_reserved(writer, tmp_path)
    for number in range(1, 7):
        writer.append(_label(number, 100 if number == 1 else 600))  # the first one still fits where it was
    writer.close()
    assert _numbers(_all(tmp_path)) == list(range(7))
