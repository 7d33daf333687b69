"""A terminal that nobody sits at: what a command shows on it is kept."""

import contextlib
import fcntl
import os
import pty
import struct
import termios
import threading
from typing import Self

__all__ = ["Terminal"]

_ROWS, _COLUMNS = 40, 200


class Terminal:
    """A pseudo-terminal. theirs: the end that a command gets as its output; it is read all the time."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """Everything that was shown so far, with its control sequences."""
        return bytes(self._shown).decode(errors="replace")

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: nobody holds the other end any more
            while part := os.read(self._ours, 65_536):
                self._shown += part

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Once the commands have ended."""
        os.close(self.theirs)
        self._reader.join(120)
        os.close(self._ours)
