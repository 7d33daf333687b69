"""The forms that requests and answers take: the Open Inference Protocol V2, and plain records.

V2: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
Tensors are columns, by name: one input a column, of shape [n] or [n, 1], its data flat or nested as the shape says, or
bytes (`deploy.tensor`).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from evertrain.core.model import Manifest, Output
from evertrain.core.prediction import Predicted
from evertrain.core.schema import Value
from evertrain.deploy.body import Limits, bound_rows, decode
from evertrain.deploy.column import Columns
from evertrain.deploy.tensor import DATATYPES, Tensor, packed, shared_out, split, values
from evertrain.errors import RequestError

__all__ = [
    "Asked",
    "Rendered",
    "metadata",
    "read_infer",
    "render_infer",
    "render_records",
]

PREDICTION_ID = "prediction_id"
CLASS = "class"
SCORES = "scores"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request, read and checked: rows in the schema's order.

    outputs: names asked for, () for all. binary: those of the outputs that are to be sent as bytes.
    """

    rows: list[tuple[Value, ...]]
    id: str = ""
    outputs: tuple[str, ...] = ()
    binary: frozenset[str] = frozenset()


class Rendered(msgspec.Struct, frozen=True):
    """A V2 response. json: how many bytes of the body are JSON, None where all are."""

    body: bytes
    json: int | None = None


class _OutputParameters(msgspec.Struct, frozen=True):
    binary_data: bool | None = None
    shared_memory_region: str | None = None


class _Output(msgspec.Struct, frozen=True):
    name: str
    parameters: _OutputParameters = _OutputParameters()


class _Parameters(msgspec.Struct, frozen=True):
    binary_data_output: bool = False


class _Infer(msgspec.Struct):
    inputs: list[Tensor]
    id: str = ""
    outputs: list[_Output] = []
    parameters: _Parameters = _Parameters()


_infer = msgspec.json.Decoder(_Infer)
_encoder = msgspec.json.Encoder()


# Open Inference Protocol ---------------------------------------------------------------------------------------------


def read_infer(
    body: bytes, columns: Columns, output: Output, limits: Limits, json_length: bytes | None = None
) -> Asked:
    """A V2 inference request. json_length: the header `tensor.HEADER`, None where it was not sent."""
    head, rest = split(body, json_length)
    asked = decode(head, _infer, limits.max_nesting)
    if not asked.inputs:
        raise RequestError("There are no inputs.", "Send one input a column.", field="inputs")
    raws = shared_out(rest, asked.inputs)
    rows = asked.inputs[0].shape[0] if asked.inputs[0].shape else 0
    bound_rows(rows, limits, "inputs")
    found: dict[str, list[Value]] = {}
    for tensor, raw in zip(asked.inputs, raws, strict=True):
        if tensor.name in found:
            raise RequestError(f"Column {tensor.name!r} comes twice.", "Send it once.", field=tensor.name)
        found[tensor.name] = columns.values(tensor.name, values(tensor, raw, rows, columns))
    for name in columns.missing(found):
        found[name] = columns.values(name, [None] * rows)
    names, binary = _wanted(asked, output)
    ordered = [found[name] for name in columns.names]
    return Asked(rows=list(zip(*ordered, strict=True)), id=asked.id, outputs=names, binary=binary)


def _wanted(asked: _Infer, output: Output) -> tuple[tuple[str, ...], frozenset[str]]:
    """The names of the outputs that are asked for, () for all, and those of them that are sent as bytes."""
    there, everywhere = _outputs(output), asked.parameters.binary_data_output
    for item in asked.outputs:
        if item.name not in there:
            raise RequestError(
                f"There is no output {item.name!r}.", f"The outputs are {', '.join(there)}.", field="outputs"
            )
        if item.parameters.shared_memory_region is not None:
            raise RequestError(
                f"Output {item.name!r} is wanted in shared memory, which is not given.",
                "Take it from the response.",
                field="outputs",
            )
    if not asked.outputs:
        return (), frozenset(there) if everywhere else frozenset()
    said = {item.name: item.parameters.binary_data for item in asked.outputs}
    return tuple(said), frozenset(name for name, one in said.items() if one or (one is None and everywhere))


def _outputs(output: Output) -> dict[str, tuple[str, list[int]]]:
    """Datatype and shape, of which the first axis is the rows, of each tensor that is answered, by name."""
    classes = {CLASS: ("BYTES", [-1]), SCORES: ("FP64", [-1, len(output.names)])} if output.names else {}
    return {output.name: ("FP64", [-1]), **classes, PREDICTION_ID: ("BYTES", [-1])}


def render_infer(asked: Asked, manifest: Manifest, answers: Sequence[Predicted]) -> Rendered:
    """A V2 inference response."""
    output = manifest.output
    data: dict[str, list[Any]] = {
        output.name: [answer.score for answer in answers],
        PREDICTION_ID: [answer.id for answer in answers],
    }
    if output.names:
        data[CLASS] = [_class(answer, output) for answer in answers]
        data[SCORES] = [probability for answer in answers for probability in answer.scores]
    outputs, tail = [], []
    for name, (datatype, shape) in _outputs(output).items():
        if asked.outputs and name not in asked.outputs:
            continue
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [len(answers), *shape[1:]]}
        parameters: dict[str, Any] = {"classes": output.names} if name == SCORES else {}
        if name in asked.binary:
            tail.append(packed(datatype, data[name]))
            parameters["binary_data_size"] = len(tail[-1])
        else:
            tensor["data"] = data[name]
        if parameters:
            tensor["parameters"] = parameters
        outputs.append(tensor)
    response: dict[str, Any] = {
        "model_name": answers[0].service,
        "model_version": answers[0].version,
        "outputs": outputs,
    }
    if asked.id:
        response["id"] = asked.id
    head = _encoder.encode(response)
    return Rendered(b"".join([head, *tail]), len(head)) if tail else Rendered(head)


def metadata(manifest: Manifest) -> bytes:
    """The V2 metadata of a service as it is answered now."""
    inputs = [
        {"name": column.name, "datatype": DATATYPES[column.type][0], "shape": [-1]}
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
