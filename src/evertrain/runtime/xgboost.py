"""XGBoost models (UBJSON or JSON), through the C interface of the library that the `xgboost` package brings.

The package itself is not imported: it draws in scipy, and pandas and scikit-learn where they are installed. The C
interface is documented: https://xgboost.readthedocs.io/en/stable/c.html. XGBoost computes in 32-bit floats.
"""

import ctypes
import json
import threading
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
from evertrain.runtime.xgboost_file import read_xgboost

__all__ = ["XGBoostModel"]


@cache
def _library() -> ctypes.CDLL:
    library = open_library("xgboost", "XGBoost", "libxgboost")
    library.XGBGetLastError.restype = ctypes.c_char_p
    return library


class XGBoostModel:
    """A booster, as it was trained: a classifier's probability, or those of its classes, else its value."""

    def __init__(self, path: Path, vector: Sequence[Input], output: Output | None = None) -> None:
        self._codec = Codec(vector)
        self._width = len(self._codec.vector)
        content = path.read_bytes()
        told = read_xgboost(name_of(path), content)  # refuses what is no whole model before the library sees it
        if told.width != self._width:
            raise ModelError(
                f"{name_of(path)} takes {told.width} inputs, but its manifest names {self._width}.",
                "Declare exactly the columns that it was trained on, in their order.",
            )
        self._classes = told.classes
        refuse_number(name_of(path), told.classes, output or Output())
        self._how = json.dumps(
            {
                "type": 0,
                "training": False,
                "iteration_begin": 0,
                "iteration_end": told.rounds,
                "strict_shape": True,
                "missing": float("nan"),
                "cache_id": 0,
            }
        ).encode()
        self._library = _library()
        self._booster = ctypes.c_void_p()
        self._call("XGBoosterCreate", None, ctypes.c_uint64(0), ctypes.byref(self._booster))
        self._call("XGBoosterLoadModelFromBuffer", self._booster, content, ctypes.c_uint64(len(content)))
        self._call("XGBoosterSetParam", self._booster, b"nthread", b"1")
        self._lock = threading.Lock()

    def __del__(self) -> None:
        if getattr(self, "_booster", None):
            self._library.XGBoosterFree(self._booster)

    def score(self, vectors: Sequence[Sequence[Value]]) -> NDArray[np.float64]:
        return self.predict(self._codec.rows(vectors))

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if rows.ndim != 2 or rows.shape[1] != self._width:
            raise ModelError(f"Rows of shape {rows.shape} came for a model of {self._width} inputs.")
        if not len(rows):
            return np.empty((0, self._classes) if self._classes > 1 else 0, dtype=np.float64)
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        there = {"data": [rows.ctypes.data, True], "shape": rows.shape, "typestr": "<f8", "version": 3}
        shape = ctypes.POINTER(ctypes.c_uint64)()
        dimensions = ctypes.c_uint64()
        scores = ctypes.POINTER(ctypes.c_float)()
        # The answer lies in the booster's own memory until its next call.
        with self._lock:
            self._call(
                "XGBoosterPredictFromDense",
                self._booster,
                json.dumps(there).encode(),
                self._how,
                None,
                ctypes.byref(shape),
                ctypes.byref(dimensions),
                ctypes.byref(scores),
            )
            size = int(np.prod(shape[: dimensions.value]))
            if size != len(rows) * self._classes:
                raise ModelError(f"XGBoost gave {size} scores for {len(rows)} rows.", "Train with one score per row.")
            found = np.ctypeslib.as_array(scores, (size,)).astype(np.float64)
        return found.reshape(-1, self._classes) if self._classes > 1 else found

    def _call(self, name: str, *arguments: object) -> None:
        if getattr(self._library, name)(*arguments):
            said = bytes(self._library.XGBGetLastError()).decode("utf-8", "replace").strip().splitlines()
            raise ModelError(f"XGBoost: {said[0].rstrip('.') if said else 'it gives no reason'}.")
