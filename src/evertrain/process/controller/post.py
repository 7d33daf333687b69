"""One POST to an address of the configuration: bounded in time and size, and no further than that address.

No redirect is followed and no proxy is asked: the answer of a receiver never decides where the next request goes.
"""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

import msgspec

__all__ = ["Posted", "post"]

_MOST_ANSWER = 65_536


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. trouble: why it was not taken, "" where it was; it never holds what the other side has said."""

    body: bytes = b""
    trouble: str = ""


def post(url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float, ca_file: str = "") -> Posted:
    """Send a body, and read the answer. Taken is any status from 200 to 299."""
    parts = urlsplit(url)
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    connection: http.client.HTTPConnection | None = None
    ending: _Ending | None = None
    try:
        connection = _connection(parts.scheme, parts.hostname or "", parts.port, timeout_s, ca_file)
        connection.connect()
        ending = _Ending(connection.sock, timeout_s)
        with ending:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            content = answer.read(_MOST_ANSWER)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        late = ending is not None and ending.over
        return Posted(trouble=_say(TimeoutError() if late else error, timeout_s))
    finally:
        if connection is not None:
            connection.close()
    if 200 <= answer.status < 300:
        return Posted(body=content)
    moved = ", and a redirect is not followed: give the address that it leads to" if 300 <= answer.status < 400 else ""
    return Posted(trouble=f"it answered {answer.status}{moved}")


def _connection(scheme: str, host: str, port: int | None, timeout_s: float, ca_file: str) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    context = ssl.create_default_context(cafile=ca_file or None)
    return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)


class _Ending:
    """Ends a connection when its time is over, however slowly the other side goes on speaking."""

    def __init__(self, connected: socket.socket, timeout_s: float) -> None:
        self._connected = connected
        self._timer = threading.Timer(timeout_s, self._shut)
        self._timer.daemon = True
        self.over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _shut(self) -> None:
        self.over = True
        with contextlib.suppress(OSError):  # it has ended by itself
            self._connected.shutdown(socket.SHUT_RDWR)


def _say(error: Exception, timeout_s: float) -> str:
    """Why there was no answer, without what the other side may have said."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'no reason was given'}"
    if isinstance(error, TimeoutError):
        return f"it did not answer within {timeout_s:g} s"
    if isinstance(error, socket.gaierror):
        return "its host is not known here"
    if isinstance(error, (http.client.HTTPException, ConnectionResetError)):
        return "the connection ended before there was an answer"
    return str(getattr(error, "strerror", None) or type(error).__name__).lower()
