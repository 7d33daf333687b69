"""Have the never-retrained version score what the champion answered, so that both can be seen on the same rows."""

import contextlib
import socket
from collections.abc import Sequence

import msgspec

from evertrain.core.identity import VersionId
from evertrain.core.schema import Value
from evertrain.core.score import RowScore
from evertrain.core.trial import Score, Scores, frame, frame_length
from evertrain.store.state import State

__all__ = ["score_with_reference"]

_BATCH = 5_000
_DEADLINE_S = 30.0
_UNANSWERED = (OSError, msgspec.DecodeError, UnicodeDecodeError)


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
