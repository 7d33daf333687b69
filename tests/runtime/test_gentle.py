"""A gentle load gives what any load gives, and lets others run."""

import gc
import pickle
import sys
import threading
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
    loading, turns = threading.Event(), 0
    over = threading.Event()

    def load() -> None:
        loading.set()
        unpickle(CONTENT)
        over.set()

    thread = threading.Thread(target=load)
    thread.start()
    loading.wait()
    while not over.wait(0.0001):
        turns += 1
    thread.join()
    return turns


def test_it_gives_the_same() -> None:
    assert unpickle_gently(CONTENT) == pickle.loads(CONTENT)


@pytest.mark.usefixtures("short_turns")
def test_others_run_meanwhile() -> None:
    assert turns_during(unpickle_gently) >= 20
    assert turns_during(pickle.loads) < 20


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
