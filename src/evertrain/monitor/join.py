"""Labels that are posted of a service whose declaration has none: a served file, of which nobody said what comes of it.

Whether a label ever comes is not known, so a prediction counts from the moment when one has come, and matures at its
own time. Until then it waits, and only so many do: traffic goes on for ever. What is older when its label comes is not
measured here; the gate finds it in the tables all the same.
"""

from collections import OrderedDict

import msgspec

from evertrain.core.identity import VersionId
from evertrain.core.prediction import Labelled, Predicted
from evertrain.monitor.performance import MOST_WAITING, Performance

__all__ = ["LabelJoin", "Unjoined"]


class Unjoined(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides of what is not joined yet, oldest first, so that a restarted process goes on."""

    predictions: tuple[Predicted, ...] = ()
    labels: tuple[Labelled, ...] = ()


class LabelJoin:
    """Joins one service's posted labels to its predictions, by prediction id, into a `Performance`.

    most: how many predictions, and how many labels, wait for the other side.
    """

    def __init__(self, performance: Performance, unjoined: Unjoined | None = None, *, most: int = MOST_WAITING) -> None:
        self._most = most
        unjoined = unjoined or Unjoined()
        self._performance = performance
        self._versions: dict[str, VersionId] = {}
        self._open = OrderedDict((one.id, one) for one in unjoined.predictions)
        self._early = OrderedDict((one.prediction, one) for one in unjoined.labels)
        self._dropped = 0

    @property
    def unmatched(self) -> int:
        """Labels that name no prediction that is remembered: sent late, or with a wrong id. Counted since the start."""
        return len(self._early) + self._dropped

    def predicted(self, record: Predicted) -> None:
        """Remember an answer. Steady load and repeated requests are left out."""
        if record.load or record.retry:
            return
        version = self._versions.setdefault(record.version, record.version)
        slim = msgspec.structs.replace(record, version=version, key="", row=(), vector=())
        self._open[record.id] = slim
        early = self._early.pop(record.id, None)
        if early is not None:
            self.labelled(early)
        elif len(self._open) > self._most:
            self._open.popitem(last=False)

    def labelled(self, record: Labelled) -> None:
        """Take in a label. The newest of a prediction counts; one of a prediction that is not known (yet) waits."""
        predicted = self._open.pop(record.prediction, None)
        if predicted is not None:
            self._performance.predicted(predicted)
            places, _ = self._performance.unscored()
            self._performance.scored(places, [float("nan")] * len(places))  # nothing is compared with a reference
        elif record.prediction not in self._performance:
            self._early[record.prediction] = record
            self._early.move_to_end(record.prediction)
            if len(self._early) > self._most:
                self._early.popitem(last=False)
                self._dropped += 1
            return
        self._performance.labelled(record)

    def unjoined(self) -> Unjoined:
        """What is not joined yet, to be restored."""
        return Unjoined(predictions=tuple(self._open.values()), labels=tuple(self._early.values()))
