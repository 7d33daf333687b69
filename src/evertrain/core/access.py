"""Who may come in by which door: a token for the control API, another for clients that post labels."""

import hmac
from typing import Literal

import msgspec

from evertrain.core.identity import Digest, digest_of_bytes

__all__ = ["Credential", "Door", "bearer", "credential_of"]

Door = Literal["control", "data"]


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What a process needs to recognise a token without knowing it. digest: SHA-256 of the token's text."""

    door: Door
    digest: Digest

    def admits(self, token: str) -> bool:
        """Whether this is the token; the time that it takes does not depend on the answer.

        >>> credential_of("data", "open sesame").admits("open sesame")
        True
        >>> credential_of("data", "open sesame").admits("open")
        False
        """
        return hmac.compare_digest(digest_of_bytes(token.encode()), self.digest)


def credential_of(door: Door, token: str) -> Credential:
    """The credential that recognises a token."""
    return Credential(door=door, digest=digest_of_bytes(token.encode()))


def bearer(header: str | None) -> str:
    """The token of an Authorization header, "" when there is none.

    >>> bearer("Bearer abc"), bearer("Basic abc"), bearer(None)
    ('abc', '', '')
    """
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
