"""The shadow's side of a worker: requests that were answered are put to a version that answers nobody.

Off the answering path: a request waits in a queue until its answer has left, and one at a time goes to the shadow's
process. The queue is bounded; when it is full, or the worker has better things to do, the request is dropped, and
counted. Whatever the shadow does (raise, hang, die, say NaN) becomes a record of its own kind, and nobody else notices.
"""

import asyncio
import time
from collections import deque
from typing import Final

import msgspec

from evertrain.core.cohort import cohort_of
from evertrain.core.prediction import Predicted, Shadowed
from evertrain.core.routing import Arm, Route
from evertrain.core.schema import Value
from evertrain.core.score import Cause, RowScore
from evertrain.core.shadow import differs
from evertrain.core.trial import Answer, Predict
from evertrain.deploy.admission import Admission
from evertrain.deploy.trial import AbsentError, Trials
from evertrain.deploy.version import Loaded, ScoreError
from evertrain.errors import EvertrainError
from evertrain.store.log import LogWriter
from evertrain.store.statistics import Label, Statistics

__all__ = ["Mirror"]

_WAITING: Final = 64
"""Requests that may wait for the shadow."""

_MOST_ROWS: Final = 128
"""A batch of more rows is not mirrored: it would keep the shadow from a hundred other requests."""

_PAUSE_S: Final = 0.001
"""A response that is being written leaves first."""


class _Waiting(msgspec.Struct):
    """A request that was answered: the answers, who gave them, and the arm that is to see it.

    rows: what was asked; hidden: some of it is personal, and is not in the answers as they are logged.
    """

    arm: Arm
    champion: Loaded
    answers: list[Predicted]
    rows: list[tuple[Value, ...]]
    hidden: bool


class Mirror:
    """The queue of one worker, and the task that empties it. Used from the event loop alone."""

    def __init__(self, *, log: LogWriter, statistics: Statistics, trials: Trials, admission: Admission) -> None:
        self._log = log
        self._statistics = statistics
        self._trials = trials
        self._admission = admission
        self._queue: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    def offer(
        self, route: Route, champion: Loaded, answers: list[Predicted], rows: list[tuple[Value, ...]], who: str
    ) -> None:
        """Have the route's shadow see a request that was answered, if it has one whose share `who` is in."""
        arm, first = route.shadow, answers[0]
        if arm is None or first.load or cohort_of(route.salt, who) >= arm.share:
            return
        has_room = len(self._queue) < _WAITING and len(answers) <= _MOST_ROWS
        if not has_room or not self._log.room.for_trials or not self._admission.has_room_for_shadows:
            self._statistics.shed(_label(first, arm))
            return
        self._queue.append(_Waiting(arm, champion, answers, rows, hidden=bool(route.personal)))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._empty())

    async def _empty(self) -> None:
        while self._queue:
            await asyncio.sleep(_PAUSE_S)
            await self._show(self._queue.popleft())

    async def _show(self, waiting: _Waiting) -> None:
        arm, first = waiting.arm, waiting.answers[0]
        pairs = zip(waiting.answers, waiting.rows, strict=True)
        asks = [Predict(id=answer.id, row=row, at=answer.at) for answer, row in pairs]
        begun = time.perf_counter_ns()
        label = _label(first, arm)
        try:
            answers = await self._trials.ask("shadow", arm, asks, waiting.champion.output)
        except AbsentError:
            self._statistics.shed(label)
            return
        except ScoreError as error:
            self._statistics.failed(label, error.cause)
            self._note([_failed(first, arm, error.cause, error.told(hidden=waiting.hidden), _since_us(begun))])
            return
        latency_us = _since_us(begun)
        self._statistics.answered(label, len(answers), latency_us)
        seen = zip(waiting.answers, answers, strict=True)
        self._note([_seen(one, arm, answer, waiting.champion, latency_us) for one, answer in seen])

    def _note(self, records: list[Shadowed]) -> None:
        """Into the log, where there is room: a record of a shadow is nothing that a user waits for."""
        try:
            self._log.append(*records)
        except EvertrainError:
            self._statistics.shed(Label(records[0].service, records[0].version, "shadow"))


def _label(first: Predicted, arm: Arm) -> Label:
    return Label(first.service, arm.version, "shadow")


def _since_us(begun_ns: int) -> int:
    return (time.perf_counter_ns() - begun_ns) // 1000


def _answered(one: Predicted) -> RowScore:
    return one.scores or one.score


def _seen(one: Predicted, arm: Arm, answer: Answer, champion: Loaded, latency_us: int) -> Shadowed:
    otherwise = differs(answer.score, _answered(one), champion.output.kind, champion.manifest.threshold)
    return msgspec.structs.replace(_asked(one, arm, latency_us), score=answer.score, otherwise=otherwise)


def _failed(one: Predicted, arm: Arm, cause: Cause, detail: str, latency_us: int) -> Shadowed:
    return msgspec.structs.replace(_asked(one, arm, latency_us), cause=cause, detail=detail[:500])


def _asked(one: Predicted, arm: Arm, latency_us: int) -> Shadowed:
    return Shadowed(
        id=one.id,
        service=one.service,
        version=arm.version,
        champion=one.version,
        key=one.key,
        at=one.at,
        received=one.received,
        score=None,
        answered=_answered(one),
        otherwise=False,
        latency_us=latency_us,
        batch=one.batch,
    )
