"""What keeps the interpreter to itself is told from what gives others their turn."""

import gc
import pickle
import time
from collections.abc import Iterator

import pytest

from evertrain.runtime.gentle import unpickle_gently
from evertrain.runtime.stall import least_stall


@pytest.fixture(autouse=True)
def no_callbacks() -> Iterator[None]:
    """Hypothesis is called at each garbage collection, and so gives others a turn in the middle of a load."""
    kept = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:] = kept


def test_what_holds_the_interpreter_is_measured_and_what_waits_is_not() -> None:
    held = pickle.dumps([(number, str(number)) for number in range(400_000)])
    loaded, hard = least_stall(lambda: pickle.loads(held), 0.0)
    assert len(loaded) == 400_000
    assert hard > 25
    _, idle = least_stall(lambda: time.sleep(0.05), 25.0)
    assert idle < hard
    _, gentle = least_stall(lambda: unpickle_gently(held), 25.0, tries=5)
    assert gentle < hard


def test_the_least_of_several_looks_counts() -> None:
    looks: list[float] = []

    def load() -> int:
        looks.append(0.0)
        return len(looks)

    loaded, _ = least_stall(load, 1e9)
    assert loaded == len(looks) == 1
    least_stall(load, -1.0)
    assert len(looks) == 4
