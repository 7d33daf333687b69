"""HTTP/1.1 at the socket, as a client of another make sees it (h11 reads the responses)."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Iterator
from contextlib import ExitStack, closing
from typing import NamedTuple

import h11
import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from evertrain.deploy.body import Intake
from evertrain.deploy.connection import Bounds
from evertrain.deploy.incoming import CodingError, ExpectationError, HeadBounds, HeadError, StalledError
from evertrain.deploy.listener import Listener
from evertrain.deploy.request import Reply, Request
from evertrain.errors import EvertrainError, TooLargeError
from evertrain.store.occupancy import Occupancy
from evertrain.testing.tree import wait_until

HOST = b"host: x\r\n"
GET = b"GET /now HTTP/1.1\r\n" + HOST + b"\r\n"
LATER = b"GET /later HTTP/1.1\r\n" + HOST + b"\r\n"
MOST = 200_000
LARGE = bytes(8 << 20)


class Mirror:
    """Says what it was asked: at once, later, or at length."""

    def __init__(self) -> None:
        self.draining = False
        self.answered = 0

    def respond(self, request: Request) -> Reply | Awaitable[Reply]:
        said = {"path": request.path, "method": request.method, "size": len(request.body)}
        reply = Reply(200, msgspec.json.encode(said), ((b"x-fields", b"%d" % len(request.headers)),))
        if request.path == "/large":
            return Reply(200, LARGE)
        self.answered += 1
        return self._later(reply) if request.path == "/later" else reply

    def refuse(self, error: EvertrainError) -> Reply:
        kinds: dict[type[EvertrainError], int] = {
            StalledError: 408,
            TooLargeError: 413,
            ExpectationError: 417,
            HeadError: 431,
            CodingError: 501,
        }
        return Reply(kinds.get(type(error), 400), msgspec.json.encode(error.what))

    async def _later(self, reply: Reply) -> Reply:
        for _ in range(3):
            await asyncio.sleep(0)
        return reply


class House:
    """A listener in a thread of its own."""

    def __init__(self, bounds: Bounds) -> None:
        self.mirror = Mirror()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.listener: Listener
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, args=(bounds,))
        self._thread.start()
        assert self._ready.wait(60)

    def stall(self, stalled: threading.Event, over: threading.Event) -> None:
        """Let it stand still until that is over."""

        def stand() -> None:
            stalled.set()
            over.wait(60)

        self._loop.call_soon_threadsafe(stand)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self, bounds: Bounds) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(bounds))

    async def _serve(self, bounds: Bounds) -> None:
        self._loop = asyncio.get_running_loop()
        self.listener = Listener(self.mirror, Intake(max_bytes=MOST), bounds, occupancy=Occupancy())
        self.listener.open(self._socket)
        self._ready.set()
        await self._over.wait()
        await self.listener.close(5.0)


class Response(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: bytes


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    made = House(Bounds(head=HeadBounds(size=2000, fields=20)))
    yield made
    made.close()


@pytest.fixture(scope="module")
def hasty() -> Iterator[House]:
    """One that waits for nobody for long."""
    made = House(Bounds(arrival_s=1.0, keep_alive_s=1.0, send_s=1.0))
    yield made
    made.close()


def connect(house: House) -> socket.socket:
    return socket.create_connection(("127.0.0.1", house.port), timeout=60)


def exchange(house: House, *parts: bytes, methods: tuple[str, ...] = ("GET",)) -> tuple[list[Response], bool]:
    """Responses in order, to requests of these methods; and whether the server closed the connection by itself."""
    with closing(connect(house)) as connection:
        for part in parts:
            connection.sendall(part)
        return responses(connection, methods)


def responses(connection: socket.socket, methods: tuple[str, ...]) -> tuple[list[Response], bool]:
    """As many responses as there are methods, or all until the connection is closed."""
    found: list[Response] = []
    kept = b""
    for method in methods:
        reading = h11.Connection(h11.CLIENT)
        reading.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        reading.send(h11.EndOfMessage())
        reading.receive_data(kept) if kept else None
        head, body = None, b""
        while not isinstance(event := reading.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                data = connection.recv(1 << 16)
                if not data and head is None:
                    return found, True
                reading.receive_data(data)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
        assert isinstance(head, h11.Response)
        found.append(Response(head.status_code, dict(head.headers.raw_items()), body))
        kept = reading.trailing_data[0]
    closes = found[-1].headers.get(b"connection") == b"close"
    return found, closes and connection.recv(1) == b""


def said(response: Response) -> dict[str, object]:
    return msgspec.json.decode(response.body, type=dict[str, object])


@pytest.mark.parametrize(
    ("request_", "status", "closed"),
    [
        (GET, 200, False),
        (LATER, 200, False),
        (b"GET /now HTTP/1.0\r\n\r\n", 200, True),
        (b"GET /now HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", 200, False),
        (b"GET /now HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", 200, True),
        (b"GET /now HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: h2c\r\n\r\n", 200, True),
        (b"POST /now HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 200, False),
        (b"GET /now HTTP/1.1\r\n\r\n", 400, True),
        (b"get /now HTTP/1.1\r\nhost: x\r\n\r\n", 400, True),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, True),
        (b"GET /now HTTP/1.1\r\nhost: x\r\nname : y\r\n\r\n", 400, True),
        (b"GET /now HTTP/1.1\r\nhost: x\r\nname: a\x00b\r\n\r\n", 400, True),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", 400, True),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +3\r\n\r\nabc", 400, True),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, True),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400, True),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400, True),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, True),
        (b"POST / HTTP/1.1\r\nhost: x\r\nexpect: a-miracle\r\ncontent-length: 1\r\n\r\n", 417, True),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200001\r\n\r\n", 413, True),
        (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431, True),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 30 + b"\r\n", 431, True),
    ],
)
def test_a_request_gets_its_status_and_the_connection_its_due(
    house: House, request_: bytes, status: int, closed: bool
) -> None:
    found, ended = exchange(house, request_)
    assert [response.status for response in found] == [status]
    assert ended == closed
    assert b"date" in found[0].headers
    assert exchange(house, GET)[0][0].status == 200


def test_the_path_is_decoded_and_taken_out_of_a_whole_address(house: House) -> None:
    for target in (b"/a%20b?x=1", b"http://127.0.0.1:80/a%20b?y"):
        found, _ = exchange(house, b"GET " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert said(found[0])["path"] == "/a b"


def test_head_says_how_long_the_answer_would_be_without_it(house: House) -> None:
    found, _ = exchange(house, GET.replace(b"GET", b"HEAD") + GET, methods=("HEAD", "GET"))
    assert [response.body for response in found] == [b"", b'{"path":"/now","method":"GET","size":0}']
    assert int(found[0].headers[b"content-length"]) == len(b'{"path":"/now","method":"HEAD","size":0}')


def test_requests_sent_ahead_are_answered_in_order(house: House) -> None:
    found, _ = exchange(house, (LATER + GET) * 50, methods=("GET",) * 100)
    assert [said(response)["path"] for response in found] == ["/later", "/now"] * 50


def test_a_bad_request_behind_good_ones_is_refused_after_them(house: House) -> None:
    found, ended = exchange(house, LATER + GET + b"nonsense\r\n\r\n", methods=("GET",) * 3)
    assert [response.status for response in found] == [200, 200, 400]
    assert ended


def test_a_client_that_waits_to_be_told_is_told_to_go_on(house: House) -> None:
    with closing(connect(house)) as connection:
        head = b"POST /now HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"
        connection.sendall(head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        assert said(responses(connection, ("POST",))[0][0])["size"] == 3


def test_a_client_that_closed_its_side_is_still_answered(house: House) -> None:
    for request in (GET, LATER):
        with closing(connect(house)) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            assert responses(connection, ("GET",))[0][0].status == 200


@pytest.mark.parametrize("whole", [(), (GET,), (LATER,)], ids=["alone", "behind one", "behind one that takes a while"])
def test_a_client_that_closed_its_side_too_early_is_told_so(house: House, whole: tuple[bytes, ...]) -> None:
    with closing(connect(house)) as connection:
        cut = b"POST /now HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc"
        connection.sendall(b"".join(whole) + cut)
        connection.shutdown(socket.SHUT_WR)
        found, ended = responses(connection, (*("GET" for _ in whole), "POST"))
        assert [response.status for response in found] == [*(200 for _ in whole), 400]
        assert ended


def test_a_refusal_reaches_a_client_that_is_still_sending(house: House) -> None:
    """Closed at once, its unread body would reset the connection, and the reason would be lost."""
    head = b"POST /now HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n"
    for _ in range(20):
        with closing(connect(house)) as connection:
            connection.sendall(head + bytes(1 << 20))
            found, _ = responses(connection, ("POST",))
            assert found[0].status == 413


def test_a_request_that_stalls_is_told_so_and_one_that_never_began_is_closed(hasty: House) -> None:
    begun = (b"G", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc")
    with ExitStack() as opened:
        stalled, silent, idle = [], opened.enter_context(connect(hasty)), opened.enter_context(connect(hasty))
        idle.sendall(GET)
        for part in begun:
            stalled.append(opened.enter_context(connect(hasty)))
            stalled[-1].sendall(part)
        for connection in stalled:
            found, ended = responses(connection, ("GET",))
            assert [response.status for response in found] == [408]
            assert ended
        assert responses(silent, ("GET",)) == ([], True)
        assert responses(idle, ("GET", "GET"))[1]


def test_a_stall_of_the_server_is_not_held_against_its_clients() -> None:
    house = House(Bounds(arrival_s=0.2, keep_alive_s=60.0))
    with closing(connect(house)) as half, closing(connect(house)) as other:
        other.sendall(GET)
        assert responses(other, ("GET",))[0][0].status == 200
        half.sendall(GET[:10])
        wait_until(lambda: any(one.busy for one in [*house.listener._open]), "half a request")
        over, stalled = threading.Event(), threading.Event()
        house.stall(stalled, over)
        assert stalled.wait(60)
        half.sendall(GET[10:])
        assert not over.wait(0.5)
        over.set()
        assert responses(half, ("GET",))[0][0].status == 200
    house.close()


def test_a_request_that_trickles_has_one_deadline_for_all_of_it(hasty: House) -> None:
    with closing(connect(hasty)) as connection:
        connection.sendall(GET[:-2])
        connection.settimeout(0.05)
        for _ in range(200):
            try:
                connection.sendall(b"a")
                if connection.recv(4096).startswith(b"HTTP/1.1 408"):
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return  # it was told so, and this process stood still when it should have heard it
        pytest.fail("A client that sends a byte now and then holds its connection for ever.")


def test_who_does_not_read_is_let_go(hasty: House) -> None:
    with closing(connect(hasty)) as connection:
        connection.sendall(GET.replace(b"/now", b"/large"))
        held = threading.Event()
        while hasty.listener.connections:
            assert not held.wait(0.01)


def test_what_is_asked_ahead_waits_while_the_client_does_not_read(house: House) -> None:
    before = house.mirror.answered
    with closing(connect(house)) as connection:
        connection.sendall(GET.replace(b"/now", b"/large") + GET * 10)
        assert connection.recv(100)
        assert house.mirror.answered == before
        came = b""
        while came.count(b"HTTP/1.1 200") < 10 or not came.endswith(b"}"):
            came = came[-4000:] + connection.recv(1 << 20)
    assert house.mirror.answered == before + 10


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_comes_is_answered_or_closed_and_the_next_client_is_served(house: House, data: st.DataObject) -> None:
    content = bytearray(
        b"POST /now HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello" + LATER + b"GET / HTTP/1.0\r\n\r\n"
    )
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with closing(connect(house)) as connection:
        connection.sendall(bytes(content))
        connection.shutdown(socket.SHUT_WR)
        came = b""
        while part := connection.recv(1 << 16):
            came += part
    assert came == b"" or came.startswith(b"HTTP/1.1 ")
    assert exchange(house, GET)[0][0].status == 200


def test_draining_says_close_and_close_lets_go_of_all() -> None:
    house = House(Bounds())
    with closing(connect(house)) as idle, closing(connect(house)) as used:
        used.sendall(GET)
        assert responses(used, ("GET",))[0][0].status == 200
        house.mirror.draining = True
        used.sendall(GET)
        found, ended = responses(used, ("GET",))
        assert ended
        assert found[0].headers[b"connection"] == b"close"
        house.close()
        assert idle.recv(1) == b""


class Ordering(Mirror):
    """Notes in which order it was asked; when it is asked for the first time, another client begins to ask."""

    def __init__(self, other: socket.socket) -> None:
        super().__init__()
        self._other = other
        self.order: list[str] = []

    def respond(self, request: Request) -> Reply | Awaitable[Reply]:
        if not self.order:
            self._other.sendall(GET.replace(b"/now", b"/other"))
        self.order.append(request.path)
        return super().respond(request)


def test_who_asks_very_much_at_once_keeps_nobody_waiting_for_all_of_it() -> None:
    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0)) as port, socket.socket() as other, socket.socket() as greedy:
            application = Ordering(other)
            listener = Listener(application, Intake(max_bytes=MOST), Bounds(), occupancy=Occupancy())
            listener.open(port.dup())
            for client in (other, greedy):
                client.connect(port.getsockname())
            greedy.sendall(GET * 400)
            async with asyncio.timeout(120):
                while len(application.order) < 401:
                    await asyncio.sleep(0.001)
            assert application.order.index("/other") < 200
            await listener.close(1.0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())
