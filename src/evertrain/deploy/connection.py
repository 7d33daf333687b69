"""One client's connection: requests in, responses out, in their order, within bounds of time and memory.

A request is answered when it has come whole. One that can be answered at once is answered in the very call that brought
its last byte: no task, no timer and no second write stand between them. A response goes out in one piece.

Nothing that a client does or leaves undone holds a connection for ever. A refusal is meant to be read, so where input
is left unread our side is closed first, and the client has a moment to take the response before the connection ends:
ended at once, the system would reset it, and the response with it (RFC 9112, section 9.6).
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

import msgspec

from evertrain.deploy.body import Intake
from evertrain.deploy.incoming import Asked, HeadBounds, Incoming, StalledError
from evertrain.deploy.request import Application, Reply
from evertrain.errors import EvertrainError

__all__ = ["Bounds", "Connection"]

_STATUS = {
    status.value: b"HTTP/1.1 %d %s\r\ncontent-length: " % (status.value, status.phrase.encode())
    for status in HTTPStatus
}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINGER_S = 2.0
_TURN = 16
"""Requests of one connection that are answered before others get their turn."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How long a client may take, in seconds, and how much it may send.

    arrival_s: from the first byte of a request to its last. keep_alive_s: from a response to the next request.
    send_s: until there is room for the rest of a response.
    """

    arrival_s: float = 10.0
    keep_alive_s: float = 75.0
    send_s: float = 30.0
    head: HeadBounds = HeadBounds()


class Connection(asyncio.Protocol):
    """One connection. It joins `among` while it is open; `tasks` holds the answers that it waits for."""

    def __init__(
        self,
        application: Application,
        intake: Intake,
        bounds: Bounds,
        among: "set[Connection]",
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._application = application
        self._bounds = bounds
        self._among = among
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._incoming = Incoming(intake, bounds.head)
        self._transport: asyncio.Transport
        self._due = 0.0
        self._begun = False
        self._answering = False
        self._unsent = False
        self._paused = False
        self._leaving = False
        self._parting = False
        self._owed = 0

    @property
    def busy(self) -> bool:
        """Whether a request is in hand, or on its way."""
        incoming = self._incoming
        return self._answering or self._unsent or incoming.partial or bool(incoming.whole)

    def look(self, now: float) -> None:
        """Let a client go that took too long; now: the loop's time in seconds."""
        if now < self._due or self._answering:
            return
        if self._leaving or self._unsent:
            self._transport.abort()
        elif self._incoming.partial:
            self._incoming.stop(StalledError("The request did not arrive in time.", "Send it faster.", field="body"))
            self._proceed()
        else:
            self.leave()

    def leave(self) -> None:
        """End the connection when what was written has gone out."""
        if not self._leaving:
            self._leaving = True
            self._incoming.end()
            self._due = self._loop.time() + self._bounds.send_s
            self._transport.close()

    def abort(self) -> None:
        """End the connection now."""
        self._transport.abort()

    # Giving it to another worker -------------------------------------------------------------------------------------

    def part(self) -> None:
        """Answer what has begun to come, and hear nothing more: the rest is for who takes the connection over."""
        if self._parting or self._leaving:
            return
        self._parting = True
        self._owed = len(self._incoming.whole) + self._answering + self._incoming.partial
        self._pause(self._paused)

    def stay(self) -> None:
        """Go on after all."""
        if self._parting:
            self._parting, self._owed = False, 0
            self._proceed()

    @property
    def owes(self) -> bool:
        """Whether something that had come before it was to part is not answered yet."""
        return not self._leaving and bool(self._owed or self._unsent)

    @property
    def movable(self) -> bool:
        """Whether nothing of it is held here: no request, no response, not a byte."""
        incoming = self._incoming
        held = self.owes or incoming.partial or incoming.over or bool(incoming.whole)
        return self._parting and not (held or self._leaving or self._transport.get_write_buffer_size())

    def take(self) -> socket.socket:
        """Its socket, for another process. What the client sends from now on waits in it."""
        handle = self._transport.get_extra_info("socket").fileno()
        taken = socket.socket(fileno=os.dup(handle))
        self._leaving = True
        self._transport.abort()  # closes our handle alone: the connection lives as long as anybody has one
        return taken

    # asyncio's side --------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._among.add(self)
        self._due = self._loop.time() + self._bounds.arrival_s  # who connects has something to say

    def connection_lost(self, _: Exception | None) -> None:
        # What is being answered is answered to its end: it is on record who failed, whether or not anybody waited.
        self._among.discard(self)
        self._leaving = True
        self._incoming.end()
        self._incoming.whole.clear()

    def data_received(self, data: bytes) -> None:
        if self._leaving:
            return
        incoming = self._incoming
        incoming.feed(data)
        if incoming.expects and not self._answering and not incoming.whole:
            # Behind an unanswered request it would be taken for its response; such a client sends after a while anyway.
            incoming.expects = False
            self._transport.write(_CONTINUE)
        self._proceed()

    def eof_received(self) -> bool:
        """Who has said all may still listen: what was asked is answered before the connection ends."""
        self._incoming.cut()
        self._proceed()
        return self._answering or self._unsent or bool(self._incoming.whole)

    def pause_writing(self) -> None:
        self._unsent = True
        self._due = self._loop.time() + self._bounds.send_s

    def resume_writing(self) -> None:
        self._unsent = False
        if not self._leaving:
            self._proceed()

    # Answering -------------------------------------------------------------------------------------------------------

    def _proceed(self) -> None:
        """Answer what has come whole, in order, as far as that can be done now; then see what is waited for."""
        incoming = self._incoming
        whole, left = incoming.whole, _TURN
        while whole and left and not (self._answering or self._unsent or self._leaving or self._is_apart):
            left -= 1
            asked = whole.popleft()
            self._begun = False
            answer = self._application.respond(asked.request)
            if isinstance(answer, Reply):
                self._send(asked, answer)
            else:
                self._answering = True
                task = self._loop.create_task(self._send_later(asked, answer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        if self._answering or self._unsent or self._leaving or self._is_apart:
            self._pause(incoming.crowded)
            return
        if whole:
            self._due = self._loop.time() + self._bounds.keep_alive_s
            self._pause(incoming.crowded)
            self._loop.call_soon(self._proceed)
            return
        if incoming.over:
            self._end(incoming.fault)
            return
        self._pause(False)
        if not incoming.partial:
            self._begun = False
            self._due = self._loop.time() + self._bounds.keep_alive_s
        elif not self._begun:
            self._begun = True
            self._due = self._loop.time() + self._bounds.arrival_s

    async def _send_later(self, asked: Asked, answer: Awaitable[Reply]) -> None:
        reply = await answer
        self._answering = False
        if not self._leaving:
            self._send(asked, reply)
            self._proceed()

    def _send(self, asked: Asked, reply: Reply) -> None:
        keep = asked.keep and not reply.close and not self._application.draining
        if self._parting:
            self._owed -= 1
            # What was read behind the last request that is owed cannot be given away: its client has to come anew.
            keep = keep and not (self._is_apart and (self._incoming.whole or self._incoming.partial))
        parts = [_head_of(reply)]
        for name, value in reply.headers:
            parts += (b"\r\n", name, b": ", value)
        if not keep:
            parts.append(b"\r\nconnection: close\r\n\r\n")
        elif asked.old:
            parts.append(b"\r\nconnection: keep-alive\r\n\r\n")
        else:
            parts.append(b"\r\n\r\n")
        if asked.request.method != "HEAD":
            parts.append(reply.body)
        self._transport.write(b"".join(parts))
        if not keep:
            self.leave()

    def _end(self, fault: EvertrainError | None) -> None:
        """Nothing more is heard, and all that was asked is answered."""
        if fault is None:
            self.leave()
            return
        reply = self._application.refuse(fault)
        fields = b"".join([b"\r\n%s: %s" % field for field in reply.headers])
        self._transport.write(_head_of(reply) + fields + b"\r\nconnection: close\r\n\r\n" + reply.body)
        self._leaving = True
        self._due = self._loop.time() + _LINGER_S
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._pause(False)

    @property
    def _is_apart(self) -> bool:
        """Whether all that is owed is answered, and the connection waits to be taken."""
        return self._parting and not self._owed

    def _pause(self, wanted: bool) -> None:
        wanted = wanted or (self._parting and not self._leaving and not self._incoming.partial)
        if wanted == self._paused:
            return
        self._paused = wanted
        if wanted:
            self._transport.pause_reading()
        elif not self._transport.is_closing():
            self._transport.resume_reading()


_now, _dated = 0, b""


def _head_of(reply: Reply) -> bytes:
    length = len(reply.body)
    return b"%s%d\r\ncontent-type: %s\r\ndate: %s" % (_STATUS[reply.status], length, reply.content_type, _date())


def _date() -> bytes:
    """The time as RFC 9110 has it, made once a second."""
    global _now, _dated
    now = int(time.time())
    if now != _now:
        _now, _dated = now, formatdate(now, usegmt=True).encode()
    return _dated
