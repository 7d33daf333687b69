"""The tokens of the doors: made once, kept at mode 0600, checked by their digests."""

import secrets
from pathlib import Path

from evertrain.core.access import Credential, Door, credential_of
from evertrain.core.identity import Digest
from evertrain.errors import StateError
from evertrain.store.file import write_atomically

__all__ = ["create_token", "credential", "token"]


def create_token(door: Door, keys: Path, trusted: Path) -> str:
    """Make the door's token in `keys` (or take the one that is there) and leave its digest in `trusted`."""
    path = _path(keys, door)
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(32).encode(), mode=0o600)
    text = token(door, keys)
    write_atomically(_digest_path(trusted, door), credential_of(door, text).digest.encode())
    return text


def token(door: Door, keys: Path) -> str:
    """The token itself, for whoever owns the state directory."""
    path = _path(keys, door)
    try:
        text = path.read_text().strip()
    except FileNotFoundError as error:
        raise StateError(f"{path} is missing.", "Run `evertrain up` again: it makes a new token.") from error
    if len(text) < 20:
        raise StateError(f"{path} holds no token.", "Remove it and run `evertrain up` again: it makes a new one.")
    return text


def credential(door: Door, trusted: Path) -> Credential:
    """What a worker needs to check a token; it never sees the token's file."""
    path = _digest_path(trusted, door)
    try:
        digest = path.read_text().strip()
    except FileNotFoundError as error:
        raise StateError(f"{path} is missing.", "Run `evertrain up` again: it writes the file anew.") from error
    return Credential(door=door, digest=Digest(digest))


def _path(keys: Path, door: Door) -> Path:
    return keys / f"token-{door}"


def _digest_path(trusted: Path, door: Door) -> Path:
    return trusted / f"{door}-token.sha256"
