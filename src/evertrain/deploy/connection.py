"""One client's connection: uvicorn's HTTP protocol, with a bound on the time that a request may take to arrive.

A response goes out whole: its head waits for its body, which spares a system call here and a wake-up at the client.
"""

import asyncio
from typing import Any, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from evertrain.errors import RequestError, told

__all__ = ["Connection"]

_STALLED = msgspec.json.encode(
    told(RequestError("The request did not arrive in time.", "Send it faster.", field="body"))
)
_TIMEOUT = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_STALLED), _STALLED)
)


class _WholeWrites:
    """A transport that writes once in each turn of the loop, whatever was written to it in that turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))


class Connection(HttpToolsProtocol):
    """Closes a connection that says nothing, or stops in the middle of a request; a stalled body is told so (408).

    uvicorn bounds only the pause between two requests. The clock runs only while something is missing, so a request
    that comes in one piece, the common case, costs no timer.
    """

    arrival_timeout_s = 10.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._arriving = True
        self._in_body = False
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", _WholeWrites(transport, self.loop)))
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._arriving, self._in_body = True, False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._arriving = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._arriving:
            if self._stall is not None:
                self._unwatch()
        elif self._stall is None:
            self._watch()

    def _watch(self) -> None:
        self._stall = self.loop.call_later(self.arrival_timeout_s, self._stalled)

    def _unwatch(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _stalled(self) -> None:
        self._stall = None
        if not self._arriving or self.transport.is_closing():
            return
        if self._in_body and not self.cycle.response_started:
            self.transport.write(_TIMEOUT)
        self.transport.close()
