"""What an ONNX file says of its inputs and outputs, read from its bytes without the library that would run it.

An ONNX file is a protocol buffer; the numbers of its fields stand in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
and never change. Only the fields named here are looked at.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from evertrain.core.model import Output
from evertrain.core.schema import Column, Input, Kind
from evertrain.errors import ModelError
from evertrain.runtime.classes import output_of
from evertrain.runtime.description import Description

__all__ = ["OnnxFile", "Tensor", "describe_onnx", "is_onnx", "read_onnx"]

_GRAPH, _IR_VERSION = 7, 1
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12
_ATTRIBUTE: Final = 5
_NAMED: Final = frozenset({"classlabels_strings", "classlabels_int64s", "classlabels_ints"})
_KINDS: Final[dict[int, Kind]] = {1: "float64", 11: "float64", 6: "int64", 7: "int64", 8: "string", 9: "bool"}
"""Element types that a column may have: float, double, int32, int64, string, bool."""

_EXTERNAL: Final = 1
_LONGEST: Final = 10_000
"""Columns of one matrix; a wider one is an image or a text, not a row of a table."""


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """One input or output of a graph.

    element: ONNX's number of the type, 0 for what is no tensor. shape: None where a length is open.
    """

    name: str
    element: int
    shape: tuple[int | None, ...]

    @property
    def width(self) -> int | None:
        """Columns of a matrix of rows; a vector of rows has one; None where it is open, or it is neither."""
        return 1 if len(self.shape) < 2 else self.shape[1] if len(self.shape) == 2 else None


class OnnxFile(msgspec.Struct, frozen=True, kw_only=True):
    """operators: the types of the graph's nodes. classes: as its classifier names them, () where it does not."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: frozenset[str]
    classes: tuple[str | int, ...] = ()


def is_onnx(content: bytes) -> bool:
    """Whether these are the bytes of an ONNX model.

    >>> is_onnx(b"tree"), is_onnx(b"")
    (False, False)
    """
    try:
        fields = dict(_fields(content))
    except ModelError:
        return False
    return isinstance(fields.get(_IR_VERSION), int) and isinstance(fields.get(_GRAPH), bytes)


def read_onnx(name: str, content: bytes) -> OnnxFile:
    """The inputs and outputs of a model; ModelError when it is cut off, or keeps its weights elsewhere."""
    try:
        graph = next(value for number, value in _fields(content) if number == _GRAPH and isinstance(value, bytes))
        parts: dict[int, list[bytes]] = {}
        for number, value in _fields(graph):
            if isinstance(value, bytes):
                parts.setdefault(number, []).append(value)
        weights = [_weights(part) for part in parts.get(_INITIALIZER, [])]
        inputs = tuple(map(_tensor, parts.get(_INPUT, [])))
        outputs = tuple(map(_tensor, parts.get(_OUTPUT, [])))
        operators = frozenset(_text(part, 4) for part in parts.get(_NODE, []))
        classes = _classes(parts.get(_NODE, []), outputs)
    except (ModelError, StopIteration, UnicodeDecodeError) as error:
        raise ModelError(f"{name} is not a whole ONNX model: {error}.", "Export it again.") from error
    if any(external for _, external in weights):
        raise ModelError(
            f"{name} keeps its weights in other files.", "Save it as one file: onnx.save(model, path) does."
        )
    given = {weight for weight, _ in weights}
    return OnnxFile(
        inputs=tuple(one for one in inputs if one.name not in given),
        outputs=outputs,
        operators=operators,
        classes=classes,
    )


def describe_onnx(name: str, content: bytes) -> Description:
    """Its columns: one for each input of one column, or numbered ones for a matrix."""
    told = read_onnx(name, content)
    strange = [one.name for one in told.inputs if one.element not in _KINDS or len(one.shape) > 2]
    if strange or not told.inputs:
        raise ModelError(
            f"{name} takes {', '.join(strange) or 'nothing'}, which is no column or matrix of numbers or texts.",
            "Export a model of rows of a table.",
        )
    first = told.inputs[0]
    matrix = len(told.inputs) == 1 and first.width != 1
    if matrix and (first.width is None or first.width > _LONGEST):
        return Description()
    if matrix:
        names, kinds = [f"{first.name}{place}" for place in range(first.width or 0)], [_KINDS[first.element]]
        kinds *= len(names)
    else:
        _refuse_matrices(name, told)
        names, kinds = [one.name for one in told.inputs], [_KINDS[one.element] for one in told.inputs]
    floats = {"float64"}
    columns = tuple(
        Column(name=column, type=kind, nullable=kind in floats) for column, kind in zip(names, kinds, strict=True)
    )
    return Description(
        width=len(names),
        columns=columns,
        vector=tuple(Input(name=column) for column in names),
        generic=matrix,
        output=_output(name, told),
        text="string" in kinds,
    )


def _refuse_matrices(name: str, told: OnnxFile) -> None:
    wide = [one.name for one in told.inputs if one.width != 1]
    if wide:
        raise ModelError(
            f"{name} takes {len(told.inputs)} inputs, and {wide[0]!r} among them has several columns.",
            "Export it with one matrix, or with one input for each column.",
        )


def _output(name: str, told: OnnxFile) -> Output:
    """A classifier has two outputs, the label and the probabilities; whatever else there is gives a value.

    Classes that the graph does not name are numbered.
    """
    classifies = len(told.outputs) >= 2 or any("Classifier" in one for one in told.operators)
    squashed = bool(told.operators & {"Sigmoid", "Softmax"}) and not any("Regressor" in one for one in told.operators)
    if not classifies and not squashed:
        return Output.of_values()
    numbers = [one for one in told.outputs if one.element in (1, 11)]
    width = numbers[0].width if len(numbers) == 1 else None
    return output_of(name, told.classes or range(width or 0))


def _classes(nodes: Sequence[bytes], outputs: Sequence[Tensor]) -> tuple[str | int, ...]:
    """By the map that names the probabilities, else by the classifier.

    A graph whose label is a text, but whose classifier numbers its classes, names them in a way of its exporter's.
    """
    found: dict[str, tuple[str | int, ...]] = {}
    for node in nodes:
        for number, attribute in _fields(node):
            if number == _ATTRIBUTE and isinstance(attribute, bytes) and _text(attribute, 1) in _NAMED:
                texts = [
                    value.decode() for field, value in _fields(attribute) if field == 9 and isinstance(value, bytes)
                ]
                found[_text(node, 4)] = tuple(texts or _integers(attribute))
    told = found.get("ZipMap") or next((one for one in found.values() if one), ())
    is_text = any(one.element == 8 for one in outputs)
    return () if is_text and all(isinstance(one, int) for one in told) else told


def _integers(attribute: bytes) -> list[int]:
    """Signed integers of 64 bits, one by one or packed."""
    found: list[int] = []
    for field, value in _fields(attribute):
        if field != 8:
            continue
        place, packed = 0, value if isinstance(value, bytes) else b""
        found += [] if isinstance(value, bytes) else [value]
        while place < len(packed):
            one, place = _varint(packed, place)
            found.append(one)
    return [one - (1 << 64) if one >= 1 << 63 else one for one in found]


# Protocol buffers -----------------------------------------------------------------------------------------------------


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message, in order; ModelError when the bytes are no message."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ModelError(f"no field begins at byte {place}")
        if wire == 0:
            value, place = _varint(content, place)
            yield number, value
            continue
        if wire == 2:
            size, place = _varint(content, place)
        else:
            size = {1: 8, 5: 4}.get(wire, len(content) + 1)
        if place + size > len(content):
            raise ModelError(f"it is cut off at byte {place}")
        yield number, content[place : place + size]
        place += size


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(content) and shift < 64:
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
    raise ModelError(f"it is cut off at byte {place}")


def _part(message: bytes, number: int) -> bytes:
    return next((value for found, value in _fields(message) if found == number and isinstance(value, bytes)), b"")


def _number(message: bytes, number: int) -> int | None:
    return next((value for found, value in _fields(message) if found == number and isinstance(value, int)), None)


def _text(message: bytes, number: int) -> str:
    return _part(message, number).decode()


def _weights(initializer: bytes) -> tuple[str, bool]:
    """The name of a weight, and whether its numbers are in another file."""
    return _text(initializer, 8), _number(initializer, 14) == _EXTERNAL


def _tensor(info: bytes) -> Tensor:
    tensor = _part(_part(info, 2), 1)
    shape = [value for number, value in _fields(_part(tensor, 2)) if number == 1 and isinstance(value, bytes)]
    return Tensor(
        name=_text(info, 1),
        element=_number(tensor, 1) or 0,
        shape=tuple(_number(dimension, 1) for dimension in shape),
    )
