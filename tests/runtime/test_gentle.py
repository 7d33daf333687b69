"""A gentle load gives what any load gives, and lets others run."""

import gc
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from evertrain.runtime.gentle import unpickle_gently, without_collection

CONTENT = pickle.dumps([(number, str(number)) for number in range(50_000)])


@pytest.fixture
def short_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    yield
    sys.setswitchinterval(before)


def turns_during(unpickle: Callable[[bytes], Any]) -> int:
    """How often another thread found that it had its turn while a pickle was loaded in a thread of its own."""
    begun, ended, turns = float("inf"), 0.0, list[float]()
    over = threading.Event()

    def load() -> None:
        nonlocal begun, ended
        begun = time.perf_counter()
        unpickle(CONTENT)
        ended = time.perf_counter()
        over.set()

    thread = threading.Thread(target=load)
    thread.start()
    while not over.wait(0.0001):
        turns.append(time.perf_counter())
    thread.join()
    return sum(begun < turn < ended for turn in turns)


def test_it_gives_the_same() -> None:
    assert unpickle_gently(CONTENT) == pickle.loads(CONTENT)


@pytest.mark.usefixtures("short_turns")
def test_others_run_meanwhile() -> None:
    """Looked at a few times: on a machine that is busy with something else, nobody comes to all of his turns."""
    assert any(turns_during(unpickle_gently) >= 20 for _ in range(10))
    assert any(turns_during(pickle.loads) < 20 for _ in range(3))


def test_nothing_is_collected_meanwhile_and_what_was_built_is_left_out_later() -> None:
    frozen = gc.get_freeze_count()
    try:
        with without_collection():
            assert not gc.isenabled()
            kept = unpickle_gently(CONTENT)
        assert gc.isenabled()
        assert gc.get_freeze_count() - frozen > 10_000
        assert len(kept) == 50_000
    finally:
        gc.unfreeze()


def test_a_load_that_fails_leaves_the_collector_as_it_was() -> None:
    frozen = gc.get_freeze_count()
    with pytest.raises(EOFError), without_collection():
        unpickle_gently(b"")
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
