"""What a version on trial answers to each frame: a score, or the cause of its failure in words."""

import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Sequence

import numpy as np
import psutil

from evertrain.core.model import Manifest
from evertrain.core.schema import Value
from evertrain.core.score import RowScore, fault_of, hidden_words, plain
from evertrain.core.trial import Answer, Ask, Ping, Pong, Predict, Score, Scores
from evertrain.errors import ModelError, say_line
from evertrain.process.worker.features import FeatureFunction
from evertrain.runtime import Model, end_if_copied

__all__ = ["Answering"]

_log = logging.getLogger("candidate")
_MIB = 1 << 20
_GIVE_UP_S = 0.25


class Answering:
    """One loaded version. Predictions are made one at a time; `busy_s` is how long the one in hand has taken.

    hides: whether requests hold personal values, so that the words of what is raised may, too.
    """

    def __init__(
        self,
        manifest: Manifest,
        model: Model,
        features: FeatureFunction,
        hides: Callable[[], bool],
        stall_ms: float = 0.0,
    ) -> None:
        self._hides = hides
        self._stall_ms = stall_ms
        self._version = manifest.version
        self._names = manifest.inputs.names
        self._output = manifest.output
        self._model = model
        self._features = features
        self._turn = threading.Lock()
        self._begun: float | None = None
        self._process = psutil.Process(os.getpid())

    @property
    def busy_s(self) -> float:
        begun = self._begun
        return 0.0 if begun is None else time.monotonic() - begun

    def answer(self, ask: Ask, wanted: Callable[[], bool]) -> Answer | Scores | Pong | None:
        """The reply. None when `wanted` turned false while others had their turn: whoever asked has gone."""
        if isinstance(ask, Ping):
            memory = self._process.memory_info().rss / _MIB
            return Pong(ok=True, version=self._version, memory_mb=memory, stall_ms=self._stall_ms)
        while not self._turn.acquire(timeout=_GIVE_UP_S):
            if not wanted():
                return None
        self._begun = time.monotonic()
        try:
            return self._predict(ask) if isinstance(ask, Predict) else self._score(ask)
        finally:
            end_if_copied(self._process.pid)
            self._begun = None
            self._turn.release()

    def scores(self, vectors: Sequence[Sequence[Value]]) -> tuple[RowScore, ...]:
        """The model's scores of vectors, as they are."""
        found = self._model.score(vectors)
        if len(found) != len(vectors):
            raise ModelError(f"The model gave {len(found)} scores for {len(vectors)} vectors.")
        return tuple(plain(np.asarray(found, dtype=np.float64)))

    def _predict(self, ask: Predict) -> Answer:
        begun = time.perf_counter_ns()
        if len(ask.row) != len(self._names):
            detail = f"{len(ask.row)} values came for {len(self._names)} columns"
            return Answer(ok=False, cause="protocol", detail=detail)
        try:
            vector = self._features(dict(zip(self._names, ask.row, strict=True)), ask.at)
            (score,) = self.scores((vector,))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code runs here, and may raise anything
            return Answer(ok=False, cause="error", detail=self._say(error))
        fault = fault_of(score, self._output)
        if fault is not None:
            return Answer(ok=False, cause=fault[0], detail=fault[1])
        return Answer(ok=True, score=score, vector=vector, us=(time.perf_counter_ns() - begun) // 1000)

    def _score(self, ask: Score) -> Scores:
        try:
            return Scores(ok=True, scores=self.scores(ask.vectors))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - user code runs here, and may raise anything
            return Scores(ok=False, cause="error", detail=self._say(error))

    def _say(self, error: BaseException) -> str:
        """One line. The traceback goes to the process's own log: a client never sees it."""
        words = say_line(error)
        if not self._hides():
            _log.info("a prediction failed", exc_info=error)
            return words
        words = hidden_words(words)
        raised = error.__cause__ or error
        _log.info("a prediction failed: %s\n%s", words, "".join(traceback.format_tb(raised.__traceback__)))
        return words
