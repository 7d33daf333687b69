"""Where the online states of a source lie in the store: the bytes of their keys.

Every key begins with six bytes of the digest of the source's plan, so that two declarations share what they define
alike, and a new definition gets states of its own beside those that an older model still reads. One byte says the kind:

    m                                        what is known of these states: complete or not, which corrections exist
    i  event  digest of the key  known       each row version as it was read; it makes writing idempotent
    s  stream  entity  time                  running totals, by base time
    d  stream  offset  entity  time          what rows that are late, lagged or corrected change of them (`data.tally`)
    l  stream  entity  event  key  known     the rows themselves, newest first

Times descend, so that one seek finds the newest at or before an instant.
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from evertrain.config.declaration import ServiceSpec, SourceSpec
from evertrain.core.identity import SourceName, canonical
from evertrain.core.schema import Value
from evertrain.data.stream import Plan, Stream, Sums

__all__ = [
    "SPAN",
    "Layout",
    "ListPlace",
    "Meta",
    "SumPlace",
    "descending",
    "entity_bytes",
    "instant_of",
    "key_bytes",
    "layout",
]

SPAN: Final = struct.Struct("<qqq")
"""A row in a list begins with its event time, its known-at and its end; a msgpack array of its values follows."""

_BIG: Final = struct.Struct(">Q")
_HIGHEST: Final = 2**63 - 1
_LONGEST: Final = 160
_COMPLEMENT: Final = bytes(255 - byte for byte in range(256))


class SumPlace(msgspec.Struct, frozen=True):
    """A stream's running totals. deviations: offset to the prefix of its corrections."""

    stream: Stream
    columns: tuple[str, ...]
    prefix: bytes
    deviations: dict[int | None, bytes]


class ListPlace(msgspec.Struct, frozen=True):
    """A stream's rows."""

    stream: Stream
    columns: tuple[str, ...]
    prefix: bytes


class Layout(msgspec.Struct, frozen=True):
    """The states of one source under one plan. columns: what is kept of each row, sorted."""

    source: SourceSpec
    columns: tuple[str, ...]
    prefix: bytes
    sums: dict[Stream, SumPlace]
    lists: dict[Stream, ListPlace]

    @property
    def meta(self) -> bytes:
        return self.prefix + b"m"

    @property
    def index(self) -> bytes:
        return self.prefix + b"i"


class Meta(msgspec.Struct, frozen=True):
    """complete: the source's whole history has been written. deviating: prefixes of the corrections that exist."""

    complete: bool = False
    deviating: tuple[bytes, ...] = ()


def layout(spec: ServiceSpec, plan: Plan, name: SourceName) -> Layout | None:
    """The layout of one source's states; None when no feature reads the source."""
    source = spec.source(name)
    sums = [(stream, sums) for stream, sums in plan.sums.items() if stream.source == name]
    lists = [(stream, columns) for stream, columns in plan.lists.items() if stream.source == name]
    if not sums and not lists:
        return None
    sums.sort(key=lambda one: canonical(one[0]))
    lists.sort(key=lambda one: canonical(one[0]))
    columns = plan.columns(name)
    identity = canonical([name, source.key, source.event_time, source.known_at, columns, sums, lists])
    prefix = hashlib.blake2b(identity, digest_size=6).digest()
    return Layout(
        source=source,
        columns=columns,
        prefix=prefix,
        sums={stream: _sum_place(prefix, number, stream, one) for number, (stream, one) in enumerate(sums)},
        lists={
            stream: ListPlace(stream, kept, prefix + b"l" + bytes([number]))
            for number, (stream, kept) in enumerate(lists)
        },
    )


def _sum_place(prefix: bytes, number: int, stream: Stream, sums: Sums) -> SumPlace:
    return SumPlace(
        stream=stream,
        columns=sums.columns,
        prefix=prefix + b"s" + bytes([number]),
        deviations={offset: prefix + b"d" + bytes([number, place]) for place, offset in enumerate(sums.offsets)},
    )


def descending(at: int) -> bytes:
    """An instant as 8 bytes whose order is that of time reversed.

    >>> descending(5) < descending(4) < descending(-1)
    True
    """
    return _BIG.pack(_HIGHEST - at)


def instant_of(encoded: bytes) -> int:
    """The instant that `descending` encoded.

    >>> instant_of(descending(-7))
    -7
    """
    return _HIGHEST - int(_BIG.unpack(encoded)[0])


def entity_bytes(parts: Sequence[Value]) -> bytes | None:
    """An entity as bytes of which none is the beginning of another's; None when a part is null: it matches nothing.

    >>> entity_bytes(["EWR", 15]), entity_bytes(["EWR", None])
    (b'\\x00\\x03EWR\\x00\\x0215', None)
    """
    encoded = b""
    for part in parts:
        if part is None:
            return None
        text = part.encode() if isinstance(part, str) else str(int(part) if isinstance(part, bool) else part).encode()
        encoded += len(text).to_bytes(2, "big") + text
    if len(encoded) > _LONGEST:
        return b"\xff\xff" + hashlib.blake2b(encoded, digest_size=32).digest()
    return encoded


def key_bytes(parts: Sequence[Value]) -> bytes:
    """A row's key as bytes whose order is that of the keys reversed, for rows of one instant.

    >>> key_bytes(["b"]) < key_bytes(["ab"]) < key_bytes(["a"]) and key_bytes([2]) < key_bytes([-1])
    True
    """
    encoded = b"".join(_ascending(part) for part in parts).translate(_COMPLEMENT)
    if len(encoded) > _LONGEST:
        # Distinct still; two keys that share so long a beginning are ordered by digest.
        return encoded[:_LONGEST] + hashlib.blake2b(encoded, digest_size=16).digest()
    return encoded


def _ascending(part: Value) -> bytes:
    """Null first, as in a sorted frame."""
    if part is None:
        return b"\x00"
    if isinstance(part, str):
        escaped = part.encode().replace(b"\x01", b"\x01\x02").replace(b"\x00", b"\x01\x01")
        return b"\x01" + escaped + b"\x00"
    if isinstance(part, float):
        bits = struct.unpack(">Q", struct.pack(">d", part + 0.0))[0]
        return b"\x01" + _BIG.pack(bits ^ (2**64 - 1 if bits >> 63 else 1 << 63))
    return b"\x01" + _BIG.pack(int(part) + 2**63)
