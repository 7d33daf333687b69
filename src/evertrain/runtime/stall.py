"""How long the loading of a model keeps other threads of its process from the interpreter."""

import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["TURN_S", "least_stall"]

TURN_S = 0.0005
"""How long a version that loads in Python may keep the interpreter from whoever answers; Python's own measure is ten
times that, and each answer waits for it several times: beside a forest in a pickle 238 a second became 914."""

_TICK_S = 0.001
_Loaded = TypeVar("_Loaded")


def least_stall(load: Callable[[], _Loaded], enough_ms: float, *, tries: int = 3) -> tuple[_Loaded, float]:
    """What was loaded, and the longest for which another thread did not come to its turn meanwhile, in milliseconds.

    The machine may be busy with something else, so what is over `enough_ms` is looked at again, and the least counts.
    """
    loaded, least = _watched(load)
    for _ in range(tries - 1):
        if least <= enough_ms:
            break
        loaded, again = _watched(load)
        least = min(least, again)
    return loaded, least


def _watched(load: Callable[[], _Loaded]) -> tuple[_Loaded, float]:
    over, watching = threading.Event(), threading.Event()
    longest = 0.0

    def tick() -> None:
        nonlocal longest
        while not over.is_set():
            begun, worked = time.perf_counter(), time.process_time()
            watching.set()
            time.sleep(_TICK_S)
            # Where other processes had the processor, nothing here held anybody up: only what was worked here counts.
            late = min(time.perf_counter() - begun - _TICK_S, time.process_time() - worked)
            longest = max(longest, late)

    before = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S)
    thread = threading.Thread(target=tick, name="stall")
    thread.start()
    watching.wait()  # else a load may be over before anybody looks
    try:
        loaded = load()
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)
    return loaded, 1000 * longest
