"""Tensors of the Open Inference Protocol as JSON and as bytes.

The bytes are Triton's binary tensor data extension, which its clients speak unless told otherwise:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
A body is then JSON, as long as the header Inference-Header-Content-Length says, and after it the data of each tensor
that has a parameter `binary_data_size`, in their order, little-endian and without gaps. A BYTES element is its length
in four bytes, and itself.
"""

import math
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType
from numpy.typing import NDArray

from evertrain.core.schema import Kind
from evertrain.deploy.column import Columns
from evertrain.errors import RequestError

__all__ = ["DATATYPES", "HEADER", "Tensor", "packed", "shared_out", "split", "values"]

HEADER: Final = b"inference-header-content-length"

DATATYPES: dict[Kind, tuple[str, ...]] = {
    "string": ("BYTES",),
    "float64": ("FP64", "FP32", "FP16", "BF16"),
    "int64": ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"),
    "bool": ("BOOL",),
    "timestamp": ("BYTES", "INT64"),
}
"""Which tensors fill a column without a value being changed; the first is what metadata tell."""

_RAW: Final = {
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    "BF16": "<u2",
    "BOOL": "<u1",
}
_RANGES: Final[dict[str, tuple[float, float]]] = {
    **{f"INT{bits}": (-(1 << bits - 1), (1 << bits - 1) - 1) for bits in (8, 16, 32)},
    **{f"UINT{bits}": (0, (1 << bits) - 1) for bits in (8, 16, 32, 64)},
    **{
        name: (-most, most)
        for name, beyond in (("FP16", 65_520.0), ("BF16", 2.0**128 - 2.0**119), ("FP32", 2.0**128 - 2.0**103))
        for most in (math.nextafter(beyond, 0.0),)
    },
}
"""The numbers that a datatype holds, for those that hold fewer than the column: of a float, all that are not rounded to
infinity."""
_LENGTH: Final = struct.Struct("<I")


class _Parameters(msgspec.Struct, frozen=True):
    binary_data_size: Annotated[int, Meta(ge=0)] | None = None
    shared_memory_region: str | None = None


class Tensor(msgspec.Struct, frozen=True):
    """An input as the JSON tells it: with its data, or with the size of the bytes that follow."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[Any] | UnsetType = UNSET
    parameters: _Parameters = _Parameters()


def split(body: bytes, announced: bytes | None) -> tuple[bytes, memoryview]:
    """The JSON of a body, and the bytes after it. announced: the value of HEADER, None where it was not sent.

    >>> head, rest = split(b'{}\\x01\\x02', b"2")
    >>> head, bytes(rest)
    (b'{}', b'\\x01\\x02')
    """
    if announced is None:
        return body, memoryview(b"")
    text = announced.decode("latin-1")
    length = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else -1
    if not 0 <= length <= len(body):
        raise RequestError(
            f"Inference-Header-Content-Length {text[:40]!r} is no length within the body of {len(body)} bytes.",
            "Say how many bytes of the body, before it is compressed, are JSON.",
            field="inference-header-content-length",
        )
    return body[:length], memoryview(body)[length:]


def shared_out(rest: memoryview, tensors: Sequence[Tensor]) -> list[memoryview | None]:
    """The bytes after the JSON, cut into each tensor's; None where it has its data in the JSON. None may be left."""
    found: list[memoryview | None] = []
    place = 0
    for tensor in tensors:
        if tensor.parameters.shared_memory_region is not None:
            raise RequestError(
                f"Column {tensor.name!r} lies in shared memory, which is not taken.",
                "Send its data with the request.",
                field=tensor.name,
            )
        size = tensor.parameters.binary_data_size
        if size is None:
            found.append(None)
            continue
        if tensor.data is not UNSET:
            raise RequestError(f"Column {tensor.name!r} has data twice.", "Send JSON or bytes.", field=tensor.name)
        found.append(rest[place : place + size])
        place += size
    if place != len(rest):
        raise RequestError(
            f"{len(rest)} bytes follow the JSON, but the inputs announce {place}.",
            "Let each binary_data_size be the size of its data, and the header the length of the JSON.",
            field="inputs",
        )
    return found


def values(tensor: Tensor, raw: memoryview | None, rows: int, columns: Columns) -> list[Any]:
    """The values of an input, one a row, after its name, datatype and shape were seen to fit its column.

    raw: its data, where it came as bytes.
    """
    column = columns.column(tensor.name)
    name, shape = tensor.name, tensor.shape
    allowed = DATATYPES[column.type]
    if tensor.datatype not in allowed:
        raise RequestError(
            f"Column {name!r} is a {column.type}; datatype {tensor.datatype!r} does not fit.",
            f"Send it as {' or '.join(allowed[:2])}.",
            field=name,
        )
    if shape not in {(rows,), (rows, 1)}:
        raise RequestError(
            f"Column {name!r} has shape {list(shape)}, but the first column has {rows} rows.",
            "Give all columns the shape [n] or [n, 1].",
            field=name,
        )
    data = _elements(tensor, raw) if raw is not None else _within(tensor, _flat(tensor))
    if len(data) != rows:
        raise RequestError(
            f"Column {name!r} holds {len(data)} values for {rows} rows.", "Send one value a row.", field=name
        )
    return data


def _flat(tensor: Tensor) -> list[Any]:
    name, data = tensor.name, tensor.data
    if data is UNSET:
        raise RequestError(f"Column {name!r} has no data.", "Send one value a row.", field=name)
    if len(tensor.shape) == 2 and data and type(data[0]) is list:
        if any(type(item) is not list or len(item) != 1 for item in data):
            raise RequestError(
                f"Column {name!r}: nested data must hold one value a row.", "Send [[a], [b]] or [a, b].", field=name
            )
        return [item[0] for item in data]
    return data


def _within(tensor: Tensor, data: list[Any]) -> list[Any]:
    """The data of the JSON, after each number was seen to be one of its datatype. What is no number is the column's."""
    low, high = _RANGES.get(tensor.datatype, (-math.inf, math.inf))
    if math.isinf(high) or not data:
        return data
    try:
        if low <= min(data) and max(data) <= high:
            return data
    except TypeError:
        pass  # a null, or what is no number, is among them: each is looked at
    for row, value in enumerate(data):
        if type(value) in (int, float) and not low <= value <= high:
            holds = f"{low:,} to {high:,}" if isinstance(low, int) else f"{low:.3g} to {high:.3g}"
            raise RequestError(
                f"Column {tensor.name!r}: element {row} is {value}, and {tensor.datatype} holds {holds}.",
                "Send numbers of the datatype, or name the datatype that they are of.",
                field=tensor.name,
            )
    return data


def _elements(tensor: Tensor, raw: memoryview) -> list[Any]:
    if tensor.datatype == "BYTES":
        return _texts(tensor.name, bytes(raw))
    kind = np.dtype(_RAW[tensor.datatype])
    if len(raw) % kind.itemsize:
        raise RequestError(
            f"Column {tensor.name!r}: {len(raw)} bytes are no whole number of {tensor.datatype}.",
            f"Send {kind.itemsize} bytes a row.",
            field=tensor.name,
        )
    found: NDArray[Any] = np.frombuffer(raw, kind)
    if tensor.datatype == "BF16":
        # The upper half of a float32.
        found = (found.astype("<u4") << 16).view("<f4")
    elif tensor.datatype == "BOOL":
        if found.size and found.max() > 1:
            raise RequestError(f"Column {tensor.name!r}: a BOOL is a byte of 0 or 1.", "Send those.", field=tensor.name)
        found = found.astype(np.bool_)
    listed: list[Any] = found.tolist()
    return listed


def _texts(name: str, raw: bytes) -> list[Any]:
    found: list[Any] = []
    place = 0
    while place < len(raw):
        end = place + _LENGTH.size
        size = _LENGTH.unpack_from(raw, place)[0] if end <= len(raw) else len(raw)
        place = end + size
        if place > len(raw):
            raise RequestError(
                f"Column {name!r}: element {len(found)} is longer than the data.",
                "Send each element as its length, in four bytes with the lowest first, and then its bytes.",
                field=name,
            )
        try:
            found.append(raw[end:place].decode())
        except UnicodeDecodeError as error:
            raise RequestError(
                f"Column {name!r}: element {len(found)} is no UTF-8.", "Send a text in UTF-8.", field=name
            ) from error
    return found


def packed(datatype: str, data: Sequence[Any]) -> bytes:
    """The data of an output as bytes.

    >>> packed("BYTES", ["ab"]), packed("FP64", [1.0])
    (b'\\x02\\x00\\x00\\x00ab', b'\\x00\\x00\\x00\\x00\\x00\\x00\\xf0?')
    """
    if datatype != "BYTES":
        return np.array(data, _RAW[datatype]).tobytes()
    texts = [text.encode() for text in data]
    return b"".join([part for text in texts for part in (_LENGTH.pack(len(text)), text)])
