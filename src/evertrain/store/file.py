"""Files that are either whole or not there."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from evertrain.core.identity import Digest

__all__ = ["digest_of_file", "remove_oldest", "sync_folder", "write_atomically"]

_CHUNK = 1 << 20


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Replace `path` by `content` in one step: a reader sees the old bytes or the new ones, also after SIGKILL.

    durable: the bytes have reached the disk when this returns; without it a power cut may bring the old ones back.
    """
    # No Path: it would intern a name of its own for each draft, and the table of those never gets smaller.
    beside = os.path.join(path.parent, f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")  # noqa: PTH118
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)  # noqa: PTH108
        raise
    if durable:
        sync_folder(path.parent)


def remove_oldest(paths: Iterable[Path], most: int) -> list[Path]:
    """Remove files but for the `most` that were changed last; returns those that were removed, the newest first."""
    found = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime_ns, path))
    over = [path for _, path in sorted(found, reverse=True)[most:]]
    for path in over:
        path.unlink(missing_ok=True)
    return over


def sync_folder(folder: Path) -> None:
    """Bring the folder's entries (names that were made or replaced in it) to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_of_file(path: Path, size: int | None = None) -> Digest:
    """SHA-256 of a file's bytes, or of its first `size` bytes (fewer when it is shorter)."""
    hashed, left = hashlib.sha256(), size
    with path.open("rb") as file:
        while left is None or left > 0:
            chunk = file.read(_CHUNK if left is None else min(_CHUNK, left))
            if not chunk:
                break
            hashed.update(chunk)
            if left is not None:
                left -= len(chunk)
    return Digest(hashed.hexdigest())
