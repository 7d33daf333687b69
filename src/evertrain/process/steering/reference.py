"""Have the never-retrained version score what the champion answered, so that both can be seen on the same rows."""

import contextlib
import socket
import threading
from collections.abc import Sequence

import msgspec

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.schema import Value
from evertrain.core.score import RowScore
from evertrain.core.trial import Score, Scores, frame, frame_length
from evertrain.errors import RequestError
from evertrain.monitor.performance import Performance
from evertrain.store.state import State

__all__ = ["ReferenceScoring", "score_with_reference"]

_BATCH = 5_000
_DEADLINE_S = 30.0
_UNANSWERED = (OSError, msgspec.DecodeError, UnicodeDecodeError, RequestError)


class ReferenceScoring:
    """Has what was answered scored, each service on a thread of its own: the loop does not wait for a model.

    One thread calls it, which the performances belong to.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._under_way: dict[ServiceName, _Batch] = {}

    def begin(self, service: ServiceName, version: VersionId, performance: Performance) -> None:
        """Have scored what is not, unless that is under way."""
        positions, vectors = performance.unscored()
        if positions and service not in self._under_way:
            self._under_way[service] = _Batch(performance, positions)
            self._under_way[service].start(self._state, version, vectors)

    def take_up(self) -> None:
        """Take up the scores that are there by now."""
        for service, batch in list(self._under_way.items()):
            if batch.is_over:
                del self._under_way[service]
                batch.take_up()


class _Batch:
    """Rows of a performance that are being scored."""

    def __init__(self, performance: Performance, positions: list[int]) -> None:
        self._performance = performance
        self._positions = positions
        self._scores: tuple[RowScore, ...] | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_over(self) -> bool:
        return self._thread is not None and not self._thread.is_alive()

    def start(self, state: State, version: VersionId, vectors: list[tuple[Value, ...]]) -> None:
        def score() -> None:
            self._scores = score_with_reference(state, version, vectors)

        self._thread = threading.Thread(target=score, name="reference", daemon=True)
        self._thread.start()

    def take_up(self) -> None:
        if self._scores is not None:
            self._performance.scored(self._positions, self._scores)


def score_with_reference(
    state: State, version: VersionId, vectors: Sequence[tuple[Value, ...]]
) -> tuple[RowScore, ...] | None:
    """Scores of logged input vectors by the reference process; None when it does not answer now."""
    path = state.socket(f"reference-{version[:10]}-0")
    scores: list[RowScore] = []
    with contextlib.suppress(*_UNANSWERED), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_DEADLINE_S)
        connection.connect(str(path))
        for start in range(0, len(vectors), _BATCH):
            connection.sendall(frame(Score(vectors=tuple(vectors[start : start + _BATCH]))))
            answer = msgspec.msgpack.decode(_receive(connection), type=Scores)
            if not answer.ok:
                return None
            scores.extend(answer.scores)
        return tuple(scores)
    return None


def _receive(connection: socket.socket) -> bytes:
    return _exactly(connection, frame_length(_exactly(connection, 4)))


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionResetError("The reference process closed its connection")
        parts += part
    return bytes(parts)
