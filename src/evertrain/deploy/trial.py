"""The worker's side of a trial: a request goes to the process on trial, and an answer or the cause comes back in time.

Whatever that process does, the worker waits no longer than the arm's deadline, and then its champion answers.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from evertrain.core.identity import VersionId
from evertrain.core.model import Output
from evertrain.core.routing import Arm
from evertrain.core.score import fault_of
from evertrain.core.trial import Answer, Predict, frame, frame_length
from evertrain.deploy.version import ScoreError
from evertrain.errors import RequestError

__all__ = ["AbsentError", "Trials", "socket_name"]

_answers = msgspec.msgpack.Decoder(Answer)
_Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_IDLE = 8

_STOOD_S = 0.25
"""Who looks at a deadline so much too late has stood still."""


class AbsentError(Exception):
    """The process on trial is not there, and that says nothing about its version.

    It is not up yet, it comes up again after it ended, or it was let go because the trial has ended. How often it ends
    is counted by whoever starts it.
    """


def socket_name(arm: str, version: VersionId, attempt: int) -> str:
    """The name of the socket (and of the process) of an arm.

    >>> socket_name("canary", VersionId("3f2a90c1bb77"), 0)
    'canary-3f2a90c1bb-0'
    """
    return f"{arm}-{version[:10]}-{attempt}"


class Trials:
    """Connections to the processes on trial. `path` gives the path of a socket by its name.

    look: learn, by `keep`, which of them are wanted now. A process is let go after the table that names it no more, so
    whoever finds it gone has only to look at the newest table to tell that from a crash.
    """

    def __init__(self, path: Callable[[str], Path], look: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._look = look
        self._wanted: set[str] | None = None
        self._idle: dict[str, list[_Pair]] = {}

    async def ask(self, name: str, arm: Arm, asks: Sequence[Predict], output: Output) -> list[Answer]:
        """Answers, one a row, in order; ScoreError when one is missing, late, or must not be answered.

        What it had in hand when it ended is held against it. AbsentError while it is not up, when its trial has ended
        meanwhile, and when this process stood still itself beyond the deadline: the answer may have been there.
        """
        socket = socket_name(name, arm.version, arm.attempt)
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(arm.deadline_s):
                answers = await self._exchange(socket, asks)
        except TimeoutError as error:
            if time.perf_counter() - begun > arm.deadline_s + _STOOD_S:
                raise AbsentError from error
            raise ScoreError("deadline", f"no answer within {arm.deadline_s:g} s") from error
        except (OSError, EOFError) as error:
            self._look()
            if self._wanted is not None and socket not in self._wanted:
                raise AbsentError from error
            raise ScoreError("crash", f"its process does not answer: {str(error) or type(error).__name__}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RequestError) as error:
            raise ScoreError("protocol", f"its process answers nonsense: {error}") from error
        for answer in answers:
            if not answer.ok:
                raise ScoreError(answer.cause or "error", answer.detail)
            fault = fault_of(answer.score, output)
            if fault is not None:
                raise ScoreError(*fault)
        return answers

    def keep(self, sockets: Iterable[str]) -> None:
        """Close the connections to all other sockets."""
        self._wanted = wanted = set(sockets)
        for name in set(self._idle) - wanted:
            for _, writer in self._idle.pop(name):
                writer.close()

    async def _exchange(self, socket: str, asks: Sequence[Predict]) -> list[Answer]:
        reader, writer = await self._connect(socket)
        try:
            writer.write(b"".join([frame(ask) for ask in asks]))
            answers = []
            for _ in asks:
                length = frame_length(await reader.readexactly(4))
                answers.append(_answers.decode(await reader.readexactly(length)))
        except BaseException:
            # A connection with an answer outstanding must not be used again, whatever the reason.
            writer.close()
            raise
        self._rest(socket, (reader, writer))
        return answers

    def _rest(self, socket: str, pair: _Pair) -> None:
        """Keep a connection for the next request; one to a process that nobody asks any more is closed."""
        idle = self._idle.get(socket, [])
        is_wanted = self._wanted is None or socket in self._wanted
        if is_wanted and len(idle) < _IDLE:
            self._idle[socket] = [*idle, pair]
        else:
            pair[1].close()

    async def _connect(self, socket: str) -> _Pair:
        idle = self._idle.get(socket, [])
        while idle:
            reader, writer = idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            with contextlib.suppress(OSError):
                writer.close()
        try:
            return await asyncio.open_unix_connection(str(self._path(socket)))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise AbsentError from error
