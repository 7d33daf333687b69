"""The story's client against real sockets: it counts like a user, and retries like one."""

import asyncio
import socketserver
import threading
from collections.abc import Callable
from io import BufferedIOBase

from evertrain.story.front import Front, Reply, Request

Talk = Callable[[BufferedIOBase, BufferedIOBase], None]

GOOD = b"HTTP/1.1 200 OK\r\nx-evertrain-version: v7\r\ncontent-length: 2\r\n\r\nok"


def take(reader: BufferedIOBase) -> tuple[bytes, bytes] | None:
    """Head and body of the next request; None at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline()
        if not line:
            return None
        head += line
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return head, reader.read(length)


def told(talk: Talk, requests: list[Request], connections: int = 2) -> list[Reply]:
    """What the client makes of a server that talks like this."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            talk(self.rfile, self.wfile)

    async def ask(port: int) -> list[Reply]:
        async with Front("127.0.0.1", port, connections) as front:
            return await front.send_all(requests)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            return asyncio.run(ask(server.server_address[1]))
        finally:
            server.shutdown()
            serving.join()


def test_replies_come_in_the_order_of_the_requests() -> None:
    def echo(reader: BufferedIOBase, writer: BufferedIOBase) -> None:
        while (asked := take(reader)) is not None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(asked[1]), asked[1]))

    replies = told(echo, [Request(path="/", body=str(number).encode()) for number in range(20)])
    assert [reply.body for reply in replies] == [str(number).encode() for number in range(20)]
    assert {reply.attempts for reply in replies} == {1}


def test_a_lost_connection_is_tried_again_with_the_same_request_id() -> None:
    seen: list[tuple[bytes, bytes] | None] = []

    def drop_the_first(reader: BufferedIOBase, writer: BufferedIOBase) -> None:
        seen.append(take(reader))
        if len(seen) > 1:
            writer.write(GOOD)

    [reply] = told(drop_the_first, [Request(path="/predict/x", body=b"{}", id="r1", load=True, token="t")], 1)
    assert (reply.status, reply.version, reply.body, reply.attempts) == (200, "v7", b"ok", 2)
    assert seen[0] == seen[1]
    assert seen[0] is not None
    assert b"X-Request-Id: r1\r\n" in seen[0][0]
    assert b"X-Evertrain-Load: steady\r\n" in seen[0][0]


def test_a_request_that_nobody_answers_has_status_0() -> None:
    def drop(reader: BufferedIOBase, writer: BufferedIOBase) -> None:
        take(reader)

    [reply] = told(drop, [Request(path="/", body=b"")], 1)
    assert (reply.status, reply.attempts) == (0, 3)


def test_a_closing_connection_is_not_used_again() -> None:
    connections: list[bool] = []

    def once(reader: BufferedIOBase, writer: BufferedIOBase) -> None:
        connections.append(take(reader) is not None)
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

    replies = told(once, [Request(path="/", body=b"")] * 3, 1)
    assert [(reply.status, reply.attempts) for reply in replies] == [(200, 1)] * 3
    assert connections == [True] * 3
