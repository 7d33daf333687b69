"""Bytes by their digest: what a name says is what the file holds, or reading fails."""

import os
import re
import secrets
import shutil
from pathlib import Path

from evertrain.core.identity import Digest, digest_of_bytes
from evertrain.errors import IntegrityError, NotFoundError
from evertrain.store.file import digest_of_file, sync_folder, write_atomically

__all__ = ["Blobs"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """Immutable files named by their SHA-256, spread over 256 folders. Putting the same bytes twice is no error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, content: bytes) -> Digest:
        """Keep bytes; they are on the disk when this returns."""
        digest = digest_of_bytes(content)
        target = self._target(digest)
        if not self._stands(target, digest):
            write_atomically(target, content, mode=0o444)
        return digest

    def put_file(self, path: Path) -> Digest:
        """Keep a copy of a file. The copy is hashed, so a file that changes meanwhile is kept as one whole content."""
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / f".{os.getpid()}.{secrets.token_hex(8)}"
        try:
            shutil.copyfile(path, beside)
            digest = digest_of_file(beside)
            target = self._target(digest)
            if not self._stands(target, digest):
                beside.chmod(0o444)
                with beside.open("rb") as file:
                    os.fsync(file.fileno())
                beside.replace(target)
                sync_folder(target.parent)
        finally:
            beside.unlink(missing_ok=True)
        return digest

    def get(self, digest: Digest) -> bytes:
        """The bytes, checked. Raises NotFoundError or IntegrityError."""
        path = self.path(digest)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"Blob {digest} is missing at {path}.", "Restore it from a backup.") from error
        if digest_of_bytes(content) != digest:
            raise IntegrityError(f"{path} was altered: its bytes are not {digest}.", "Restore it from a backup.")
        return content

    def path(self, digest: Digest) -> Path:
        """Where the bytes lie, or would lie."""
        if _DIGEST.fullmatch(digest) is None:
            raise NotFoundError(f"{digest!r} is not a digest.", "Give 64 hexadecimal digits.")
        return self.folder / digest[:2] / digest

    def has(self, digest: Digest) -> bool:
        return self.path(digest).is_file()

    def _target(self, digest: Digest) -> Path:
        target = self.path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _stands(self, target: Path, digest: Digest) -> bool:
        """Whether the right bytes lie there already; damaged ones are written anew."""
        return target.is_file() and digest_of_file(target) == digest
