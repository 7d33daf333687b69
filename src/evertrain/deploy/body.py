"""A request's body: read within its limit of size, inflated within it, and decoded without surprises."""

import asyncio
import gzip
import json
import math
import re
import zlib
from collections.abc import Mapping
from typing import TypeVar

import msgspec
import numpy as np

from evertrain.errors import CapacityError, RequestError, TooLargeError

__all__ = [
    "EncodingError",
    "Intake",
    "Limits",
    "bound_rows",
    "decode",
    "deflate",
    "inflate",
    "refuse_repeated",
    "wants_gzip",
]

_Decoded = TypeVar("_Decoded")

# Possessive, and the last quote optional, so that no body makes it scan twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""A bracket as the step that it makes: up, or down by one, which is 255 in eight bits."""
_SPACES = (b" ", b"\t", b"\n", b"\r")
_FORMS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content codings, and zlib's name for each. HTTP's deflate has zlib's header (RFC 9110, 8.4.1.2)."""
_NEVER = re.compile(r"q=0(?:\.0*)?")
_FIRST_PACKETS = 10 * 1460
"""Bytes that TCP sends before it waits for the other side (RFC 6928)."""
_NOT_JSON = re.compile(rb"[-+]?\b(?:NaN|Infinity|nan|inf)\b")
_LARGE = re.compile(rb"-?\d{1,400}(?:\.\d{1,400})?[eE]\+?\d{3,9}")
_LAST_NAME = re.compile(rb'"name"\s*:\s*"([^"]{1,200})"')
_LAST_KEY = re.compile(rb'"([^"]{1,200})"\s*:')


class EncodingError(RequestError):
    """The body is compressed in a way that is not taken."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one request. max_nesting: levels of its JSON."""

    max_rows: int = 10_000
    max_nesting: int = 32


class Intake:
    """The bounds of bodies: of each, and of the memory of all that are being received at once. Sizes in bytes."""

    def __init__(self, *, max_bytes: int, max_total_bytes: int = 256 << 20) -> None:
        self.max_bytes = max_bytes
        self._max_total = max(max_total_bytes, 2 * max_bytes)
        self._total = 0

    def hold(self, size: int, held: int) -> int:
        """Count this many more bytes of a body of which `held` were counted; TooLargeError, or CapacityError."""
        if held + size > self.max_bytes:
            raise self.too_large()
        if self._total + size > self._max_total:
            raise CapacityError("Too many large requests are being read.", "Send it again later.")
        self._total += size
        return size

    def give_back(self, size: int) -> None:
        """A body is whole, or will never be."""
        self._total -= size

    def whole(self, body: bytes, headers: Mapping[bytes, bytes]) -> bytes:
        """A body that came whole, inflated."""
        encoding = headers.get(b"content-encoding")
        return body if encoding is None else inflate(body, encoding.decode("latin-1"), self.max_bytes)

    def too_large(self) -> TooLargeError:
        return TooLargeError(
            f"The body is larger than the limit of {self.max_bytes} bytes.",
            "Send fewer rows in one request.",
            field="body",
        )


def bound_rows(rows: int, limits: Limits, field: str) -> None:
    """RequestError or TooLargeError for a request of none, or of more than may be sent at once."""
    if rows < 1:
        raise RequestError(f"There are no {field}.", "Send at least one row.", field=field)
    if rows > limits.max_rows:
        raise TooLargeError(f"{rows} rows are over the limit of {limits.max_rows}.", "Send fewer rows.", field=field)


def inflate(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its compression; at most `limit` bytes are ever made of it.

    >>> inflate(b"{}", "identity", 10)
    b'{}'
    """
    kind = encoding.strip().lower()
    if kind in {"", "identity"}:
        return body
    form = _FORMS.get(kind)
    if form is None:
        raise EncodingError(
            f"Content-Encoding {encoding!r} is not taken.",
            "Send gzip or deflate, or no compression.",
            field="content-encoding",
        )
    stream = zlib.decompressobj(wbits=form)
    try:
        inflated = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError(
            f"The body is not {kind}, although Content-Encoding says so.",
            "Compress it, or drop the header.",
            field="body",
        ) from error
    if len(inflated) > limit:
        raise TooLargeError(
            f"The body is larger than the limit of {limit} bytes when it is decompressed.",
            "Send fewer rows in one request.",
            field="body",
        )
    if not stream.eof or stream.unused_data:
        raise RequestError(f"The {kind} stream is cut off, or something follows it.", "Send one stream.", field="body")
    return inflated


async def deflate(body: bytes) -> bytes:
    """The body as gzip, made off the answering thread."""
    return await asyncio.to_thread(gzip.compress, body, 1, mtime=0)


def wants_gzip(body: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Whether this answer goes out compressed: what fits into the first packets of a connection is not made to wait."""
    if len(body) < _FIRST_PACKETS:
        return False
    accepted = headers.get(b"accept-encoding")
    return accepted is not None and _takes_gzip(accepted.decode("latin-1"))


def _takes_gzip(accepted: str) -> bool:
    codings = [part.partition(";") for part in accepted.lower().replace(" ", "").split(",")]
    return any(name in {"gzip", "x-gzip"} and not _NEVER.fullmatch(weight) for name, _, weight in codings)


def decode(body: bytes, decoder: "msgspec.json.Decoder[_Decoded]", max_nesting: int) -> _Decoded:
    """The JSON value; RequestError that says where and why when it is none."""
    if nesting(body, max_nesting) > max_nesting:
        raise RequestError(
            f"The body is nested deeper than {max_nesting} levels.", "Send flat rows or tensors.", field="body"
        )
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _beyond(body) or _invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(body, error) from error


def nesting(body: bytes, enough: int) -> int:
    """How deep arrays and objects are nested; a body that opens at most `enough` of them is not looked at closely.

    >>> nesting(b'{"a": [[1], "[[["]}', 0)
    3
    """
    opened = body.count(b"[") + body.count(b"{")
    if opened <= enough:
        return opened
    brackets = np.frombuffer(_STRING.sub(b"", body).translate(_STEPS, _NOT_BRACKETS), np.int8)
    return int(brackets.cumsum(dtype=np.int32).max(initial=0))


def refuse_repeated(body: bytes, keys: int) -> None:
    """RequestError about a key that one object holds twice; `keys` is how many a decoder, which keeps the last, found.

    Each key brings a colon, so equal counts prove that none comes twice; where texts hold colons as well, those with a
    quote before them prove it, if no key has a space there. Only a body that is written otherwise is looked at closely.

    >>> refuse_repeated(b'{"at": "05:00:00"}', 1)
    >>> refuse_repeated(b'{"n": 1, "n": 2}', 1)
    Traceback (most recent call last):
    evertrain.errors.RequestError: 'n' comes twice in one record. Send it once.
    """
    if body.count(b":") == keys:
        return
    if body.count(b'":') == keys and not any(space in body and space + b":" in body for space in _SPACES):
        return
    if _STRING.sub(b"", body).count(b":") != keys:
        json.loads(body, object_pairs_hook=_once, parse_int=str, parse_float=str)


def _once(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise RequestError(f"{key[:200]!r} comes twice in one record.", "Send it once.", field=key[:200])
        seen.add(key)


def _invalid(error: msgspec.ValidationError) -> RequestError:
    """msgspec says "... - at `$.inputs[0].shape`"; the path is the field."""
    reason, _, path = str(error).partition(" - at `")
    field = path.rstrip("`").removeprefix("$").removeprefix(".") or "body"
    return RequestError(f"{field}: {reason}.", "See the API reference for the form of a request.", field=field)


def _beyond(body: bytes) -> RequestError | None:
    """About the first number that no float holds, with the column that it most likely belongs to."""
    for found in _LARGE.finditer(body):
        if math.isinf(float(found[0])):
            return RequestError(
                f"{found[0][:40].decode()} at byte {found.start()} is beyond a float64.",
                "Send a number below 1.8e308, or null for what is missing, where it is allowed.",
                field=_field_before(body, found.start()),
            )
    return None


def _malformed(body: bytes, error: Exception) -> RequestError:
    if not body.strip():
        return RequestError("The body is empty.", "Send JSON, and with it its Content-Length.", field="body")
    found = re.search(r"\(byte (\d+)\)", str(error))
    place = int(found[1]) if found else len(body)
    odd = _NOT_JSON.search(body, max(0, place - 1))
    if odd is not None and odd.start() <= place + 1:
        field = _field_before(body, odd.start())
        return RequestError(
            f"{odd[0].decode()} at byte {odd.start()} is no JSON number.",
            "Send null for a value that is missing, where the column allows it.",
            field=field,
        )
    return RequestError(f"The body is not JSON: {error}.", "Send valid JSON in UTF-8.", field="body")


def _field_before(body: bytes, place: int) -> str:
    """The column that a broken value most likely belongs to: the last name or key before it."""
    before = body[:place]
    names = _LAST_NAME.findall(before) or [key for key in _LAST_KEY.findall(before) if key not in {b"rows", b"data"}]
    return names[-1].decode("utf-8", "replace") if names else "body"
