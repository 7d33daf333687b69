"""The bytes of a connection, read as requests: llhttp's callbacks (through httptools), with bounds on every part."""

import time
from collections import deque
from urllib.parse import unquote

import httptools
import msgspec

from evertrain.deploy.body import Intake
from evertrain.deploy.request import Request
from evertrain.errors import EvertrainError, RequestError, TooLargeError

__all__ = ["Asked", "CodingError", "ExpectationError", "HeadBounds", "HeadError", "Incoming", "StalledError"]

_AHEAD = 16
"""Requests that may wait behind the one in hand before nothing more is read."""


class HeadError(TooLargeError):
    """The head of a request is over its bounds. Over HTTP it is a 431."""


class ExpectationError(RequestError):
    """A request expects what is not known here. Over HTTP it is a 417."""


class CodingError(RequestError):
    """A body comes in a transfer coding that is not known here. Over HTTP it is a 501."""


class StalledError(RequestError):
    """A request began, and did not come whole in its time. Over HTTP it is a 408."""


class HeadBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a request's head, its line included."""

    size: int = 32 << 10
    fields: int = 100


class Asked(msgspec.Struct, frozen=True):
    """A request that came whole. keep: whether its client keeps the connection; old: it speaks HTTP/1.0."""

    request: Request
    keep: bool
    old: bool


class Incoming:
    """Reads one connection. After a fault, or a request that ends the connection, it hears nothing more.

    whole: requests that came whole, in order; whoever answers them takes them out. fault: why the rest is not read.
    partial: a request has begun and is not whole. expects: its client waits for `100 Continue` before the body.
    """

    def __init__(self, intake: Intake, bounds: HeadBounds) -> None:
        self.whole: deque[Asked] = deque()
        self.fault: EvertrainError | None = None
        self.partial = False
        self.expects = False
        self._intake = intake
        self._bounds = bounds
        self._over = False
        self._held = 0
        self._body: bytes | bytearray = b""
        self._parser = httptools.HttpRequestParser(self)
        self._reset()

    @property
    def over(self) -> bool:
        """Whether nothing more is heard."""
        return self._over

    @property
    def crowded(self) -> bool:
        """Whether so many requests wait, or such large ones, that nothing more is to be read for now."""
        size = sum(len(one.request.body) for one in self.whole)
        return len(self.whole) > _AHEAD or size > self._intake.max_bytes

    def feed(self, data: bytes) -> None:
        """Read what came; see `whole` and `fault` afterwards."""
        if self._over:
            return
        in_head, in_body = self._in_head, self.partial and not self._in_head
        self._begun, self._heard = 0, False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken here: the request is answered as if it had not asked, and is the last one.
            if self.whole:
                self.whole.append(msgspec.structs.replace(self.whole.pop(), keep=False))
            self.end()
        except httptools.HttpParserError as error:
            self.stop(RequestError(f"This is not a valid HTTP request: {error}.", "Send HTTP/1.1."))
        if not self.partial:
            return  # the common case: all of it was whole requests
        if self._in_head:
            # All of it is this one head's, unless something else ended or began in it too.
            self._fed += len(data) if in_head + self._begun == 1 and not in_body else 0
            self._look_at_head()
        else:
            self._look_at_rest(len(data))

    def stop(self, fault: EvertrainError) -> None:
        """Hear nothing more, for this reason."""
        if not self._over:
            self.fault = fault
            self.end()

    def cut(self) -> None:
        """Its client sends nothing more: a request that is not whole will never be."""
        if self.partial:
            self.stop(RequestError("The request ends before all of it has come.", "Send all of it.", field="body"))
        self.end()

    def end(self) -> None:
        """Hear nothing more; give back what a request that is not whole holds."""
        self._over = True
        self.partial = self._in_head = self.expects = False
        self._give_back()

    # llhttp's callbacks ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._reset()
        self._begun += 1
        self.partial = self._in_head = not self._over

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._heard = True
        self._fields += 1
        self._told += len(name) + len(value)
        if not self._in_head:
            self._look_at_head()  # a trailer: bounded like a head, and never taken for one
            return
        name, headers = name.lower(), self._headers
        headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        self._heard = True
        self._look_at_head()
        if self._over:
            return
        self._in_head = False
        headers = self._headers
        size = headers.get(b"content-length")
        if size is not None and int(size) > self._intake.max_bytes:
            self.stop(self._intake.too_large())
        elif b"host" not in headers and self._parser.get_http_version() == "1.1":
            self.stop(RequestError("The request has no Host header.", "Send one.", field="host"))
        elif headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            coding = headers[b"transfer-encoding"][:80].decode("latin-1")
            self.stop(
                CodingError(
                    f"Transfer-Encoding {coding!r} is not known here.", "Send chunked.", field="transfer-encoding"
                )
            )
        elif b"expect" in headers:
            self._look_at_expectation(headers[b"expect"])

    def on_body(self, body: bytes) -> None:
        if self._over:
            return
        self.expects, self._heard = False, True
        if not self._body:
            self._body = body
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body
        if len(self._body) > self._intake.max_bytes:
            self.stop(self._intake.too_large())

    def on_message_complete(self) -> None:
        if self._over:
            return
        if self._held:
            self._give_back()
        parser, body = self._parser, self._body
        try:
            path = _path_of(self._target)
        except httptools.HttpParserError:
            self.stop(RequestError("The target of the request is no path.", "Send one such as /v2/health/live."))
            return
        request = Request(
            parser.get_method().decode("ascii"),
            path,
            self._headers,
            body if isinstance(body, bytes) else bytes(body),
            time.perf_counter_ns(),
        )
        self._body = b""  # not to be kept for as long as the connection rests
        self.whole.append(Asked(request, parser.should_keep_alive(), parser.get_http_version() != "1.1"))
        self.partial = self.expects = False

    def _reset(self) -> None:
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._fields = self._told = self._fed = self._silent = 0
        self._body = b""
        self._in_head = False

    def _look_at_head(self) -> None:
        bounds = self._bounds
        size = max(self._fed, self._told + len(self._target), self._silent)
        if self._fields > bounds.fields or size > bounds.size:
            self.stop(
                HeadError(
                    f"The head of the request is over {bounds.size} bytes or {bounds.fields} fields.",
                    "Send fewer or shorter headers; values belong into the body.",
                )
            )

    def _look_at_rest(self, size: int) -> None:
        """Bound what is held behind the head: the body so far, and a trailer that the parser says nothing of yet."""
        self._silent = 0 if self._heard else self._silent + size
        self._look_at_head()
        if self._over:
            return
        try:
            self._held += self._intake.hold(len(self._body) - self._held, self._held)
        except EvertrainError as error:
            self.stop(error)

    def _give_back(self) -> None:
        self._intake.give_back(self._held)
        self._held = 0

    def _look_at_expectation(self, wanted: bytes) -> None:
        if wanted.lower() == b"100-continue":
            self.expects = True
        else:
            self.stop(ExpectationError("The request expects what is not known here.", "Drop it.", field="expect"))


def _path_of(target: bytes) -> str:
    """The path of a request's target, decoded: of `/a%20b?c` and of `http://host/a%20b` alike `/a b`.

    >>> _path_of(b"/v2?x=1"), _path_of(b"http://127.0.0.1:8000/predict/a%20b")
    ('/v2', '/predict/a b')
    """
    path = target.partition(b"?")[0] if target.startswith(b"/") else httptools.parse_url(target).path or b"/"
    text = path.decode("latin-1")
    return unquote(text) if "%" in text else text
