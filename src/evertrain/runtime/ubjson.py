"""UBJSON, the binary JSON in which XGBoost saves models, read without the library that wrote it.

Draft 12 of the format (https://ubjson.org/type-reference/), with its typed arrays; numbers are big-endian. A file that
lies about its lengths is refused before anything of that length is made.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from evertrain.errors import ModelError

__all__ = ["read_ubjson"]

_NUMBERS: Final = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
_CONSTANTS: Final[dict[bytes, Any]] = {b"Z": None, b"T": True, b"F": False}
_DEEPEST: Final = 64


def read_ubjson(content: bytes) -> Any:
    """The value that a document holds; ModelError when it is none. A typed array of numbers becomes a list.

    >>> read_ubjson(b"{i\\x01a[$U#i\\x02\\x07\\x08i\\x01bSi\\x02hi}")
    {'a': [7, 8], 'b': 'hi'}
    """
    reader = _Reader(content)
    try:
        return reader.value(reader.take(1), 0)
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise ModelError(f"It is no whole UBJSON document: {error}.") from error


class _Reader:
    """One pass over the bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    def take(self, size: int) -> bytes:
        end = self._place + size
        if size < 0 or end > len(self._content):
            raise IndexError(f"it is cut off at byte {self._place}")
        found = self._content[self._place : end]
        self._place = end
        return found

    def value(self, marker: bytes, depth: int) -> Any:
        if depth > _DEEPEST:
            raise IndexError(f"it is nested deeper than {_DEEPEST} levels")
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in _NUMBERS:
            return self._number(marker)
        if marker in (b"S", b"H"):
            return self._text()
        if marker == b"C":
            return self.take(1).decode()
        if marker == b"[":
            return self._array(depth)
        if marker == b"{":
            return self._object(depth)
        raise IndexError(f"an unknown marker {marker!r} stands at byte {self._place - 1}")

    def _number(self, marker: bytes) -> int | float:
        form = _NUMBERS[marker]
        found: int | float = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return found

    def _length(self) -> int:
        length = self.value(self.take(1), _DEEPEST)
        if not isinstance(length, int) or length < 0:
            raise IndexError(f"{length!r} is no length, at byte {self._place}")
        return length

    def _text(self) -> str:
        return self.take(self._length()).decode()

    def _head(self) -> tuple[bytes | None, int | None]:
        """The type and the count that a container may state before its items."""
        kind = count = None
        if self._content[self._place : self._place + 1] == b"$":
            self.take(1)
            kind = self.take(1)
        if self._content[self._place : self._place + 1] == b"#":
            self.take(1)
            count = self._length()
        if kind is not None and count is None:
            raise IndexError(f"a type without a count stands at byte {self._place}")
        return kind, count

    def _array(self, depth: int) -> list[Any]:
        kind, count = self._head()
        if kind in _NUMBERS and count is not None:
            form = _NUMBERS[kind]
            numbers = np.frombuffer(self.take(struct.calcsize(form) * count), dtype=form)
            plain: list[Any] = numbers.tolist()
            return plain
        found: list[Any] = []
        self._items(kind, count, b"]", lambda marker: found.append(self.value(marker, depth + 1)))
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count = self._head()
        found: dict[str, Any] = {}

        def take_pair(marker: bytes) -> None:
            length = self._number(marker) if marker in _NUMBERS else -1
            name = self.take(int(length)).decode()
            found[name] = self.value(kind or self.take(1), depth + 1)

        self._items(None, count, b"}", take_pair)
        return found

    def _items(self, kind: bytes | None, count: int | None, end: bytes, take: Callable[[bytes], None]) -> None:
        left = count
        while left is None or left > 0:
            if kind is None:
                marker = self.take(1)
                if left is None and marker == end:
                    return
            else:
                marker = kind
            take(marker)
            left = None if left is None else left - 1
