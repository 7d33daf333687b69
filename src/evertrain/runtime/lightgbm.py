"""LightGBM text models, through the C interface of the library that the `lightgbm` package brings.

The package itself is not imported: it draws in scipy, and pandas and scikit-learn where they are installed, which a
worker has no use for. The C interface is documented and stable:
https://lightgbm.readthedocs.io/en/stable/C-API.html
"""

import ctypes
import threading
from array import array
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evertrain.core.model import Output
from evertrain.core.schema import Input, Value
from evertrain.errors import ModelError
from evertrain.runtime.classes import refuse_number
from evertrain.runtime.library import open_library
from evertrain.runtime.naming import name_of
from evertrain.runtime.protocol import Codec

__all__ = ["LightGBMModel"]

_FLOAT64, _ROW_MAJOR, _NORMAL, _ALL = 1, 1, 0, -1
_PARAMETERS = b"num_threads=1"


@cache
def _library() -> ctypes.CDLL:
    library = open_library("lightgbm", "LightGBM", "lib_lightgbm")
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    return library


class LightGBMModel:
    """A booster with one output, or one for each class.

    Single rows take the library's prepared path when it answers like the general one.
    """

    def __init__(self, path: Path, vector: Sequence[Input], output: Output | None = None) -> None:
        self._codec = Codec(vector)
        self._library = _library()
        self._booster = ctypes.c_void_p()
        iterations = ctypes.c_int()
        text = path.read_bytes()
        # The library ends the whole process over a text that was cut, so it is looked at first.
        if b"\nend of trees" not in text or b"\0" in text:
            raise ModelError(f"{name_of(path)} is not a whole LightGBM text model.", "Save it again with save_model.")
        self._call("LGBM_BoosterLoadModelFromString", text, ctypes.byref(iterations), ctypes.byref(self._booster))
        self._width = self._number("LGBM_BoosterGetNumFeature")
        self._classes = self._number("LGBM_BoosterGetNumClasses")
        refuse_number(name_of(path), self._classes, output or Output())
        if self._width != len(self._codec.vector):
            raise ModelError(
                f"{name_of(path)} takes {self._width} inputs, but its manifest names {len(self._codec.vector)}.",
                "Declare exactly the columns that it was trained on, in their order.",
            )
        self._lock = threading.Lock()
        self._out, self._out_length = (ctypes.c_double * self._classes)(), ctypes.c_int64()
        self._length_at = ctypes.byref(self._out_length)
        self._answered: NDArray[np.float64] = np.ctypeslib.as_array(self._out)
        self._prepared = self._prepare()

    def __del__(self) -> None:
        if getattr(self, "_prepared", None):
            self._library.LGBM_FastConfigFree(self._prepared)
        if getattr(self, "_booster", None):
            self._library.LGBM_BoosterFree(self._booster)

    def score(self, vectors: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
        if len(vectors) == 1 and self._prepared:
            return self._shaped(self._single(self._codec.row(vectors[0])))
        return self.predict(self._codec.rows(vectors))

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if rows.ndim != 2 or rows.shape[1] != self._width:
            raise ModelError(f"Rows of shape {rows.shape} came for a model of {self._width} inputs.")
        if len(rows) == 1 and self._prepared:
            return self._shaped(self._single(array("d", rows[0])))
        return self._matrix(np.ascontiguousarray(rows, dtype=np.float64))

    def _matrix(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = np.empty(len(rows) * self._classes, dtype=np.float64)
        if not len(rows):
            return self._shaped(scores)
        self._call(
            "LGBM_BoosterPredictForMat",
            self._booster,
            rows.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int(_FLOAT64),
            ctypes.c_int32(len(rows)),
            ctypes.c_int32(self._width),
            ctypes.c_int(_ROW_MAJOR),
            ctypes.c_int(_NORMAL),
            ctypes.c_int(0),
            ctypes.c_int(_ALL),
            _PARAMETERS,
            ctypes.byref(ctypes.c_int64()),
            scores.ctypes.data_as(ctypes.c_void_p),
        )
        return self._shaped(scores)

    def _shaped(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return scores.reshape(-1, self._classes) if self._classes > 1 else scores

    def _single(self, row: "array[float]") -> NDArray[np.float64]:
        """What the prepared call says of one row, a number for each class."""
        address, _ = row.buffer_info()
        # The prepared call has one place for its answer, and ctypes lets other threads run meanwhile.
        with self._lock:
            status = self._library.LGBM_BoosterPredictForMatSingleRowFast(
                self._prepared, ctypes.c_void_p(address), self._length_at, self._out
            )
            if status:
                raise ModelError(f"LightGBM: {self._reason()}.")
            return self._answered.copy()

    def _prepare(self) -> ctypes.c_void_p | None:
        """The library's single-row path, or None when it does not answer exactly like the path for matrices."""
        prepared = ctypes.c_void_p()
        self._call(
            "LGBM_BoosterPredictForMatSingleRowFastInit",
            self._booster,
            ctypes.c_int(_NORMAL),
            ctypes.c_int(0),
            ctypes.c_int(_ALL),
            ctypes.c_int(_FLOAT64),
            ctypes.c_int32(self._width),
            _PARAMETERS,
            ctypes.byref(prepared),
        )
        self._prepared = prepared
        probes = np.random.default_rng(0).normal(scale=100.0, size=(16, self._width))
        probes[0], probes[1], probes[2, ::2] = 0.0, np.nan, np.nan
        singles = self._shaped(np.concatenate([self._single(array("d", probe)) for probe in probes]))
        if np.array_equal(singles, self._matrix(probes), equal_nan=True):
            return prepared
        self._library.LGBM_FastConfigFree(prepared)
        return None

    def _number(self, name: str) -> int:
        number = ctypes.c_int()
        self._call(name, self._booster, ctypes.byref(number))
        return number.value

    def _call(self, name: str, *arguments: object) -> None:
        if getattr(self._library, name)(*arguments):
            raise ModelError(f"LightGBM: {self._reason()}.")

    def _reason(self) -> str:
        return bytes(self._library.LGBM_GetLastError()).decode("utf-8", "replace")
