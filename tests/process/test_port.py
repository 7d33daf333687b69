import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from evertrain.errors import OccupiedError, SettingsError
from evertrain.process.port import claim, holders_of, require_free
from evertrain.testing.tree import free_port

LISTEN = (
    "import socket, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n"
    "s.bind(('127.0.0.1', 0)); s.listen(); print(s.getsockname()[1], flush=True)\n"
    "sys.stdin.readline()\n"
    "c, _ = s.accept(); c.sendall(b'old'); c.close()\n"
)
NAMELESS = """
import os, socket, time
held = socket.create_server(("127.0.0.1", 0))
print(held.getsockname()[1], flush=True)
time.sleep({seconds})
os._exit(0)
"""


@pytest.fixture
def stranger() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server that shares its port with whoever asks: its number and its port."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def test_a_port_that_shares_is_still_somebody_elses(stranger: tuple[subprocess.Popen[str], int]) -> None:
    process, port = stranger
    assert holders_of(port) == {process.pid}
    with pytest.raises(OccupiedError) as caught:
        claim("127.0.0.1", port)
    assert f"The predict port {port} on 127.0.0.1 is in use by process {process.pid} ({sys.executable}" in str(
        caught.value
    )
    assert "--port" in caught.value.remedy
    with pytest.raises(OccupiedError, match="The control port") as caught:
        require_free("127.0.0.1", port, what="The control port")
    assert "--control-port" in caught.value.remedy


@pytest.mark.parametrize(("seconds", "ends"), [(0.3, True), (60, False)])
def test_who_has_a_port_without_a_name_is_looked_at_again(seconds: float, *, ends: bool) -> None:
    """As a process that is just being started has none, or one that ends between two looks."""
    with subprocess.Popen(
        [""], executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(NAMELESS.format(seconds=seconds))
        process.stdin.close()
        port = int(process.stdout.readline())
        if ends:
            require_free("127.0.0.1", port, what="The predict port")
        else:
            with pytest.raises(OccupiedError, match=f"is in use by process {process.pid}\\. Stop it"):
                require_free("127.0.0.1", port, what="The predict port")
            process.kill()


def test_any_address_clashes_with_one_of_them(stranger: tuple[subprocess.Popen[str], int]) -> None:
    with pytest.raises(OccupiedError):
        claim("0.0.0.0", stranger[1])


def test_a_free_port_is_bound_and_does_not_listen_yet() -> None:
    with claim("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert holders_of(port) == set()
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) != 0
        listener.listen()
        assert holders_of(port) == {os.getpid()}
        assert not listener.get_inheritable()


def test_a_port_in_time_wait_is_free() -> None:
    port = free_port()  # one of those that the system gives might be in other hands at the second time
    with claim("127.0.0.1", port) as listener:
        listener.listen()
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()  # whoever closes first waits
    with claim("127.0.0.1", port) as again:
        assert again.getsockname()[1] == port


def test_the_socket_of_an_orphan_is_taken_over_with_what_waits_in_it(
    stranger: tuple[subprocess.Popen[str], int],
) -> None:
    process, port = stranger
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        with claim("127.0.0.1", port, own={process.pid}) as listener:
            process.kill()
            process.wait()
            listener.settimeout(60)
            connection, _ = listener.accept()
            connection.sendall(b"new")
            connection.close()
        assert client.recv(3) == b"new"


def test_hosts_and_ports_that_cannot_be_are_settings_to_mend() -> None:
    with pytest.raises(SettingsError, match=r"no\.such\.host\.invalid"):
        claim("no.such.host.invalid", 0)
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1"):
        claim("192.0.2.1", 8080)
