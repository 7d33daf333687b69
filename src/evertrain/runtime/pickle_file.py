"""What a pickle, or a joblib file, would do when it is loaded: read as a list of instructions, of which none is run.

A pickle is a program. Loading one imports whatever it names and calls it with whatever it holds, with the rights of the
user who loads it. So it is told apart from data, looked into, and served only after a person has vouched for its bytes.
"""

import bz2
import gzip
import io
import lzma
import pickletools
import re
import zlib
from typing import Any, Final

import msgspec

from evertrain.runtime.pickle_imports import imports_of

__all__ = ["Contents", "is_pickle", "look_into"]

_OPENERS: Final[dict[bytes, Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"]\x00": lzma.open,
}
_ZLIB: Final = (b"x\x01", b"x^", b"x\x9c", b"x\xda")
_LZ4: Final = b"\x04\x22\x4d\x18"
_PROTOCOL_0: Final = re.compile(rb"c[A-Za-z_][\w.]*\n[A-Za-z_][\w.]*\n")
_NEWEST: Final = 5
_MARKED: Final = 8
"""So many instructions, or all up to an end, make a pickle of what begins with the mark of protocol 0 or 1."""
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
    | {
        "commands",
        "pickle",
        "_pickle",
        "cloudpickle",
        "dill",
        "marshal",
        "platform",
        "io",
        "_io",
        "signal",
        "threading",
    }
)
_BY_WAY: Final = frozenset(
    {"builtins", "__builtins__", "os", "posix", "nt", "subprocess", "sys", "socket", "shutil", "importlib", "runpy"}
    | {"ctypes", "pty", "pathlib", "multiprocessing"}
)
"""Modules that a library imports for its own use, and that a pickle may reach through it."""
_REACHING: Final = frozenset(
    {"system", "popen", "Popen", "check_call", "check_output", "getoutput", "exec", "eval", "execfile", "runstring"}
    | {"__import__", "import_module", "getattr", "setattr", "load", "loads", "read_pickle", "open", "memmap"}
)
"""Functions of that kind, under whatever module."""
_SIDE_DOORS: Final = ("numpy.testing.", "numpy.f2py.", "numpy.distutils.", "numpy.ctypeslib.", "joblib.externals.")
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
    def by_joblib(self) -> bool:
        """Whether it holds arrays as joblib writes them, which `pickle` alone cannot read."""
        return any(name.endswith("ArrayWrapper") for name in self.names)

    @property
    def libraries(self) -> tuple[str, ...]:
        """The packages that have to be installed."""
        return tuple(sorted({_root(name) for name in self.names} - _DANGEROUS - {"__main__"}))


def is_pickle(head: bytes) -> bool:
    """Whether a file that begins like this is a pickle of some protocol, or a compressed one.

    >>> is_pickle(b"\\x80\\x04K\\x01."), is_pickle(b"tree"), is_pickle(b"customer_id,plan\\nc1,pro\\n")
    (True, False, False)
    """
    if head.startswith((*_OPENERS, *_ZLIB, _LZ4)):
        inside = _first_of(head)
        return not inside or is_pickle(inside)
    if head[:1] == b"\x80":
        return head[1:2] <= bytes([_NEWEST])
    return _PROTOCOL_0.match(head) is not None or (head[:1] == b"(" and _opens(head))


def _opens(head: bytes) -> bool:
    """Whether these are instructions of protocol 0 or 1 behind a mark."""
    codes = pickletools.genops(io.BytesIO(head))
    try:
        return any(code.name == "STOP" or place == _MARKED for place, (code, _, _) in enumerate(codes))
    except (ValueError, UnicodeDecodeError, IndexError):
        return False


def _first_of(head: bytes) -> bytes:
    """What the first compressed bytes hold; b"" where so few do not tell."""
    try:
        if head.startswith((*_ZLIB, b"\x1f\x8b")):
            return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(head)
        if head.startswith((b"\xfd7zXZ", b"]\x00")):
            return lzma.LZMADecompressor().decompress(head)
    except (zlib.error, lzma.LZMAError):
        return b""
    return b""


def look_into(content: bytes) -> Contents:
    """What a pickle or joblib file imports, to its last byte: behind arrays too, and behind what looks like an end."""
    plain = _inflated(content)
    if plain is None:
        return Contents(names=(), whole=False)
    found = imports_of(plain)
    return Contents(names=tuple(sorted(found.names)), whole=found.whole)


def _inflated(content: bytes) -> bytes | None:
    """The instructions themselves; None when they cannot be had within the bound."""
    try:
        if content.startswith(_ZLIB):
            stream = zlib.decompressobj()
            plain = stream.decompress(content, _BIGGEST)
            return plain if stream.eof and not stream.unused_data else None
        for start, opened in _OPENERS.items():
            if content.startswith(start):
                with opened(io.BytesIO(content)) as file:
                    read: bytes = file.read(_BIGGEST + 1)
                return read if len(read) <= _BIGGEST else None
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return None
    return None if content.startswith(_LZ4) else content


def _root(name: str) -> str:
    return name.partition(".")[0]


def _is_dangerous(name: str) -> bool:
    root, *rest = name.split(".")
    if root in ("builtins", "__builtin__"):
        return ".".join(rest) not in _PLAIN_BUILTINS
    by_way = not _BY_WAY.isdisjoint(rest) or not _REACHING.isdisjoint(rest[-1:])
    return root in _DANGEROUS or by_way or name.startswith(_SIDE_DOORS)
