"""Distinct types for the ids that travel through the system, and how content becomes a digest."""

import hashlib
from typing import Any, NewType

import msgspec

__all__ = [
    "CycleId",
    "Digest",
    "RolloutId",
    "ServiceName",
    "SourceName",
    "VersionId",
    "canonical",
    "digest_of",
    "digest_of_bytes",
    "short",
]

Digest = NewType("Digest", str)
"""64 hexadecimal digits: SHA-256 of canonical content."""

ServiceName = NewType("ServiceName", str)
SourceName = NewType("SourceName", str)

VersionId = NewType("VersionId", str)
"""A model version: the digest of its manifest, whole. `short` shows it to people."""

CycleId = NewType("CycleId", str)
"""One run of the loop, e.g. "late-flights/c7"."""

RolloutId = NewType("RolloutId", str)
"""One attempt to put a version into service, e.g. "late-flights/r7"."""

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: keys sorted, no white space, UTF-8.

    >>> canonical({"b": 1, "a": [True, None]})
    b'{"a":[true,null],"b":1}'
    """
    return _encoder.encode(value)


def digest_of(value: Any) -> Digest:
    """The digest of a value's canonical JSON.

    >>> digest_of({})[:12]
    '44136fa355b3'
    """
    return digest_of_bytes(canonical(value))


def digest_of_bytes(content: bytes) -> Digest:
    """The digest of bytes as they are."""
    return Digest(hashlib.sha256(content).hexdigest())


def short(digest: str) -> str:
    """The first ten digits, for people.

    >>> short("44136fa355b3678a")
    '44136fa355'
    """
    return digest[:10]
