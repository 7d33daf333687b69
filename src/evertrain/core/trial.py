"""What a worker and a process on trial say to each other over a Unix socket.

Each frame is a 4-byte big-endian length and that many bytes of msgpack. A connection answers its requests in order; a
worker that gave up waiting closes the connection, so a late answer is never taken for another's.
"""

from typing import Literal

import msgspec

from evertrain.core.identity import VersionId
from evertrain.core.schema import Value
from evertrain.core.score import Cause, RowScore
from evertrain.core.time import Instant
from evertrain.errors import RequestError

__all__ = [
    "LACKING",
    "MAX_FRAME",
    "Answer",
    "Ask",
    "Ping",
    "Pong",
    "Predict",
    "Score",
    "Scores",
    "decode_ask",
    "frame",
    "frame_length",
]

LACKING = 4
"""Exit code of a process that cannot load its version because a package is missing here."""

MAX_FRAME = 64 * 1024 * 1024
"""Bytes; a longer frame is a broken peer, and its connection is closed."""


class Predict(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="predict"):
    """Answer one request: compute the features as of `at`, then the score. row: values in the schema's order."""

    id: str
    row: tuple[Value, ...]
    at: Instant


class Score(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="score"):
    """Score vectors that were logged or assembled: each holds the model's inputs in order, before encoding."""

    vectors: tuple[tuple[Value, ...], ...]


class Ping(msgspec.Struct, frozen=True, kw_only=True, tag_field="op", tag="ping"):
    """Are you there? Answered while a prediction is under way."""


Ask = Predict | Score | Ping


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """To `Predict`. When ok: the score, the vector that it came from, and the time it took; else the cause."""

    ok: bool
    score: RowScore = 0.0
    vector: tuple[Value, ...] = ()
    us: int = 0
    cause: Cause | Literal[""] = ""
    detail: str = ""


class Scores(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """To `Score`: one score a vector, in order. NaN stays NaN, so that an evaluation can count it."""

    ok: bool
    scores: tuple[RowScore, ...] = ()
    cause: Cause | Literal[""] = ""
    detail: str = ""


class Pong(msgspec.Struct, frozen=True, kw_only=True):
    """To `Ping`. memory_mb: resident memory of the process. stall_ms: for how long its loading held up other threads,
    where that was measured.
    """

    ok: bool
    version: VersionId
    memory_mb: float
    stall_ms: float = 0.0


_asks: msgspec.msgpack.Decoder[Ask] = msgspec.msgpack.Decoder(Ask)
_encoder = msgspec.msgpack.Encoder()


def decode_ask(payload: bytes) -> Ask:
    """Read a request; raises RequestError when it is none."""
    try:
        return _asks.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"A frame that is no request: {error}.", "Speak core.trial's protocol.") from error


def frame(message: Ask | Answer | Scores | Pong) -> bytes:
    """The bytes to send.

    >>> frame(Ping())
    b'\\x00\\x00\\x00\\t\\x81\\xa2op\\xa4ping'
    """
    payload = _encoder.encode(message)
    if len(payload) > MAX_FRAME:
        raise RequestError(f"A frame of {len(payload)} bytes is over the limit of {MAX_FRAME}.", "Send fewer rows.")
    return len(payload).to_bytes(4, "big") + payload


def frame_length(head: bytes) -> int:
    """The length that the first four bytes announce; raises RequestError over the limit.

    >>> frame_length(b"\\x00\\x00\\x00\\t")
    9
    """
    length = int.from_bytes(head[:4], "big")
    if length > MAX_FRAME:
        raise RequestError(f"A frame of {length} bytes is over the limit of {MAX_FRAME}.", "Send fewer rows.")
    return length


def say_fault(answer: Answer | Scores) -> str:
    """Why there is no score, in half a sentence: the cause, unless it is only "error", and what it says of itself.

    >>> say_fault(Scores(ok=False, cause="error", detail="predict raised MemoryError."))
    'predict raised MemoryError'
    >>> say_fault(Answer(ok=False, cause="nan", detail="the score is NaN"))
    'nan: the score is NaN'
    """
    detail = answer.detail.removesuffix(".")
    return detail if answer.cause == "error" and detail else f"{answer.cause}: {detail}"
