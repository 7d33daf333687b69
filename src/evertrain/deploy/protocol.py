"""The forms that requests and answers take: the Open Inference Protocol V2, plain records, and labels.

V2: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
Tensors are columns, by name: one input a column, of shape [n] or [n, 1], its data flat or nested as the shape says.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from evertrain.core.cohort import entity_key
from evertrain.core.identity import ServiceName
from evertrain.core.model import Manifest
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.schema import Kind, Value
from evertrain.core.time import Instant, parse_instant
from evertrain.deploy.body import decode, refuse_repeated
from evertrain.deploy.column import Columns
from evertrain.errors import RequestError, TooLargeError

__all__ = ["Asked", "Limits", "metadata", "read_infer", "read_labels", "read_records", "render_infer", "render_records"]

PREDICTION_ID = "prediction_id"

_DATATYPES: dict[Kind, tuple[str, ...]] = {
    "string": ("BYTES",),
    "float64": ("FP64", "FP32", "FP16"),
    "int64": ("INT64", "INT32", "INT16", "INT8", "UINT32", "UINT16", "UINT8"),
    "bool": ("BOOL",),
    "timestamp": ("BYTES", "INT64"),
}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one request. max_nesting: levels of its JSON."""

    max_rows: int = 10_000
    max_nesting: int = 32


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request, read and checked: rows in the schema's order. outputs: names asked for, () for all."""

    rows: list[tuple[Value, ...]]
    id: str = ""
    outputs: tuple[str, ...] = ()


class _Tensor(msgspec.Struct):
    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[Any]


class _Output(msgspec.Struct):
    name: str


class _Infer(msgspec.Struct):
    inputs: list[_Tensor]
    id: str = ""
    outputs: list[_Output] = []


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    value: float | bool
    prediction_id: str = ""
    key: str | int | list[str | int | float | bool | None] = ""
    known_at: str | int | None = None


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[_Label]


_infer = msgspec.json.Decoder(_Infer)
_records: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_labels = msgspec.json.Decoder(_Labels)
_encoder = msgspec.json.Encoder()


# Open Inference Protocol ---------------------------------------------------------------------------------------------


def read_infer(body: bytes, columns: Columns, output: str, limits: Limits) -> Asked:
    """A V2 inference request."""
    asked = decode(body, _infer, limits.max_nesting)
    if not asked.inputs:
        raise RequestError("There are no inputs.", "Send one input a column.", field="inputs")
    rows = asked.inputs[0].shape[0] if asked.inputs[0].shape else 0
    _bound_rows(rows, limits, "inputs")
    found: dict[str, list[Value]] = {}
    for tensor in asked.inputs:
        if tensor.name in found:
            raise RequestError(f"Column {tensor.name!r} comes twice.", "Send it once.", field=tensor.name)
        found[tensor.name] = columns.values(tensor.name, _flat(tensor, rows, columns))
    for name in columns.missing(found):
        found[name] = columns.values(name, [None] * rows)
    names = tuple(item.name for item in asked.outputs)
    for name in names:
        if name not in {output, PREDICTION_ID}:
            raise RequestError(
                f"There is no output {name!r}.", f"The outputs are {output}, {PREDICTION_ID}.", field="outputs"
            )
    ordered = [found[name] for name in columns.names]
    return Asked(rows=list(zip(*ordered, strict=True)), id=asked.id, outputs=names)


def _flat(tensor: _Tensor, rows: int, columns: Columns) -> list[Any]:
    """The data of a tensor, one value a row, after its name, datatype and shape were seen to fit."""
    column = columns.column(tensor.name)
    name, shape, data = tensor.name, tensor.shape, tensor.data
    allowed = _DATATYPES[column.type]
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
    if len(shape) == 2 and data and type(data[0]) is list:
        if any(type(item) is not list or len(item) != 1 for item in data):
            raise RequestError(
                f"Column {name!r}: nested data must hold one value a row.", "Send [[a], [b]] or [a, b].", field=name
            )
        data = [item[0] for item in data]
    if len(data) != rows:
        raise RequestError(
            f"Column {name!r} holds {len(data)} values for {rows} rows.", "Send one value a row.", field=name
        )
    return data


def render_infer(asked: Asked, manifest: Manifest, answers: Sequence[Predicted]) -> bytes:
    """A V2 inference response."""
    rows = len(answers)
    outputs = [
        {
            "name": manifest.output.name,
            "datatype": "FP64",
            "shape": [rows],
            "data": [answer.score for answer in answers],
        },
        {"name": PREDICTION_ID, "datatype": "BYTES", "shape": [rows], "data": [answer.id for answer in answers]},
    ]
    if asked.outputs:
        outputs = [output for output in outputs if output["name"] in asked.outputs]
    response: dict[str, Any] = {
        "model_name": answers[0].service,
        "model_version": answers[0].version,
        "outputs": outputs,
    }
    if asked.id:
        response["id"] = asked.id
    return _encoder.encode(response)


def metadata(manifest: Manifest) -> bytes:
    """The V2 metadata of a service as it is answered now."""
    inputs = [
        {"name": column.name, "datatype": _DATATYPES[column.type][0], "shape": [-1]}
        for column in manifest.inputs.columns
    ]
    outputs = [
        {"name": manifest.output.name, "datatype": "FP64", "shape": [-1]},
        {"name": PREDICTION_ID, "datatype": "BYTES", "shape": [-1]},
    ]
    return _encoder.encode(
        {
            "name": manifest.service,
            "versions": [manifest.version],
            "platform": f"evertrain_{manifest.format}",
            "inputs": inputs,
            "outputs": outputs,
        }
    )


# Plain records -------------------------------------------------------------------------------------------------------


def read_records(body: bytes, columns: Columns, limits: Limits) -> Asked:
    """`{"rows": [{...}, ...]}`, or one record as the whole body."""
    asked = decode(body, _records, limits.max_nesting)
    records = asked.get("rows")
    if type(records) is not list:
        refuse_repeated(body, len(asked))
        return Asked(rows=[columns.row(asked)])
    if len(asked) > 1:
        other = next(name for name in asked if name != "rows")
        raise RequestError(f"There is {other!r} beside rows.", "Send rows alone.", field=other)
    _bound_rows(len(records), limits, "rows")
    refuse_repeated(body, 1 + sum(len(record) for record in records if type(record) is dict))
    rows = []
    for number, record in enumerate(records):
        if type(record) is not dict:
            raise RequestError(
                f"Row {number} is not an object.", 'Send {"column": value, ...}.', field=f"rows[{number}]"
            )
        try:
            rows.append(columns.row(record))
        except RequestError as error:
            raise RequestError(f"Row {number}: {error.what}", error.remedy, field=error.field) from error
    return Asked(rows=rows)


def render_records(answers: Sequence[Predicted]) -> bytes:
    """`{"predictions": [{"id", "score", "version"}, ...]}`, in the order of the rows."""
    return _encoder.encode(
        {"predictions": [{"id": answer.id, "score": answer.score, "version": answer.version} for answer in answers]}
    )


# Labels --------------------------------------------------------------------------------------------------------------


def read_labels(body: bytes, service: ServiceName, received: Instant, limits: Limits) -> list[Labelled]:
    """`{"labels": [{"prediction_id" or "key", "value", "known_at"}, ...]}`; a key of several columns is a list."""
    labels = decode(body, _labels, limits.max_nesting).labels
    _bound_rows(len(labels), limits, "labels")
    return [_labelled(label, number, service, received) for number, label in enumerate(labels)]


def _labelled(label: _Label, number: int, service: ServiceName, received: Instant) -> Labelled:
    key = _key(label.key)
    if (key == "") == (label.prediction_id == ""):
        raise RequestError(
            f"Label {number} names {'neither a prediction nor a key' if key == '' else 'a prediction and a key'}.",
            "Send one of prediction_id and key.",
            field=f"labels[{number}]",
        )
    return Labelled(
        service=service,
        prediction=label.prediction_id,
        key=key,
        value=float(label.value),
        known=_known(label.known_at, number, received),
        received=received,
    )


def _key(key: str | int | list[str | int | float | bool | None]) -> str:
    if isinstance(key, str):
        return key
    return entity_key(key if isinstance(key, list) else [key])


def _known(known_at: str | int | None, number: int, received: Instant) -> Instant:
    if known_at is None:
        return received
    if isinstance(known_at, int):
        return Instant(known_at)
    try:
        return parse_instant(known_at)
    except (ValueError, OverflowError) as error:
        raise RequestError(
            f"Label {number}: known_at: {error}.", "Send ISO 8601 with an offset.", field=f"labels[{number}].known_at"
        ) from error


def _bound_rows(rows: int, limits: Limits, field: str) -> None:
    if rows < 1:
        raise RequestError(f"There are no {field}.", "Send at least one row.", field=field)
    if rows > limits.max_rows:
        raise TooLargeError(f"{rows} rows are over the limit of {limits.max_rows}.", "Send fewer rows.", field=field)
