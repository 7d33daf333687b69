"""A request that has come whole, and a response that is ready to go."""

from collections.abc import Awaitable
from typing import Protocol

import msgspec

from evertrain.errors import EvertrainError

__all__ = ["Application", "Reply", "Request"]


class Request(msgspec.Struct, frozen=True):
    """One HTTP request.

    path: decoded, without its query. headers: names in lower case; the values of a repeated one are joined by commas.
    body: as it came, compressed where `content-encoding` says so. begun_ns: monotonic, when its last byte was read.
    """

    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes
    begun_ns: int


class Reply(msgspec.Struct, frozen=True):
    """A response. close: nothing more is read from the connection, and it is closed after this response."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = b"application/json"
    close: bool = False


class Application(Protocol):
    """What answers requests.

    respond: a reply at once, or one to wait for. It raises nothing.
    refuse: the reply to a request that a connection could not or would not read to its end.
    draining: each connection is closed after the response in hand.
    """

    draining: bool

    def respond(self, request: Request) -> Reply | Awaitable[Reply]: ...

    def refuse(self, error: EvertrainError) -> Reply: ...
