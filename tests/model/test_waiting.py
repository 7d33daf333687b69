"""What a busy machine adds to a measured time is told apart from what a process needs itself."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from evertrain.model.waiting import waited_ms

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="only Linux counts it")  # noqa: PTH110

WORK = """
import sys, time
for line in sys.stdin:
    end = time.process_time() + 0.02
    while time.process_time() < end: pass
    print(flush=True)
"""
NEIGHBOUR = "while True: pass"
RESTLESS = """
import threading
while True:
    some = [threading.Thread(target=int) for _ in range(20)]
    for one in some: one.start()
    for one in some: one.join()
"""


@pytest.fixture
def crowded() -> Iterator[subprocess.Popen[str]]:
    """A process that needs 20 ms of a processor for each line, and five others on the same processor."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(own)})
    started: list[subprocess.Popen[str]] = []
    try:
        for code in (WORK, *[NEIGHBOUR] * 5):
            command = [sys.executable, "-c", code]
            started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        os.sched_setaffinity(0, own)
        yield started[0]
    finally:
        os.sched_setaffinity(0, own)
        for one in started:
            one.kill()
            one.communicate()


def test_what_a_process_waits_for_its_neighbours_is_counted(crowded: subprocess.Popen[str]) -> None:
    assert crowded.stdin is not None
    assert crowded.stdout is not None
    took, own = [], []
    for _ in range(5):
        before, begun = waited_ms(crowded.pid), time.perf_counter()
        assert before is not None
        crowded.stdin.write("\n")
        crowded.stdin.flush()
        crowded.stdout.readline()
        took.append((time.perf_counter() - begun) * 1e3)
        after = waited_ms(crowded.pid)
        assert after is not None
        own.append(took[-1] - (after - before))
    assert sum(took) > 300  # 100 ms of work, beside five neighbours
    assert sum(own) < sum(took) / 2


def test_nobody_counts_for_a_process_that_is_gone() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert waited_ms(gone.pid) is None


def test_threads_that_end_while_they_are_counted_are_left_out() -> None:
    """Without them it would be unknown for a moment what a version waited, and all of that would be held against it."""
    restless = subprocess.Popen([sys.executable, "-c", RESTLESS])
    try:
        end = time.monotonic() + 2
        while time.monotonic() < end:  # within some milliseconds one of them ends between its name and its figure
            assert waited_ms(restless.pid) is not None
    finally:
        restless.kill()
        restless.wait()
