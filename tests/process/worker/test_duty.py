"""When a worker leaves its connections to another pool, and to whom: every worker of that pool gets its share."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import uvloop

from evertrain.core.identity import VersionId
from evertrain.core.pool import FIRST, Pool
from evertrain.core.routing import RoutingTable
from evertrain.deploy.body import Intake
from evertrain.deploy.connection import Bounds
from evertrain.deploy.handover import Reception
from evertrain.deploy.listener import Listener
from evertrain.deploy.request import Reply, Request
from evertrain.errors import EvertrainError
from evertrain.process.worker.duty import Duty
from evertrain.store.installation import install
from evertrain.store.occupancy import Occupancy
from evertrain.store.process import beat, heartbeat_of
from evertrain.testing.installation import BEGIN

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
SECOND = RoutingTable(generation=2, routes={}, pools=(FIRST, Pool(number=1)), accepting=1)


class Named:
    """Answers with its name."""

    def __init__(self, name: str) -> None:
        self.draining = False
        self._name = name.encode()

    def respond(self, _: Request) -> Reply | Awaitable[Reply]:
        return Reply(200, self._name)

    def refuse(self, error: EvertrainError) -> Reply:
        return Reply(400, str(error).encode())


class Scene:
    """A worker of the first pool with connections, and two of the second that come to obey its table."""

    def __init__(self, folder: Path, together_s: float) -> None:
        self.state = install(folder / "state", BEGIN)
        self.port = socket.create_server(("127.0.0.1", 0))
        self.old = self.listener("old")
        self.duty = Duty(self.state, "w0", 0, self.old, self.port, together_s=together_s)
        self.duty.look(1, able=True)
        self.new = {name: self.listener(name) for name in ("w1", "w2")}
        self.receptions = [
            Reception(self.state.socket(f"port-{name}"), room=lambda: 100, adopt=one.adopt)
            for name, one in self.new.items()
        ]
        self.clients: list[asyncio.StreamWriter] = []
        for name in self.new:
            self.says(name, generation=1)
        self.duty.follow(SECOND)

    def listener(self, name: str) -> Listener:
        return Listener(Named(name), Intake(max_bytes=1000), Bounds(), occupancy=Occupancy())

    def says(self, name: str, generation: int) -> None:
        """Let a worker of the second pool say which table it obeys."""
        own = msgspec.structs.replace(heartbeat_of(name, "worker"), pool=1, ready=(VersionId("v"),))
        beat(self.state, msgspec.structs.replace(own, generation=generation))

    async def come(self) -> None:
        """One client, who has asked once and keeps the connection."""
        reader, writer = await asyncio.open_connection(*self.port.getsockname()[:2])
        writer.write(GET)
        await reader.readuntil(b"old")
        self.clients.append(writer)

    async def close(self) -> None:
        for client in self.clients:
            client.close()
        self.duty.leave()
        for reception in self.receptions:
            reception.close()
        for listener in (self.old, *self.new.values()):
            await listener.close(0.5)


def run(folder: Path, play: Callable[[Scene], Awaitable[None]], together_s: float = 0.25) -> None:
    async def go() -> None:
        scene = Scene(folder, together_s)
        try:
            async with asyncio.timeout(120):
                await play(scene)
        finally:
            await scene.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(go())


async def looking(scene: Scene, holds: Callable[[], bool]) -> None:
    while not holds():
        scene.duty.look(2, able=True)
        await asyncio.sleep(0.005)


def test_the_first_that_takes_connections_does_not_get_all_of_them(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        for _ in range(8):
            await scene.come()
        scene.says("w1", generation=2)
        for _ in range(3):
            scene.duty.look(2, able=True)
        assert scene.old.listening
        scene.says("w2", generation=2)
        await looking(scene, lambda: scene.duty.obeyed == 2 and scene.old.connections == 0)
        assert [one.connections for one in scene.new.values()] == [4, 4]

    run(tmp_path, play, together_s=600.0)


def test_who_does_not_come_to_obey_is_not_waited_for_for_long(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        await scene.come()
        scene.says("w2", generation=2)
        await looking(scene, lambda: scene.duty.obeyed == 2 and scene.old.connections == 0)
        assert [one.connections for one in scene.new.values()] == [0, 1]

    run(tmp_path, play)


def test_those_that_become_free_one_after_the_other_go_to_all_in_turn(tmp_path: Path) -> None:
    async def play(scene: Scene) -> None:
        for name in scene.new:
            scene.says(name, generation=2)
        for number in range(1, 5):
            await scene.come()
            await looking(scene, lambda: sum(one.connections for one in scene.new.values()) == number)  # noqa: B023
            scene.duty.follow(RoutingTable(generation=1, routes={}))
            scene.duty.look(2, able=True)
            scene.duty.follow(SECOND)
        assert [one.connections for one in scene.new.values()] == [2, 2]

    run(tmp_path, play)
