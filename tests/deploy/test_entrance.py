"""Connections are left to whoever holds fewer, but never to somebody who does not take them."""

import asyncio
import itertools
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from evertrain.deploy.entrance import Entrance, affordable
from evertrain.store.occupancy import Occupancy

FREE = (
    "import sys; from pathlib import Path; from evertrain.store.occupancy import Occupancy\n"
    "own = Occupancy(Path(sys.argv[1])); own.say(0); print(flush=True); sys.stdin.read()"
)


class Counting(asyncio.Protocol):
    """Says hello, and keeps the connection."""

    open = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Counting.open += 1
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")

    def connection_lost(self, exc: Exception | None) -> None:
        Counting.open -= 1


@pytest.fixture
def occupancy(tmp_path: Path) -> Iterator[Occupancy]:
    Counting.open = 0
    own = Occupancy(tmp_path / "occupancy")
    yield own
    own.close()


@pytest.fixture
def free(occupancy: Occupancy, tmp_path: Path) -> Iterator[None]:
    """Another worker that holds nothing, and never comes for what it is left."""
    command = [sys.executable, "-c", FREE, str(tmp_path / "occupancy")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        yield


def entrance_at(listener: socket.socket, occupancy: Occupancy, most: int = 100) -> Entrance:
    entrance = Entrance(listener, occupancy, Counting, held=lambda: Counting.open, most=most)
    entrance.open()
    return entrance


async def enter(listener: socket.socket) -> asyncio.StreamWriter:
    """Come in; returns when the connection was taken."""
    reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
    assert await reader.readexactly(5) == b"hello"
    return writer


def bound() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener


@pytest.mark.usefixtures("free")
def test_a_worker_that_does_not_come_for_its_share_is_waited_for_once(occupancy: Occupancy) -> None:
    async def come(listener: socket.socket) -> list[float]:
        entrance = entrance_at(listener, occupancy)
        loop = asyncio.get_running_loop()
        times = [loop.time()]
        writers = []
        for _ in range(40):
            writers.append(await enter(listener))
            times.append(loop.time())
        entrance.close()
        for writer in writers:
            writer.close()
            await writer.wait_closed()
        return [after - before for before, after in itertools.pairwise(times)]

    with bound() as listener:
        _, second, *others = asyncio.run(come(listener))
    assert second >= 0.05  # the first was its own: nobody held fewer
    assert median(others) < 0.05


def test_a_full_worker_takes_the_next_one_when_one_has_left(occupancy: Occupancy) -> None:
    async def come(listener: socket.socket) -> None:
        entrance = entrance_at(listener, occupancy, most=1)
        first = await enter(listener)
        waiting = asyncio.create_task(enter(listener))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        assert Counting.open == 1
        first.close()
        second = await waiting
        entrance.close()
        second.close()
        await second.wait_closed()

    with bound() as listener:
        asyncio.run(come(listener))


def test_no_more_connections_are_promised_than_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert affordable(100) == 100
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
        assert affordable(100) == 100
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 356
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
