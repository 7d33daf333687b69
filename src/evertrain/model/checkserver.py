"""The real server with one version in it, on a private socket, for judging that version before anybody is served.

A segmentation fault, an endless loop or ten gigabytes end that process alone; here they are a `ModelError` that names
the cause. The server admits a version that is attested as *built*; nothing can route traffic to it.
"""

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from evertrain.core.identity import VersionId, short
from evertrain.core.schema import Value
from evertrain.core.score import RowScore
from evertrain.core.time import Instant
from evertrain.core.trial import (
    LACKING,
    Answer,
    Ask,
    Ping,
    Pong,
    Predict,
    Score,
    Scores,
    frame,
    frame_length,
    say_fault,
)
from evertrain.errors import ModelError, PackageError, RequestError
from evertrain.model.environment import furnish
from evertrain.model.kin import end_group, resident
from evertrain.model.limits import thread_environment
from evertrain.model.obituary import say_line
from evertrain.model.waiting import own_waited_ms, waited_ms
from evertrain.store.artifact import Artifacts
from evertrain.store.process import PARENT
from evertrain.store.state import State

__all__ = ["CheckServer"]

_Reply = TypeVar("_Reply", Answer, Scores, Pong)

_LOOK_S: Final = 0.1
_LOAD_S: Final = 60.0
_PATIENCE_S: Final = 240.0
"""Seconds that a loading may wait for a processor besides."""
_BATCH: Final = 5_000
_LOG_BYTES: Final = 1 << 20


class CheckServer:
    """One version in a process of its own; a context manager, entered when the server answers.

    It is stopped on exit, and has to be stopped by `stop` when it was launched and never entered.

    It runs in the version's own environment. deadline_s: for each request; a minute for loading. memory_mb: resident
    memory, watched from here as well. log: where the server's own output goes; its tail is part of an error.
    """

    def __init__(
        self, state: State, version: VersionId, *, log: Path, deadline_s: float = 60.0, memory_mb: int = 2048
    ) -> None:
        self._state = state
        self._version = version
        self._log = log
        self._deadline_s = deadline_s
        self._memory_mb = memory_mb
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._path = state.socket(f"check-{version[:10]}-{os.getpid()}")
        self.peak_mb = self.stall_ms = 0.0
        self._in_vain_ms = 0.0

    def launch(self) -> Self:
        """Start the process and do not wait for it, so that several can load at the same time.

        Its environment is waited for: one that is new takes as long as the packages take to arrive.
        """
        self._path.unlink(missing_ok=True)
        words = ["--dir", str(self._state.path), "--version", self._version, "--socket", str(self._path)]
        words += ["--arm", "check", "--need", "built"]
        words += ["--memory-mb", str(self._memory_mb), "--hang-s", str(2 * self._deadline_s)]
        environment = Artifacts.at(self._state.artifacts).runs_in(self._version)
        furnish(self._state, environment)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._state.command(environment, "evertrain.process.worker.candidate", *words),
                env=os.environ | thread_environment(1) | {PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __enter__(self) -> Self:
        try:
            if self._process is None:
                self.launch()
            self._connect()
            self.ping()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ping(self) -> Pong:
        """The server's own word of its version and memory."""
        pong = self._ask(Ping(), Pong)
        if pong.version != self._version:
            raise self._fault(f"answered as version {short(pong.version)}")
        self.peak_mb, self.stall_ms = max(self.peak_mb, pong.memory_mb), pong.stall_ms
        return pong

    def waited_ms(self) -> float | None:
        """How long the server and whoever asks it have waited for a processor so far; None where nobody counts it.

        What an asker waits that looks and finds no answer yet is left out: it held nothing up, and beside a busy
        machine, at the priority of a training, it adds up to most of the time in which a version does nothing.
        """
        waited = waited_ms(self.pid)
        return None if waited is None else waited - self._in_vain_ms

    def predict(self, identity: str, row: tuple[Value, ...], at: Instant) -> Answer:
        """One request, features and all; an answer that is not ok is returned, a dead server raises."""
        return self._ask(Predict(id=identity, row=row, at=at), Answer)

    def score(self, vectors: Sequence[tuple[Value, ...]], within_s: float | None = None) -> tuple[RowScore, ...]:
        """The scores of vectors, in batches; raises ModelError when the model does.

        within_s: for each batch, in place of the server's deadline.
        """
        scores: list[RowScore] = []
        for start in range(0, len(vectors), _BATCH):
            batch = tuple(vectors[start : start + _BATCH])
            answer = self._ask(Score(vectors=batch), Scores, within_s)
            if not answer.ok:
                raise self._fault(f"cannot score: {say_fault(answer)}")
            if len(answer.scores) != len(batch):
                raise self._fault(f"gave {len(answer.scores)} scores for {len(batch)} rows")
            scores.extend(answer.scores)
        return tuple(scores)

    # The process and its socket --------------------------------------------------------------------------------------

    def _connect(self) -> None:
        begun, before, waited_s = time.monotonic(), self.waited_ms(), 0.0
        with selectors.DefaultSelector() as wait:
            while self._socket is None:
                now = self.waited_ms()
                if now is not None and before is not None:  # waiting for a busy machine is not held against it
                    waited_s = max(waited_s, (now - before) / 1e3)
                self._watch(
                    begun + _LOAD_S + min(waited_s, _PATIENCE_S), f"did not load and answer once within {_LOAD_S:g} s"
                )
                self._socket = self._knock()
                if self._socket is None:
                    wait.select(0.02)

    def _knock(self) -> socket.socket | None:
        """A connection, or None while it does not listen yet."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self._path))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        except OSError:
            connection.close()
            raise
        connection.setblocking(False)
        return connection

    def _ask(self, message: Ask, reply: type[_Reply], within_s: float | None = None) -> _Reply:
        seconds = self._deadline_s if within_s is None else within_s
        end = time.monotonic() + seconds
        try:
            self._send(frame(message), end, seconds)
            length = frame_length(self._receive(4, end, seconds))
            return msgspec.msgpack.decode(self._receive(length, end, seconds), type=reply)
        except (OSError, EOFError):
            raise self._fault(self._obituary(wait_s=2.0)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RequestError) as error:
            raise self._fault(f"broke the protocol: {error}") from error

    def _send(self, content: bytes, end: float, seconds: float) -> None:
        connection = self._connected()
        view = memoryview(content)
        with selectors.DefaultSelector() as ready:
            ready.register(connection, selectors.EVENT_WRITE)
            while view:
                if ready.select(_LOOK_S):
                    view = view[connection.send(view) :]
                else:
                    self._watch(end, f"did not take a request within {seconds:g} s")

    def _receive(self, size: int, end: float, seconds: float) -> bytes:
        connection = self._connected()
        parts: list[bytes] = []
        before: float | None = None
        with selectors.DefaultSelector() as ready:
            ready.register(connection, selectors.EVENT_READ)
            while size:
                if not ready.select(_LOOK_S):
                    self._watch(end, f"did not answer within {seconds:g} s")
                    before = self._look_in_vain(before)
                    continue
                part = connection.recv(min(size, 1 << 20))
                if not part:
                    raise EOFError
                parts.append(part)
                size -= len(part)
        return b"".join(parts)

    def _look_in_vain(self, before: float | None) -> float | None:
        """Note what the asker waited since its look before, None for the first one; returns what it has waited now."""
        now = own_waited_ms()
        if before is not None and now is not None:
            self._in_vain_ms += now - before
        return now

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise self._fault("is not connected")
        return self._socket

    def _watch(self, end: float, late: str) -> None:
        """Look after the process while waiting for it: dead, too big or too late is a fault."""
        if self._process is not None and self._process.poll() is not None:
            raise self._fault(self._obituary(wait_s=0.0))
        if self._log.stat().st_size > _LOG_BYTES:
            os.truncate(self._log, 0)
        memory = resident(self.pid) / 1e6
        self.peak_mb = max(self.peak_mb, memory)
        if memory > self._memory_mb:
            raise self._fault(f"took {memory:.0f} MB of memory, the limit is {self._memory_mb} MB")
        if time.monotonic() > end:
            raise self._fault(late)

    @property
    def pid(self) -> int:
        """The number of its process, which leads a group of its own; 0 before there is one."""
        return self._process.pid if self._process is not None else 0

    def _obituary(self, wait_s: float) -> str:
        """How the process ended, in words."""
        if self._process is None:
            return "never started"
        try:
            code = self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return "closed the connection"
        if code < 0:
            return f"died of {signal.Signals(-code).name}"
        return f"exited with code {code}{self._last_words()}"

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            return ""
        return f": {say_line(lines[-1])}" if lines else ""

    def _fault(self, what: str) -> ModelError:
        """The error to raise; a PackageError where the process has ended for want of a package."""
        if self._process is not None and self._process.returncode == LACKING:
            return PackageError(f"Version {short(self._version)} cannot be loaded here{self._last_words()}")
        return ModelError(f"Version {short(self._version)} in its check server {what.removesuffix('.')}.")

    def stop(self) -> None:
        """End the process and what it forked, whatever they are doing. Stopping twice is stopping once."""
        if self._socket is not None:
            self._socket.close()
        if self._process is None:
            return
        end_group(self._process.pid)
        self._process.wait()
        self._path.unlink(missing_ok=True)
