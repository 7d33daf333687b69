import subprocess
import sys
import time
from pathlib import Path

import pytest

from evertrain.core.time import HOUR, Instant
from evertrain.errors import IntegrityError
from evertrain.store.clock import StoryClock, SystemClock, business_clock

START = Instant(1_360_000_000_000_000)


def test_the_system_clock_is_the_time_of_the_machine() -> None:
    before = time.time_ns() // 1000
    assert before <= SystemClock().now() <= time.time_ns() // 1000


def test_without_a_story_the_system_clock_is_used(tmp_path: Path) -> None:
    assert isinstance(business_clock(tmp_path / "clock"), SystemClock)


def test_a_story_is_seen_by_everybody_who_mapped_it(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    story = StoryClock.create(path, START)
    other = business_clock(path)
    assert isinstance(other, StoryClock)
    assert other.now() == START
    story.advance(Instant(START + HOUR))
    assert (other.now(), other.generation) == (START + HOUR, 1)
    other.data_settled = Instant(START + HOUR)
    other.control_settled = Instant(START + 2 * HOUR)
    other.control_due = Instant(START + 3 * HOUR)
    assert story.data_settled == START + HOUR
    assert story.control_settled == START + 2 * HOUR
    assert story.control_due == START + 3 * HOUR


def test_a_new_story_waits_for_its_history(tmp_path: Path) -> None:
    story = StoryClock.create(tmp_path / "clock", START)
    assert story.control_settled == story.control_due == story.delivered == START
    assert story.data_settled < START


def test_an_hour_may_be_delivered_before_it_is_shown(tmp_path: Path) -> None:
    story = StoryClock.create(tmp_path / "clock", START)
    story.delivered = Instant(START + HOUR)
    story.advance(Instant(START + 1))
    assert story.delivered == START + HOUR
    story.advance(Instant(START + 2 * HOUR))
    assert story.delivered == START + 2 * HOUR


def test_a_story_never_goes_back(tmp_path: Path) -> None:
    story = StoryClock.create(tmp_path / "clock", START)
    with pytest.raises(ValueError, match="cannot go back"):
        story.advance(Instant(START - 1))
    assert (story.now(), story.generation) == (START, 0)


def test_another_process_sees_it_advance(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    story = StoryClock.create(path, START)
    code = (
        "import sys; from pathlib import Path; from evertrain.store.clock import StoryClock\n"
        "clock = StoryClock(Path(sys.argv[1]))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "clock.data_settled = clock.now()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        story.advance(Instant(START + 5))
        other.communicate("go\n", timeout=120)
    assert story.data_settled == START + 5


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 4096])
def test_a_file_that_is_no_clock_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clock"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="is not a story clock"):
        business_clock(path)
