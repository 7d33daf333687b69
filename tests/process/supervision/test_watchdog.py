import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from evertrain.core.identity import VersionId
from evertrain.core.trial import Ping, Pong, frame
from evertrain.process.supervision.child import Child, Post
from evertrain.process.supervision.pulse import Pulse
from evertrain.process.supervision.watchdog import Watchdog
from evertrain.store.process import beat, heartbeat_of, start_of
from evertrain.store.state import State
from evertrain.testing.retelling import running_in
from evertrain.testing.tree import wait_until

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State.create(tmp_path / "state")


@pytest.fixture
def start(state: State) -> Iterator[Callable[..., Child]]:
    children = []

    def started(**changes: object) -> Child:
        post = Post(name="canary-1", role="candidate", command=SLEEP, memory_mb=512)
        child = Child(msgspec.structs.replace(post, **changes))
        child.start()
        children.append(child)
        return child

    yield started
    for child in children:
        if child.pid is not None:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)


def says_it_lives(state: State, child: Child) -> None:
    beat(state, msgspec.structs.replace(heartbeat_of(child.post.name, child.post.role), pid=child.pid or 0))


def is_dead(child: Child) -> bool:
    return child.pid is None or start_of(child.pid) is None


def test_a_process_in_order_is_left_alone(state: State, start: Callable[..., Child]) -> None:
    child = start()
    watchdog = Watchdog(state)
    watchdog.look(child)
    says_it_lives(state, child)
    watchdog.look(child)
    assert child.why == ""
    assert not is_dead(child)


def test_too_much_memory_is_the_end(state: State, start: Callable[..., Child]) -> None:
    child = start(memory_mb=1)
    says_it_lives(state, child)
    wait_until(lambda: fault_of(Watchdog(state), child) != "", "the verdict")
    assert child.why.endswith(" MiB of memory, its limit is 1 MiB.")
    wait_until(lambda: is_dead(child), "the end")


FORK = """
import os, time
first = os.fork()
if first == 0:
    {apart}
    hoard = b"x" * (120 << 20) if os.fork() == 0 else b""
    if not hoard and {leave}:
        os._exit(0)
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("apart", "leave"), [("pass", False), ("pass", True), ("os.setsid()", False)], ids=["below", "orphaned", "apart"]
)
def test_the_memory_of_what_it_started_counts_and_ends_with_it(
    state: State, start: Callable[..., Child], apart: str, leave: bool
) -> None:
    child = start(memory_mb=100, command=(sys.executable, "-c", FORK.format(apart=apart, leave=leave), str(state.path)))
    says_it_lives(state, child)
    wait_until(lambda: fault_of(Watchdog(state), child) != "", "the verdict")
    assert child.why.endswith(" MiB of memory, its limit is 100 MiB.")
    wait_until(lambda: is_dead(child), "the end")
    child.sweep()
    wait_until(lambda: not running_in(state.path), "the end of all")


def test_never_coming_up_is_the_end(state: State, start: Callable[..., Child]) -> None:
    child = start()
    child.able -= 200
    Watchdog(state).look(child)
    assert child.why == "It did not come up within 180 s."


def test_while_its_environment_is_being_built_it_is_left_alone(state: State, start: Callable[..., Child]) -> None:
    child, other = start(within="a" * 64), start(name="canary-2")
    watchdog = Watchdog(state)
    with state.environments.building("a" * 64):
        for one in (child, other):
            one.begun = one.able = one.begun - 200
            watchdog.look(one)
        assert (child.why, other.why) == ("", "It did not come up within 180 s.")
    watchdog.look(child)
    assert child.why == ""  # from now on it can come up
    child.able -= 200
    watchdog.look(child)
    assert child.why == "It did not come up within 180 s."


def test_a_building_that_ends_never_keeps_nobody_for_ever(state: State, start: Callable[..., Child]) -> None:
    child = start(within="a" * 64)
    child.begun = child.able = child.begun - 2_000
    with state.environments.building("a" * 64):
        Watchdog(state).look(child)
    assert child.why == "It did not come up within 180 s."


def test_no_sign_of_life_is_the_end(state: State, start: Callable[..., Child]) -> None:
    child = start(role="worker")
    says_it_lives(state, child)
    wait_until(lambda: fault_of(Watchdog(state, stuck_s=0.0), child) != "", "the verdict")
    assert child.why == "It gave no sign of life for 0 s."


def fault_of(watchdog: Watchdog, child: Child) -> str:
    """What it says after two looks."""
    for _ in range(2):
        watchdog.look(child)
    return child.why


def test_a_sign_of_life_starts_the_count_anew(state: State, start: Callable[..., Child]) -> None:
    child = start(role="worker")
    watchdog = Watchdog(state)
    for shift in range(3):
        says_it_lives(state, child)
        os.utime(state.processes / "canary-1.json", ns=(shift, shift))
        watchdog.look(child)
    assert child.why == ""


def test_what_was_said_before_does_not_count_for_the_next_process(state: State, start: Callable[..., Child]) -> None:
    child = start(role="worker")
    says_it_lives(state, child)
    watchdog = Watchdog(state)
    watchdog.look(child)
    watchdog.forget(child)
    watchdog.look(child)
    assert child.why == ""


def test_a_log_is_bounded(state: State, start: Callable[..., Child], tmp_path: Path) -> None:
    log = tmp_path / "canary.log"
    child = start(log=log)
    log.write_bytes(b"x" * (2 << 20))
    says_it_lives(state, child)
    Watchdog(state).look(child)
    assert log.stat().st_size == 0


def test_a_pulse_is_silent_until_it_is_answered(state: State) -> None:
    path = state.socket("canary-1")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        pulse = Pulse(path, every_s=0.0)
        assert pulse.look() == 0.0
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(100) == frame(Ping())
            wait_until(lambda: pulse.look() > 0.02, "silence")
            connection.sendall(frame(Pong(ok=True, version=VersionId("a" * 64), memory_mb=1.0)))
            assert pulse.look() == 0.0
        pulse.close()


def test_a_pulse_without_a_listener_is_silent(state: State) -> None:
    pulse = Pulse(state.socket("canary-1"), every_s=0.0)
    pulse.look()
    wait_until(lambda: pulse.look() > 0.02, "silence")
    pulse.close()
