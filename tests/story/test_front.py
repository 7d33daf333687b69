"""The story's client against real sockets: it counts like a user, and retries like one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from evertrain.story.front import Front, Reply, Request

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]

GOOD = b"HTTP/1.1 200 OK\r\nx-evertrain-version: v7\r\ncontent-length: 2\r\n\r\nok"


async def take(reader: asyncio.StreamReader) -> bytes:
    """One request, head and body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return head + await reader.readexactly(length)


def told(talk: Talk, requests: list[Request], connections: int = 2) -> list[Reply]:
    """What the client makes of a server that talks like this."""

    async def run() -> list[Reply]:
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            async with Front("127.0.0.1", port, connections) as front:
                return await front.send_all(requests)

    return asyncio.run(run())


def test_replies_come_in_the_order_of_the_requests() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                body = (await take(reader)).rpartition(b"\r\n\r\n")[2]
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()

    replies = told(echo, [Request(path="/", body=str(number).encode()) for number in range(20)])
    assert [reply.body for reply in replies] == [str(number).encode() for number in range(20)]
    assert {reply.attempts for reply in replies} == {1}


def test_a_lost_connection_is_tried_again_with_the_same_request_id() -> None:
    seen: list[bytes] = []

    async def drop_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await take(reader))
        if len(seen) > 1:
            writer.write(GOOD)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    [reply] = told(drop_the_first, [Request(path="/predict/x", body=b"{}", id="r1", load=True, token="t")], 1)
    assert (reply.status, reply.version, reply.body, reply.attempts) == (200, "v7", b"ok", 2)
    assert seen[0] == seen[1]
    assert b"X-Request-Id: r1\r\n" in seen[0]
    assert b"X-Evertrain-Load: steady\r\n" in seen[0]


def test_a_request_that_nobody_answers_has_status_0() -> None:
    async def drop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader)
        writer.close()
        await writer.wait_closed()

    [reply] = told(drop, [Request(path="/", body=b"")], 1)
    assert (reply.status, reply.attempts) == (0, 3)
