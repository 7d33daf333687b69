"""SIGKILL loses no record whose append returned, at whatever moment it strikes."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evertrain.core.prediction import Labelled
from evertrain.store.log import LogWriter
from evertrain.store.reader import LogReader

SCRIPT = Path(__file__).with_name("log_writer.py")


def _killed_after(folder: Path, segment_bytes: int, first: int, appends: int) -> int:
    """Run a writer, kill it once it has said `appends` times that an append returned; the last number it said."""
    command = [sys.executable, str(SCRIPT), str(folder), str(segment_bytes), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(appends):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        said = process.stdout.read().decode()
        process.wait()
    whole = said[: said.rfind("\n") + 1].split()
    return int(whole[-1]) if whole else first + appends - 1


def _numbers(folder: Path) -> list[int]:
    with LogReader(folder) as reader:
        records = [record for _, record in reader.tail({})]
    assert all(isinstance(record, Labelled) for record in records)
    return [int(record.value) for record in records if isinstance(record, Labelled)]


@pytest.mark.parametrize("seed", range(4))
def test_every_append_that_returned_is_read_back_after_a_kill(tmp_path: Path, seed: int) -> None:
    moments, first = random.Random(seed), 0
    for _ in range(3):
        last = _killed_after(tmp_path, 8192, first, moments.randrange(1, 400))
        # Read before anybody seals, and after: the next writer seals what the killed one left open.
        LogReader(tmp_path).seal_orphans()
        found = _numbers(tmp_path)
        # One more than was said may have been written: the kill came between the append and the word.
        assert found == list(range(len(found)))
        assert len(found) - 1 in {last, last + 1}
        first = len(found)


def test_a_segment_of_a_killed_writer_is_read_before_it_is_sealed(tmp_path: Path) -> None:
    last = _killed_after(tmp_path, 1 << 20, 0, 100)
    assert len(_numbers(tmp_path)) - 1 in {last, last + 1}


def test_the_next_writer_goes_on_after_a_killed_one(tmp_path: Path) -> None:
    _killed_after(tmp_path, 1 << 20, 0, 10)
    before = _numbers(tmp_path)
    writer = LogWriter(tmp_path, "w0", segment_bytes=1 << 20)
    writer.append(Labelled(service="shop", prediction="", key="k", value=1e6, known=1, received=1))  # type: ignore[arg-type]
    writer.close()
    assert _numbers(tmp_path) == [*before, 1_000_000]
