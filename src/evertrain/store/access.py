"""The tokens of the doors: made once, kept at mode 0600, checked by their digests."""

import secrets
from pathlib import Path
from typing import get_args

from evertrain.core.access import Credential, Door, credential_of
from evertrain.core.identity import Digest
from evertrain.errors import StateError
from evertrain.store.file import write_atomically

__all__ = ["DOORS", "create_token", "credential", "token", "unmatched"]

DOORS: tuple[Door, ...] = get_args(Door)


def create_token(door: Door, keys: Path, trusted: Path) -> str:
    """Make the door's token in `keys` (or take the one that is there) and leave its digest in `trusted`.

    Where both stand nothing is written: whoever starts on a full disk has its door.
    """
    path = _path(keys, door)
    if not path.exists():
        write_atomically(path, secrets.token_urlsafe(32).encode(), mode=0o600)
    text = token(door, keys)
    digest, beside = credential_of(door, text).digest.encode(), _digest_path(trusted, door)
    if not beside.exists() or beside.read_bytes() != digest:
        write_atomically(beside, digest)
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


def unmatched(door: Door, keys: Path, trusted: Path) -> str:
    """How the door's token and the digest that recognises it disagree, "" where they agree or there is neither."""
    if not _path(keys, door).exists() and not _digest_path(trusted, door).exists():
        return ""
    try:
        agree = credential(door, trusted) == credential_of(door, token(door, keys))
    except (StateError, OSError, ValueError) as error:
        return error.what if isinstance(error, StateError) else f"it cannot be read: {error}"
    return "" if agree else f"it is not the digest of control/keys/{_path(keys, door).name}"


def _path(keys: Path, door: Door) -> Path:
    return keys / f"token-{door}"


def _digest_path(trusted: Path, door: Door) -> Path:
    return trusted / f"{door}-token.sha256"
