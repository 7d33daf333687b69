import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from evertrain.config.settings import Settings
from evertrain.process.supervision.child import SOCKET_HANDLE, Child, Post
from evertrain.process.supervision.supervisor import Supervisor
from evertrain.store.process import heartbeat_of, start_of
from evertrain.testing.installation import Installation


def post(code: str, **changes: object) -> Post:
    command = (sys.executable, "-c", code)
    return msgspec.structs.replace(Post(name="w0", role="worker", command=command), **changes)


@pytest.fixture
def sleeper() -> Iterator[Child]:
    child = Child(post("import time; time.sleep(600)"))
    child.start()
    yield child
    child.signal(signal.SIGKILL)
    if child.pid is not None:
        os.waitpid(child.pid, 0)


def test_a_child_leads_a_session_and_gets_its_environment_and_socket(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import os, socket\n"
        f"s = socket.socket(fileno={SOCKET_HANDLE})\n"
        "print(os.getpid() == os.getsid(0), os.environ['STATED'], s.getsockname()[1])"
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        child = Child(post(code, log=log, socket=listener.fileno(), environment={"STATED": "yes"}))
        child.start()
        assert child.pid is not None
        os.waitpid(child.pid, 0)
        assert log.read_text() == f"True yes {listener.getsockname()[1]}\n"


def test_a_child_without_a_socket_inherits_none(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        code = (
            "import os, pathlib\n"
            "for handle in os.listdir('/proc/self/fd'):\n"
            "    path = pathlib.Path('/proc/self/fd', handle)\n"
            "    print(path.readlink() if path.is_symlink() else '')"
        )
        child = Child(post(code, log=log))
        child.start()
        assert child.pid is not None
        os.waitpid(child.pid, 0)
        opened = str(Path(f"/proc/self/fd/{listener.fileno()}").readlink())
    assert "/dev/null" in log.read_text()
    assert opened not in log.read_text()


def test_a_supervisor_goes_on_where_a_process_cannot_be_started(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    installation = Installation(tmp_path / "state")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        supervisor = Supervisor(installation.state, Settings(), listener, environment={})
        child = Child(Post(name="w9", role="worker", command=(str(tmp_path / "no" / "python"),)))
        begun = time.monotonic()
        supervisor._start(child)
    assert not child.running
    assert child._next > begun  # it is tried again after a pause
    assert "w9 cannot be started" in caplog.text


def test_pauses_grow_and_are_bounded() -> None:
    child = Child(post("pass"))
    child.begun = time.monotonic()
    pauses = [child.ended() for _ in range(12)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == 30.0
    assert not child.is_due


def test_a_child_that_lived_long_starts_again_soon() -> None:
    child = Child(post("pass"))
    child.begun = time.monotonic()
    for _ in range(8):
        child.ended()
    child.begun -= 3600
    assert child.ended() == 0.1


def test_a_signal_reaches_the_child_alone(sleeper: Child) -> None:
    assert sleeper.pid is not None
    sleeper.signal(signal.SIGTERM, "It was too old.")
    _, status = os.waitpid(sleeper.pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
    assert sleeper.why == "It was too old."
    sleeper.signal(signal.SIGKILL)  # nobody there: nothing happens
    sleeper.pid = None


def test_an_adopted_process_is_signalled_only_while_it_is_the_same(sleeper: Child) -> None:
    assert sleeper.pid is not None
    started = start_of(sleeper.pid)
    assert started is not None
    adopted = Child(sleeper.post)
    recorded = msgspec.structs.replace(heartbeat_of("w0", "worker"), pid=sleeper.pid, started=started)
    adopted.adopt(msgspec.structs.replace(recorded, started=f"{started}0"))
    assert adopted.vanished()
    adopted.signal(signal.SIGKILL)
    assert start_of(sleeper.pid) == started
    adopted.adopt(recorded)
    assert not adopted.vanished()
    assert not sleeper.vanished()


def test_what_a_dead_child_forked_and_left_running_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = "import os, time\nforked = os.fork()\nprint(forked, flush=True) if forked else time.sleep(60)"
    child = Child(post(code, log=log))
    child.start()
    assert child.pid is not None
    os.waitpid(child.pid, 0)
    forked = int(log.read_text().split()[0])
    assert start_of(forked) is not None
    child.sweep()
    end = time.monotonic() + 120
    while start_of(forked) is not None:
        assert time.monotonic() < end
