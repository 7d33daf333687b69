"""The forms that requests and answers take: the Open Inference Protocol V2, and plain records.

V2: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
Tensors are columns, by name: one input a column, of shape [n] or [n, 1], its data flat or nested as the shape says.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from evertrain.core.model import Manifest, Output
from evertrain.core.prediction import Predicted
from evertrain.core.schema import Kind, Value
from evertrain.deploy.body import decode, refuse_repeated
from evertrain.deploy.column import Columns
from evertrain.errors import RequestError, TooLargeError

__all__ = ["Asked", "Limits", "bound_rows", "metadata", "read_infer", "read_records", "render_infer", "render_records"]

PREDICTION_ID = "prediction_id"
CLASS = "class"
SCORES = "scores"

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


_infer = msgspec.json.Decoder(_Infer)
_records: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


# Open Inference Protocol ---------------------------------------------------------------------------------------------


def read_infer(body: bytes, columns: Columns, output: Output, limits: Limits) -> Asked:
    """A V2 inference request."""
    asked = decode(body, _infer, limits.max_nesting)
    if not asked.inputs:
        raise RequestError("There are no inputs.", "Send one input a column.", field="inputs")
    rows = asked.inputs[0].shape[0] if asked.inputs[0].shape else 0
    bound_rows(rows, limits, "inputs")
    found: dict[str, list[Value]] = {}
    for tensor in asked.inputs:
        if tensor.name in found:
            raise RequestError(f"Column {tensor.name!r} comes twice.", "Send it once.", field=tensor.name)
        found[tensor.name] = columns.values(tensor.name, _flat(tensor, rows, columns))
    for name in columns.missing(found):
        found[name] = columns.values(name, [None] * rows)
    names = tuple(item.name for item in asked.outputs)
    for name in names:
        if name not in _outputs(output):
            raise RequestError(
                f"There is no output {name!r}.", f"The outputs are {', '.join(_outputs(output))}.", field="outputs"
            )
    ordered = [found[name] for name in columns.names]
    return Asked(rows=list(zip(*ordered, strict=True)), id=asked.id, outputs=names)


def _outputs(output: Output) -> dict[str, tuple[str, list[int]]]:
    """Datatype and shape, of which the first axis is the rows, of each tensor that is answered, by name."""
    classes = {CLASS: ("BYTES", [-1]), SCORES: ("FP64", [-1, len(output.names)])} if output.names else {}
    return {output.name: ("FP64", [-1]), **classes, PREDICTION_ID: ("BYTES", [-1])}


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
    output = manifest.output
    data: dict[str, list[Any]] = {
        output.name: [answer.score for answer in answers],
        PREDICTION_ID: [answer.id for answer in answers],
    }
    if output.names:
        data[CLASS] = [_class(answer, output) for answer in answers]
        data[SCORES] = [probability for answer in answers for probability in answer.scores]
    outputs: list[dict[str, Any]] = [
        {"name": name, "datatype": datatype, "shape": [len(answers), *shape[1:]], "data": data[name]}
        for name, (datatype, shape) in _outputs(output).items()
        if not asked.outputs or name in asked.outputs
    ]
    for tensor in outputs:
        if tensor["name"] == SCORES:
            tensor["parameters"] = {"classes": output.names}
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
        {"name": name, "datatype": datatype, "shape": shape}
        for name, (datatype, shape) in _outputs(manifest.output).items()
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
    bound_rows(len(records), limits, "rows")
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


def render_records(answers: Sequence[Predicted], output: Output) -> bytes:
    """`{"predictions": [{"id", "score", "version"}, ...]}`, in the order of the rows.

    With classes each has the most probable "class", whose probability is the score, and the "scores" of all by name.
    """
    return _encoder.encode({"predictions": [_record(answer, output) for answer in answers]})


def _record(answer: Predicted, output: Output) -> dict[str, Any]:
    found: dict[str, Any] = {"id": answer.id, "score": answer.score, "version": answer.version}
    if output.names:
        found[CLASS] = _class(answer, output)
        found[SCORES] = dict(zip(output.names, answer.scores, strict=True))
    return found


def _class(answer: Predicted, output: Output) -> str:
    return output.names[answer.scores.index(answer.score)]


def bound_rows(rows: int, limits: Limits, field: str) -> None:
    """RequestError or TooLargeError for a request of none, or of more than may be sent at once."""
    if rows < 1:
        raise RequestError(f"There are no {field}.", "Send at least one row.", field=field)
    if rows > limits.max_rows:
        raise TooLargeError(f"{rows} rows are over the limit of {limits.max_rows}.", "Send fewer rows.", field=field)
