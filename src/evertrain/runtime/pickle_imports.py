"""What a pickle would import, found by going through all of its instructions with stand-ins for everything it names.

Nothing is imported and nothing is called: whatever the pickle names is replaced by an inert class, so that what it
makes of it is inert too. A joblib file is a pickle with the bytes of arrays between its instructions, and with whole
pickles in place of arrays of objects; both stand where the instructions say so, and are read here as joblib does.
"""

import io
import math
import pickle
import re
import struct
from collections.abc import Iterator
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np

__all__ = ["Imports", "imports_of"]

_WRAPPERS: Final = ("joblib.numpy_pickle.NumpyArrayWrapper", "sklearn.externals.joblib.numpy_pickle.NumpyArrayWrapper")
_DTYPE: Final = "numpy.dtype"
_PLAIN: Final = re.compile(r"[biufcmMSUV]\d+")
_OBJECTS: Final = ("O", "O8", "O4")
_HAS_OBJECTS: Final = 1
"""NPY_ITEM_REFCOUNT: the flag of a dtype that holds Python objects."""

_BROKEN: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
)
"""What a damaged or hostile pickle may end in."""

_NAME: Final = rb"[A-Za-z_][\w.]{0,200}"
_GLOBAL: Final = re.compile(rb"[ci](%b)\r?\n(%b)\r?\n" % (_NAME, _NAME))
_KEPT: Final = rb"(?:\x94|q.|r....)?"
_TEXT: Final = rb"(?:\x8c.|X....)(%b)" % _NAME + _KEPT
_STACK_GLOBAL: Final = re.compile(_TEXT + _TEXT + rb"\x93", re.DOTALL)


class Imports(NamedTuple):
    """names: "module.name" of everything that is imported. whole: whether nothing could have stayed hidden."""

    names: frozenset[str]
    whole: bool


def imports_of(content: bytes) -> Imports:
    """Go through a plain pickle or joblib file to its last byte, also where something stands behind its end.

    Where the instructions cannot be followed, whatever looks like an import in any of the bytes is named as well.
    """
    file = io.BytesIO(content)
    names: set[str] = set()
    whole = bool(content)
    try:
        while file.tell() < len(content):
            reader = _JoblibReader(file, names)
            reader.load()
            whole = whole and not reader.lost
    except _BROKEN:
        whole = False
    if not whole:
        names.update(_glimpsed(content))
    return Imports(frozenset(names), whole)


def _glimpsed(content: bytes) -> Iterator[str]:
    """Pairs of names that stand together as an import does; an array's bytes can look so by chance, hardly ever do."""
    for pattern in (_GLOBAL, _STACK_GLOBAL):
        for match in pattern.finditer(content):
            yield f"{match[1].decode('ascii', 'replace')}.{match[2].decode('ascii', 'replace')}"


class _StandIn:
    """Whatever a pickle names, calls or makes: it takes everything and does nothing, but it remembers its making.

    Raises UnpicklingError when it is given an array's wrapper: whatever it stands for might make an array of it, out of
    sight, and the bytes that follow would be read otherwise than here.
    """

    named: ClassVar[str] = ""
    made_from: tuple[Any, ...]
    states: tuple[Any, ...]

    def __new__(cls, *given: Any, **named: Any) -> "_StandIn":
        _refuse_wrapper((given, named))
        made = object.__new__(cls if _is_class(cls) else _StandIn)  # an instance may stand where a class belongs
        made.made_from, made.states = given, ()
        return made

    def __init__(self, *given: Any, **named: Any) -> None: ...

    def __call__(self, *given: Any) -> "_StandIn":
        return _StandIn(*given)

    def __setstate__(self, state: Any) -> None:
        _refuse_wrapper(state)
        self.states = (*self.states, state)

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def append(self, value: Any) -> None: ...

    def extend(self, values: Any) -> None: ...

    def add(self, value: Any) -> None: ...


def _is_class(value: object) -> bool:
    return isinstance(value, type)


def _refuse_wrapper(value: Any) -> None:
    """Raise UnpicklingError when an array's wrapper, or its class, is anywhere in these containers."""
    waiting, seen = [value], set[int]()
    while waiting:
        one = waiting.pop()
        if getattr(one, "named", "") in _WRAPPERS:
            raise pickle.UnpicklingError("an array that is made out of sight")
        if isinstance(one, (dict, tuple, list, set, frozenset)) and id(one) not in seen:
            seen.add(id(one))
            waiting.extend((*one.keys(), *one.values()) if isinstance(one, dict) else one)


class _Reader(pickle._Unpickler):  # noqa: SLF001 - joblib builds on it, and so reads alike
    """The reader in Python, with a stand-in for each name. lost: what follows may be read otherwise elsewhere."""

    def __init__(self, file: io.BytesIO, names: set[str]) -> None:
        super().__init__(file)
        self.lost = False
        self._file = file
        self._names = names
        self._made: dict[str, type[_StandIn]] = {}

    def find_class(self, module: str, name: str) -> Any:
        whole = f"{module}.{name}"
        self._names.add(whole)
        if whole.endswith("ArrayWrapper") and whole not in _WRAPPERS:
            self.lost = True  # another name for what reads bytes from the file, or from another one
        if whole not in self._made:
            self._made[whole] = type("_Named", (_StandIn,), {"named": whole})
        return self._made[whole]


_BUILD: Final[Any] = _Reader.dispatch[pickle.BUILD[0]]


class _JoblibReader(_Reader):
    """Reads an array where joblib would: as soon as the state of its wrapper is set."""

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = dict(_Reader.dispatch)

    def load_build(self) -> None:
        _BUILD(self)
        made = self.stack[-1]
        if isinstance(made, _StandIn) and made.named in _WRAPPERS:
            self.stack[-1] = _StandIn()
            self._read_array(made)

    dispatch[pickle.BUILD[0]] = load_build

    def _read_array(self, wrapper: _StandIn) -> None:
        stated: dict[str, Any] = {}
        for state in wrapper.states:
            stated |= state
        size, shape = _item_size(stated["dtype"]), stated["shape"]
        if size is None:
            inner = _Reader(self._file, self._names)
            inner.load()
            self.lost = self.lost or inner.lost
            return
        if type(shape) is not tuple or any(type(length) is not int for length in shape):
            raise ValueError("no shape")
        if stated.get("numpy_array_alignment_bytes") is not None:
            self._skip(self._skip(1)[0])
        self._skip(math.prod(shape) * size)

    def _skip(self, count: int) -> bytes:
        there = self._file.read(max(count, 0))
        if len(there) != count:
            raise EOFError
        return there


def _item_size(dtype: Any) -> int | None:
    """Bytes of an item; None where the array is a pickle, because its items are objects.

    Raises ValueError for a type that numpy might understand otherwise than it is read here.
    """
    if not (isinstance(dtype, _StandIn) and dtype.named == _DTYPE and len(dtype.states) == 1):
        raise ValueError("no type of numpy's")
    code, [state] = dtype.made_from[0], dtype.states
    if code in _OBJECTS:
        return None
    if not (isinstance(code, str) and _PLAIN.fullmatch(code)):
        raise ValueError("no plain type")
    size = np.dtype(code).itemsize
    _, _, inner, names, fields, stated, _, flags, *_ = state
    if inner is not None or stated not in (-1, size):
        raise ValueError("a type within a type")
    if names is not None or fields is not None:
        sizes = [_item_size(field[0]) for field in fields.values()]
        if code[0] != "V" or flags & _HAS_OBJECTS or None in sizes:
            raise ValueError("a record that holds objects")
    return size
