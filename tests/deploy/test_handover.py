"""Connections that go from one worker to another: who answers what, and what becomes of them when one of them dies."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import uvloop

from evertrain.deploy.body import Intake
from evertrain.deploy.connection import Bounds
from evertrain.deploy.handover import Reception, give
from evertrain.deploy.listener import Listener
from evertrain.deploy.request import Reply, Request
from evertrain.errors import EvertrainError
from evertrain.store.occupancy import Occupancy

GET = b"GET /now HTTP/1.1\r\nhost: x\r\n\r\n"
LATER = b"GET /later HTTP/1.1\r\nhost: x\r\n\r\n"


class Named:
    """Answers with its name; /later when it is let."""

    def __init__(self, name: str) -> None:
        self.draining = False
        self.name = name
        self.asked = 0
        self.may = asyncio.Event()

    def respond(self, request: Request) -> Reply | Awaitable[Reply]:
        self.asked += 1
        return self._later() if request.path == "/later" else Reply(200, self.name.encode())

    def refuse(self, error: EvertrainError) -> Reply:
        return Reply(400, str(error).encode())

    async def _later(self) -> Reply:
        await self.may.wait()
        return Reply(200, self.name.encode())


class House:
    """Two workers of one port: "old" listens, and "new" takes what it is given."""

    def __init__(self, folder: Path, room: int = 100) -> None:
        self.port = socket.create_server(("127.0.0.1", 0))
        self.old_application, self.new_application = Named("old"), Named("new")
        self.old, self.new = listener_of(self.old_application), listener_of(self.new_application)
        self.old.open(self.port)
        self.line = folder / "line"
        self.clients: list[Client] = []
        self.reception = Reception(self.line, room=lambda: room, adopt=self.new.adopt)

    def part(self, *lines: Path) -> None:
        self.old.part(partial(give, takers=lines or (self.line,)))

    async def close(self) -> None:
        for client in self.clients:
            client.writer.close()
        self.reception.close()
        await self.old.close(0.5)
        await self.new.close(0.5)


def listener_of(application: Named) -> Listener:
    return Listener(application, Intake(max_bytes=10_000), Bounds(), occupancy=Occupancy())


class Client:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def come(cls, house: House) -> "Client":
        house.clients.append(cls(*await asyncio.open_connection(*house.port.getsockname()[:2])))
        return house.clients[-1]

    async def ask(self, request: bytes = GET) -> str:
        self.writer.write(request)
        return await self.hear()

    async def hear(self) -> str:
        """Who answered, and "closing" behind it where the response says so."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 60)
        body = await self.reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return body.decode() + (" closing" if b"connection: close" in head else "")


def run(folder: Path, scene: Callable[[House], Awaitable[None]], room: int = 100) -> None:
    async def play() -> None:
        async with opened(folder, room) as house, asyncio.timeout(120):
            await scene(house)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


@contextlib.asynccontextmanager
async def opened(folder: Path, room: int) -> AsyncIterator[House]:
    house = House(folder, room)
    try:
        yield house
    finally:
        await house.close()


def die(listener: socket.socket) -> None:
    """Take one offer, and answer nothing."""
    listener.accept()[0].close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.001)


def test_idle_connections_are_answered_by_who_takes_them_over(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        clients = [await Client.come(house) for _ in range(150)]  # more than one message carries
        assert {await client.ask() for client in clients} == {"old"}
        house.part()
        await until(lambda: house.new.connections == len(clients) and house.old.is_apart)
        assert (house.old.connections, house.old.moved) == (0, len(clients))
        assert {await client.ask() for client in clients} == {"new"}

    run(tmp_path, scene)


def test_a_request_that_waits_in_the_socket_goes_along(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        client = await Client.come(house)
        assert await client.ask() == "old"
        house.part()
        client.writer.write(GET)
        assert await client.hear() in ("old", "new")
        await until(lambda: house.new.connections == 1)
        assert await client.ask() == "new"

    run(tmp_path, scene)


def test_what_has_begun_to_come_is_answered_here_and_the_rest_there(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        busy, sending = await Client.come(house), await Client.come(house)
        busy.writer.write(LATER + LATER)
        assert await sending.ask(GET + GET[:10]) == "old"
        await until(lambda: house.old_application.asked == 2)
        house.part()
        await until(lambda: house.old.is_apart)
        busy.writer.write(GET)
        house.old_application.may.set()
        assert [await busy.hear() for _ in range(3)] == ["old", "old", "new"]
        assert await sending.ask(GET[10:]) == "old"
        assert await sending.ask() == "new"

    run(tmp_path, scene)


def test_what_was_read_behind_the_last_owed_request_is_asked_for_anew(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        client = await Client.come(house)
        assert await client.ask(GET + GET[:10]) == "old"
        house.part()
        assert await client.ask(GET[10:] + GET) == "old closing"
        assert await client.reader.read() == b""

    run(tmp_path, scene)


def test_what_nobody_takes_is_answered_here_and_asked_to_come_anew(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        client = await Client.come(house)
        assert await client.ask() == "old"
        house.part(tmp_path / "nobody")
        await until(lambda: house.old_application.draining)
        assert not house.old.is_apart
        assert await client.ask() == "old closing"
        await until(lambda: not house.old_application.draining)

    run(tmp_path, scene)


def test_who_is_full_refuses_and_the_next_one_is_asked(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        second = listener_of(Named("second"))
        other = Reception(tmp_path / "other", room=lambda: 100, adopt=second.adopt)
        client = await Client.come(house)
        assert await client.ask() == "old"
        house.part(house.line, tmp_path / "other")
        await until(lambda: second.connections == 1)
        assert await client.ask() == "second"
        other.close()
        await second.close(0.5)

    run(tmp_path, scene, room=0)


def test_a_taker_that_dies_before_it_says_yes_has_taken_nothing(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        with socket.socket(socket.AF_UNIX) as dying:
            dying.bind(str(tmp_path / "dying"))
            dying.listen()
            end = threading.Thread(target=die, args=(dying,))
            end.start()
            client = await Client.come(house)
            assert await client.ask() == "old"
            house.part(tmp_path / "dying", house.line)
            await until(lambda: house.new.connections == 1)
            end.join()
        assert await client.ask() == "new"

    run(tmp_path, scene)


@pytest.mark.parametrize(("word", "taken"), [(b"", True), (b"n", False)])
def test_a_giver_that_dies_has_let_go_and_one_that_says_no_has_not(tmp_path: Path, word: bytes, taken: bool) -> None:
    async def scene(house: House) -> None:
        ours, theirs = socket.socketpair()
        giver = socket.socket(socket.AF_UNIX)
        giver.connect(str(house.line))
        socket.send_fds(giver, [b"c"], [theirs.fileno()])
        theirs.close()
        assert await asyncio.to_thread(giver.recv, 1) == b"y"
        assert house.new.connections == 0  # not used before the giver has let go
        giver.sendall(word)
        giver.close()
        client = Client(*await asyncio.open_connection(sock=ours))
        if taken:
            assert await client.ask() == "new"
        else:
            assert await client.reader.read() == b""
        client.writer.close()

    run(tmp_path, scene)


def test_those_that_were_to_part_stay_when_the_port_is_opened_again(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        client = await Client.come(house)
        again = house.port.dup()
        client.writer.write(LATER)
        await until(lambda: house.old_application.asked == 1)
        house.part()
        house.old.open(again)
        house.old_application.may.set()
        assert await client.hear() == "old"
        assert await client.ask() == "old"
        assert not house.old.is_apart

    run(tmp_path, scene)


def test_many_connections_are_given_a_few_at_a_time_so_that_handles_suffice(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        sizes: list[int] = []

        def counted(free: list[socket.socket]) -> list[socket.socket]:
            sizes.append(len(free))
            return give(free, [house.line])

        clients = [await Client.come(house) for _ in range(150)]
        assert {await client.ask() for client in clients} == {"old"}
        house.old.part(counted)
        await until(lambda: house.new.connections == len(clients))
        assert max(sizes) <= 64
        assert {await client.ask() for client in clients} == {"new"}

    run(tmp_path, scene, room=200)


def test_who_takes_may_change_while_connections_are_given_away(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        client = await Client.come(house)
        assert await client.ask() == "old"
        house.part(tmp_path / "gone")
        await until(lambda: house.old_application.draining)
        house.part(house.line)  # whoever took the place of the one that is gone
        await until(lambda: house.new.connections == 1)
        assert await client.ask() == "new"

    run(tmp_path, scene)


def test_two_givers_at_once_do_not_fill_a_taker_over_its_room(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        said = []
        givers, ours = [], []
        for _ in range(2):
            mine, theirs = socket.socketpair()
            giver = socket.socket(socket.AF_UNIX)
            giver.connect(str(house.line))
            socket.send_fds(giver, [b"c"], [theirs.fileno()])
            theirs.close()
            said.append(await asyncio.to_thread(giver.recv, 1))
            givers.append(giver)
            ours.append(mine)
        assert said == [b"y", b"n"]
        for one in (*givers, *ours):
            one.close()

    run(tmp_path, scene, room=1)


def test_while_nobody_takes_what_is_asked_is_answered_at_once(tmp_path: Path) -> None:
    async def scene(house: House) -> None:
        looks = 0

        async def look() -> None:
            nonlocal looks
            while True:
                house.part(tmp_path / "nobody")
                looks += 1
                await asyncio.sleep(0.005)

        client = await Client.come(house)
        assert await client.ask() == "old"
        looking = asyncio.create_task(look())
        await until(lambda: house.old_application.draining)
        seen = looks
        await until(lambda: looks > seen + 5)
        seen = looks
        assert await client.ask() == "old closing"
        assert looks - seen < 60  # in 0.3 s of a loop that nothing holds up
        looking.cancel()

    run(tmp_path, scene)
