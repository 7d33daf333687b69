"""Answers of a rollout that wait for their labels: each example is graded once, by whatever name its label says."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from evertrain.core.loss import Graded, loss_of
from evertrain.core.prediction import Labelled, Predicted, Record
from evertrain.core.score import RowScore

__all__ = ["Grading", "GradingSnapshot"]

_MOST = 200_000
"""Answers that are remembered; the oldest is forgotten first."""


class GradingSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of a grading as plain values."""

    answers: tuple[tuple[str, bool, RowScore | None], ...] = ()
    keys: tuple[tuple[str, str], ...] = ()


class Grading:
    """The first answer of each example. An entity that asks often is one example, so it tells no more than another."""

    def __init__(self) -> None:
        # By the example's key, or the prediction's id where it has none: whether the canary answered, and what; None
        # once it was graded.
        self._answers: OrderedDict[str, tuple[bool, RowScore | None]] = OrderedDict()
        self._keys: OrderedDict[str, str] = OrderedDict()

    def grade(self, records: Iterable[Record]) -> Iterator[Graded]:
        """The labels among records, each with the answer that it is about. A correction counts no second time."""
        for record in records:
            if isinstance(record, Predicted):
                self._expect(record)
            elif isinstance(record, Labelled):
                name = record.key or self._keys.get(record.prediction, record.prediction)
                on_canary, score = self._answers.get(name, (False, None))
                if score is not None:
                    self._answers[name] = on_canary, None
                    yield Graded(on_canary, loss_of(score, record.value))

    def _expect(self, record: Predicted) -> None:
        name = record.key or record.id
        if name in self._answers:
            return
        self._answers[name] = record.arm == "canary", record.scores or record.score
        if record.key:
            self._keys[record.id] = record.key
        for memory in (self._answers, self._keys):
            if len(memory) > _MOST:
                memory.popitem(last=False)

    def snapshot(self) -> GradingSnapshot:
        """Everything, to be restored."""
        answers = tuple((name, on_canary, score) for name, (on_canary, score) in self._answers.items())
        return GradingSnapshot(answers=answers, keys=tuple(self._keys.items()))

    @classmethod
    def restore(cls, snapshot: GradingSnapshot) -> "Grading":
        """The grading as it was."""
        grading = cls()
        grading._answers = OrderedDict((name, (on_canary, score)) for name, on_canary, score in snapshot.answers)
        grading._keys = OrderedDict(snapshot.keys)
        return grading
