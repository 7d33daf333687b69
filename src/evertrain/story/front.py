"""A client of the predict door that is light enough to replay a year: keep-alive connections, one request on each.

It counts what a user would count: requests without a good answer. A connection that is lost in mid-request is opened
anew and the request sent once more with the same request id, as any HTTP client's retry does; that is counted too.
"""

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self, cast

import httptools
import msgspec

__all__ = ["Front", "Reply", "Request"]

_RETRIES = 3


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One POST. id: the client's request id, "" for none. load: tagged as steady load."""

    path: str
    body: bytes
    id: str = ""
    load: bool = False
    token: str = ""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """status: of HTTP, 0 when no answer came at all. seconds: wall time. attempts: 1 unless the connection was lost."""

    status: int
    body: bytes
    version: str
    seconds: float
    attempts: int = 1


class _Connection(asyncio.Protocol):
    """One connection, with at most one request under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.WriteTransport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, bytes, str]] | None = None
        self._body: list[bytes] = []
        self._version = ""
        self._closing = False

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing() and not self._closing

    def send(self, content: bytes) -> "asyncio.Future[tuple[int, bytes, str]]":
        if self._transport is None:
            raise ConnectionResetError("The connection is not open")
        self._answer = self._loop.create_future()
        self._transport.write(content)
        return self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # asyncio's and httptools' callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's, they only behave like them.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("The connection was closed"))

    def on_message_begin(self) -> None:
        self._body, self._version = [], ""

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower == b"x-evertrain-version":
            self._version = value.decode()
        elif lower == b"connection" and value.lower() == b"close":
            self._closing = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), b"".join(self._body), self._version))


class Front:
    """A fixed number of connections to one door; use it as an async context manager."""

    def __init__(self, host: str, port: int, connections: int) -> None:
        self._host, self._port, self._count = host, port, connections
        self._loop = asyncio.get_running_loop()
        self._connections: list[_Connection | None] = [None] * connections

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in self._connections:
            if connection is not None:
                connection.close()

    async def send(self, request: Request) -> Reply:
        """One request on the first connection."""
        return await self._exchange(0, request)

    async def send_all(self, requests: Sequence[Request]) -> list[Reply]:
        """All requests, each sent singly, spread over the connections; replies in the order of the requests."""
        replies: list[Reply | None] = [None] * len(requests)
        following = iter(enumerate(requests))
        lanes = [self._lane(place, following, replies) for place in range(min(self._count, len(requests)))]
        await asyncio.gather(*lanes)
        return [reply for reply in replies if reply is not None]

    async def _lane(self, place: int, following: "Iterable[tuple[int, Request]]", replies: list[Reply | None]) -> None:
        for number, request in following:
            replies[number] = await self._exchange(place, request)

    async def _exchange(self, place: int, request: Request) -> Reply:
        began = self._loop.time()
        content = self._render(request)
        for attempt in range(1, _RETRIES + 1):
            try:
                connection = await self._connection(place)
                status, body, version = await connection.send(content)
            except OSError:
                self._connections[place] = None
                continue
            seconds = self._loop.time() - began
            return Reply(status=status, body=body, version=version, seconds=seconds, attempts=attempt)
        return Reply(status=0, body=b"", version="", seconds=self._loop.time() - began, attempts=_RETRIES)

    async def _connection(self, place: int) -> _Connection:
        connection = self._connections[place]
        if connection is None or not connection.usable:
            if connection is not None:
                connection.close()
            _, connection = await self._loop.create_connection(lambda: _Connection(self._loop), self._host, self._port)
            self._connections[place] = connection
        return connection

    def _render(self, request: Request) -> bytes:
        lines = [f"POST {request.path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"]
        lines.append(f"Content-Type: application/json\r\nContent-Length: {len(request.body)}\r\n")
        if request.id:
            lines.append(f"X-Request-Id: {request.id}\r\n")
        if request.load:
            lines.append("X-Evertrain-Load: steady\r\n")
        if request.token:
            lines.append(f"Authorization: Bearer {request.token}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode() + request.body
