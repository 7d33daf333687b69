"""What a pickle, or a joblib file, would do when it is loaded: read as a list of instructions, of which none is run.

A pickle is a program. Loading one imports whatever it names and calls it with whatever it holds, with the rights of the
user who loads it. So it is told apart from data, looked into, and served only after a person has vouched for its bytes.
"""

import bz2
import gzip
import io
import lzma
import pickletools
import zlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

__all__ = ["Contents", "is_pickle", "look_into"]

_OPENERS: Final[dict[bytes, Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
_ZLIB: Final = (b"x\x01", b"x^", b"x\x9c", b"x\xda")
_READS: Final = ("BINGET", "LONG_BINGET", "GET")
_BIGGEST: Final = 256 << 20
"""Bytes of a compressed file that are looked at."""

_HARMLESS: Final = frozenset(
    {
        "_codecs",
        "catboost",
        "collections",
        "copyreg",
        "copy_reg",
        "joblib",
        "lightgbm",
        "numpy",
        "pandas",
        "scipy",
        "sklearn",
    }
    | {"xgboost", "functools", "datetime", "decimal"}
)
_DANGEROUS: Final = frozenset(
    {"builtins", "__builtin__", "os", "posix", "nt", "subprocess", "sys", "socket", "shutil", "importlib", "runpy"}
    | {"ctypes", "pty", "code", "webbrowser", "http", "urllib", "pathlib", "tempfile", "multiprocessing", "asyncio"}
)
_PLAIN_BUILTINS: Final = frozenset(
    {"set", "frozenset", "dict", "list", "tuple", "slice", "complex", "bytearray", "object", "int", "float", "str"}
    | {"bool", "bytes", "range"}
)


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """names: everything that it imports, "module.name", sorted. whole: whether all of it could be read."""

    names: tuple[str, ...]
    whole: bool

    @property
    def dangerous(self) -> tuple[str, ...]:
        """Names that no model needs, and that reach the system."""
        return tuple(name for name in self.names if _is_dangerous(name))

    @property
    def strange(self) -> tuple[str, ...]:
        """Names that are neither dangerous as such nor of a library that models are made with."""
        return tuple(
            name
            for name in self.names
            if not _is_dangerous(name) and _root(name) not in _HARMLESS | {"builtins", "__builtin__"}
        )

    @property
    def libraries(self) -> tuple[str, ...]:
        """The packages that have to be installed."""
        return tuple(sorted({_root(name) for name in self.names} - _DANGEROUS - {"__main__"}))


def is_pickle(head: bytes) -> bool:
    """Whether a file that begins like this is a pickle of some protocol, or a compressed one.

    >>> is_pickle(b"\\x80\\x04K\\x01."), is_pickle(b"tree"), is_pickle(b"\\x1f\\x8b\\x08")
    (True, False, True)
    """
    if head[:1] == b"\x80" or head.startswith((*_OPENERS, *_ZLIB)):
        return True
    return b"sklearn" in head or b"joblib" in head or (head[:1] in (b"c", b"(") and _opens(head))


def _opens(head: bytes) -> bool:
    """Whether protocol 0 or 1 begins so: with the import of a name, or a mark."""
    try:
        next(pickletools.genops(io.BytesIO(head)))
    except (ValueError, UnicodeDecodeError, IndexError):
        return False
    return b"\n" in head


def look_into(content: bytes) -> Contents:
    """What a pickle imports. In a joblib file an array stands between the instructions; what follows it is not read."""
    plain = _inflated(content)
    if plain is None:
        return Contents(names=(), whole=False)
    names: set[str] = set()
    whole = True
    try:
        for name in _imports(plain):
            names.add(name)
    except (ValueError, UnicodeDecodeError, IndexError, TypeError):
        whole = False
    return Contents(names=tuple(sorted(names)), whole=whole)


def _imports(content: bytes) -> Iterator[str]:
    """The names that the instructions import: by GLOBAL, or by STACK_GLOBAL from the two texts before it."""
    texts: list[str] = []
    memo: dict[int, str | None] = {}
    newest: str | None = None
    for code, argument, _ in pickletools.genops(content):
        if code.name in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"):
            memo[len(memo) if code.name == "MEMOIZE" else int(str(argument))] = newest
            continue
        newest = (
            memo.get(int(str(argument))) if code.name in _READS else argument if isinstance(argument, str) else None
        )
        if code.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif code.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif newest is not None:
            texts.append(newest)


def _inflated(content: bytes) -> bytes | None:
    """The instructions themselves; None when they cannot be had within the bound."""
    try:
        if content.startswith(_ZLIB):
            stream = zlib.decompressobj()
            plain = stream.decompress(content, _BIGGEST)
            return plain if stream.eof else None
        for start, opened in _OPENERS.items():
            if content.startswith(start):
                with opened(io.BytesIO(content)) as file:
                    read: bytes = file.read(_BIGGEST + 1)
                return read if len(read) <= _BIGGEST else None
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return None
    return content


def _root(name: str) -> str:
    return name.partition(".")[0]


def _is_dangerous(name: str) -> bool:
    root, _, rest = name.partition(".")
    return root in _DANGEROUS and not (root in ("builtins", "__builtin__") and rest in _PLAIN_BUILTINS)
