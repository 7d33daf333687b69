"""File systems that a test can fill, and folders that nobody can write: real ones, where this user may make them."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evertrain.errors import UnavailableError
from evertrain.store.room import free_bytes

__all__ = ["SmallDisk", "read_only", "small_disk"]


class SmallDisk:
    """A file system of its own, with a file that takes up what is to be taken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def leave(self, wanted: int) -> None:
        """Let so many bytes be free, to a block."""
        self._ballast.touch()
        size = self._ballast.stat().st_size + free_bytes(self.folder) - wanted
        handle = os.open(self._ballast, os.O_WRONLY)
        try:
            os.ftruncate(handle, max(0, min(size, self._ballast.stat().st_size)))
            if size > 0:
                os.posix_fallocate(handle, 0, size)
        finally:
            os.close(handle)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[SmallDisk]:
    """Mount one of `size` bytes at a folder; UnavailableError where this user may not."""
    folder.mkdir()
    with _mounted("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
        yield SmallDisk(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody can write below a folder: not root either, for whom it is mounted anew; for others modes are enough."""
    if os.geteuid() != 0:
        modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
        for path, mode in modes.items():
            path.chmod(mode & ~0o222)
        try:
            yield
        finally:
            for path, mode in modes.items():
                path.chmod(mode)
        return
    # What has a file open for writing makes a mount busy: it becomes read-only beside the folder, where nobody looks.
    aside = tempfile.mkdtemp()
    try:
        with _mounted("--bind", str(folder), aside):
            _mount("-o", "remount,bind,ro", aside)
            _mount("--bind", aside, str(folder))
    finally:
        Path(aside).rmdir()
    try:
        yield
    finally:
        _unmount(folder)


@contextmanager
def _mounted(*words: str) -> Iterator[None]:
    """What the last of the words names is a mount, until the end."""
    _mount(*words)
    try:
        yield
    finally:
        _unmount(words[-1])


def _unmount(folder: Path | str) -> None:
    subprocess.run(["umount", "-l", folder], check=True)


def _mount(*words: str) -> None:
    try:
        done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UnavailableError("There is no `mount` here.") from None
    if done.returncode:
        raise UnavailableError(f"This user cannot mount here: {done.stderr.strip()}.")
