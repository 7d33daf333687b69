"""ONNX models, by onnxruntime on one thread. Custom operators are not registered, so nothing but ONNX's own ops run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evertrain.core.model import Output
from evertrain.core.schema import Input, Value
from evertrain.errors import ModelError
from evertrain.runtime.classes import Arrangement, refuse_number
from evertrain.runtime.naming import name_of
from evertrain.runtime.onnx_file import OnnxFile, read_onnx
from evertrain.runtime.protocol import Codec

__all__ = ["OnnxModel"]

_FEEDS: Final[dict[int, Any]] = {1: np.float32, 11: np.float64, 6: np.int32, 7: np.int64, 8: np.object_, 9: np.bool_}
_QUIET: Final = 4


class OnnxModel:
    """A graph that takes one matrix of all columns, or one input for each column; it gives a row one score, or several.

    Rows are answered one by one: a matrix product may round the same row differently in a batch. The score is the
    probability of the second class where the graph gives two, else its one number. Of classes that the graph names
    each probability goes to the class of its name; a graph that names none gives them in the order of the output.
    """

    def __init__(self, path: Path, vector: Sequence[Input], output: Output) -> None:
        content = path.read_bytes()
        self._told = read_onnx(name_of(path), content)
        self._vector = tuple(vector)
        self._codec = Codec(vector)
        self._matrix = len(self._told.inputs) == 1 and self._told.inputs[0].width != 1
        self._refuse_width(name_of(path))
        self._session = _session(content)
        self._probability = output.kind == "probability"
        self._wanted = _scores_of(name_of(path), self._told, output)
        self._name, self._output = name_of(path), output
        own = self._told.classes or output.names
        self._arranged = Arrangement(name_of(path), own, output) if output.names else None

    def score(self, vectors: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
        return self._together([self._answer(self._feeds(values)) for values in vectors])

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if rows.ndim != 2 or rows.shape[1] != len(self._vector):
            raise ModelError(f"Rows of shape {rows.shape} came for a model of {len(self._vector)} inputs.")
        if any(one.element == 8 for one in self._told.inputs):
            raise ModelError("The model takes text, and encoded rows hold numbers only.", "Give it values.")
        return self._together([self._answer(self._encoded(row)) for row in rows.tolist()])

    def _together(self, answers: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Rows of one number each, or of one for each class."""
        if self._output.kind == "classes":
            return np.array(answers, dtype=np.float64).reshape(len(answers), len(self._output.names))
        return np.array(answers, dtype=np.float64).reshape(len(answers))

    def _refuse_width(self, name: str) -> None:
        first = self._told.inputs[0]
        width = first.width if self._matrix else len(self._told.inputs)
        if width is not None and width != len(self._vector):
            raise ModelError(
                f"{name} takes {width} inputs, but its manifest names {len(self._vector)}.",
                "Declare exactly the columns that it was trained on, in their order.",
            )

    def _feeds(self, values: Sequence[Value]) -> dict[str, NDArray[Any]]:
        if len(values) != len(self._vector):
            raise ModelError(f"A vector of {len(values)} values came for a model of {len(self._vector)} inputs.")
        if not any(one.element == 8 for one in self._told.inputs):
            return self._encoded(self._codec.row(values))
        return {
            one.name: _cell("" if value is None and one.element == 8 else value, one.element, one.shape)
            for one, value in zip(self._told.inputs, values, strict=True)
        }

    def _encoded(self, row: Sequence[float]) -> dict[str, NDArray[Any]]:
        if self._matrix:
            [one] = self._told.inputs
            return {one.name: np.array([row], dtype=np.float64).astype(_FEEDS[one.element])}
        return {
            one.name: _cell(value, one.element, one.shape) for one, value in zip(self._told.inputs, row, strict=True)
        }

    def _answer(self, feeds: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        try:
            [found] = self._session.run([self._wanted], feeds)
        except Exception as error:
            raise ModelError(f"ONNX: {_line(error)}.") from error
        own = None
        if isinstance(found, list):  # a sequence of maps from class to probability
            own = sorted(found[0])
            found = [found[0][one] for one in own]
        numbers = np.asarray(found, dtype=np.float64).reshape(-1)
        if self._arranged is not None:
            arranged = self._arranged if own is None else Arrangement(self._name, own, self._output)
            whole: NDArray[np.float64] = arranged.spread(numbers.reshape(1, -1))[0]
            return whole
        if len(numbers) != (2 if self._probability and len(numbers) == 2 else 1):
            raise ModelError(f"The graph gave {len(numbers)} numbers for a row.", "Export it with one score per row.")
        return numbers[-1:]


def _session(content: bytes) -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ModelError(
            "An ONNX model needs the package onnxruntime.", "Install it: pip install 'evertrain[onnx]'."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _QUIET
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"ONNX: {_line(error)}.", "Export it again, for this onnxruntime.") from error


def _scores_of(name: str, told: OnnxFile, output: Output) -> str:
    """The output that holds the scores: of a classifier's two the probabilities, else the only one."""
    outputs = told.outputs
    if len(outputs) > 1 and output.kind != "value":
        outputs = tuple(one for one in outputs if one.element in (0, 1, 11))
    if len(outputs) != 1:
        raise ModelError(
            f"{name} has {len(told.outputs)} outputs ({', '.join(one.name for one in told.outputs)}).",
            "Export it with one output, or as a classifier with label and probabilities.",
        )
    width = outputs[0].width if outputs[0].element else None
    if width is not None and not (width == 2 and output.kind == "probability"):
        refuse_number(name, width, output)
    return outputs[0].name


def _cell(value: Value, element: int, shape: Sequence[int | None]) -> NDArray[Any]:
    return np.array([[value]] if len(shape) == 2 else [value]).astype(_FEEDS[element])


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
