"""Performance on mature labels: predictions wait for their label's clock, and only whole mature cohorts are counted.

A prediction matures at an instant that does not depend on its label. Rows whose label is known early are a biased
sample (flights that land on time are known before those that do not), so a figure is always about *all* predictions
that matured in a window, and says how many of them still lack a label.

Traffic goes on for ever, and memory does not. Beyond the newest million predictions, one that matured four weeks ago is
forgotten: of those only how many had a label is known, by the day on which they matured.
"""

import sys
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from evertrain.core.identity import VersionId
from evertrain.core.paired import LoggedLabels
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.schema import Value
from evertrain.core.score import RowScore, best
from evertrain.core.time import DAY, Instant, Span

__all__ = ["MOST_PREDICTIONS", "MOST_WAITING", "Cohort", "Performance", "Ripening", "Snapshot"]

MOST_PREDICTIONS: Final = 1_000_000
"""Of one service, so many stay, however long ago they matured."""

MOST_WAITING: Final = 50_000
"""Labels that are remembered without a prediction, the newest to come; predictions, where no label is declared."""

_PATIENCE: Final = Span(28 * DAY)
"""So long after a prediction matured its label may still come, or be corrected, and is counted."""

_BETWEEN: Final = 8
"""An eighth more is taken in before the oldest are forgotten again, all at once: it moves all that stay."""

_TIME: Literal["q"] = "q"
_SCORE: Literal["d"] = "d"


class Cohort(msgspec.Struct, frozen=True, kw_only=True):
    """Predictions that matured in [start, end): labels, scores served, scores of the reference version.

    All arrays have length n (labelled examples only), ordered by prediction time; scores of classes have the shape
    (n, k), and labels are then places of classes. `missing`: mature, but without a label yet.
    """

    start: Instant
    end: Instant
    label: NDArray[np.float64]
    score: NDArray[np.float64]
    reference: NDArray[np.float64]
    at: NDArray[np.int64]
    missing: int

    @property
    def labelled(self) -> int:
        return len(self.label)

    @property
    def compared(self) -> NDArray[np.bool_]:
        """The rows that the reference version has scored."""
        known: NDArray[np.bool_] = np.isfinite(self.reference)
        return known if known.ndim == 1 else np.asarray(known.all(axis=1), dtype=np.bool_)


class Ripening(msgspec.Struct, frozen=True, kw_only=True):
    """How far the labels of a service's predictions count. certain: so many are mature by the newest record.

    early: so many are not yet; next: when the first of these is, None without any.
    """

    certain: int = 0
    early: int = 0
    next: Instant | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The monitor's memory as bytes, so that a restarted process goes on where the log was read to."""

    keys: tuple[str, ...]
    ids: tuple[str, ...]
    versions: tuple[str, ...]
    at: bytes
    mature: bytes
    score: bytes
    reference: bytes
    label: bytes
    waiting: tuple[tuple[str, float], ...]
    vectors: dict[int, tuple[Value, ...]]
    served: dict[int, tuple[float, ...]] = {}
    referred: dict[int, tuple[float, ...]] = {}
    newest: Instant = Instant(0)
    positions: bytes = b""
    forgotten: dict[int, int] = {}


class Performance:
    """One service's predictions and labels, joined by prediction id or by entity key.

    matures: gives the instant at which a prediction's label is due, from its request row and prediction time.
    The first prediction of a key counts, later ones of the same key are logged and left out; the newest label counts.
    most: so many predictions stay for good; waiting: so many labels wait for theirs, then the oldest give way.

    A position is a prediction's number among all that were ever taken in; its place is where it stands among those
    that are remembered, in the same order.
    """

    def __init__(
        self,
        matures: Callable[[Sequence[Value], Instant], Instant],
        *,
        most: int = MOST_PREDICTIONS,
        waiting: int = MOST_WAITING,
    ) -> None:
        self._matures = matures
        self._most, self._most_waiting = most, waiting
        self._forgotten: dict[int, int] = {}
        self._forget_at = most + most // _BETWEEN
        self._index: dict[str, int] = {}
        self._keys: list[str] = []
        self._ids: list[str] = []
        self._versions: list[str] = []
        self._positions: array[int] = array(_TIME)
        self._at: array[int] = array(_TIME)
        self._mature: array[int] = array(_TIME)
        self._score: array[float] = array(_SCORE)
        self._reference: array[float] = array(_SCORE)
        self._label: array[float] = array(_SCORE)
        self._vectors: dict[int, tuple[Value, ...]] = {}
        self._waiting: OrderedDict[str, float] = OrderedDict()
        # Where a service answers with classes: the probabilities of each, by position.
        self._served: dict[int, tuple[float, ...]] = {}
        self._referred: dict[int, tuple[float, ...]] = {}
        self._newest = Instant(0)

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, prediction: str) -> bool:
        """Whether a prediction, by its id or key, was taken in."""
        return prediction in self._index

    def predicted(self, record: Predicted) -> None:
        """Take in an answered prediction. Steady load and repeated requests are left out."""
        if record.load or record.retry:
            return
        self._newest = max(self._newest, record.received)
        name = record.key or record.id
        if name in self._index:
            return
        position = self._positions[-1] + 1 if self._positions else 0
        self._index[name] = position
        self._index[record.id] = position
        self._positions.append(position)
        self._keys.append(record.key)
        self._ids.append(record.id)
        self._versions.append(sys.intern(record.version))
        self._at.append(record.at)
        # What is asked late, about a time that is long over, cannot have matured before it was answered.
        self._mature.append(max(self._matures(record.row, record.at), record.received))
        self._score.append(record.score)
        if record.scores:
            self._served[position] = record.scores
        self._reference.append(np.nan)
        early = self._waiting.pop(record.key, self._waiting.pop(record.id, np.nan))
        self._label.append(early)
        self._vectors[position] = record.inputs
        if len(self._at) >= self._forget_at:
            self._forget()
            self._forget_at = max(self._most, len(self._at)) + self._most // _BETWEEN

    def _forget(self) -> None:
        """Leave out what matured long ago, but for the newest. How many of them had a label stays known."""
        over = _times(self._mature) <= self._newest - _PATIENCE
        over[-self._most :] = False
        for place in np.flatnonzero(over).tolist():
            position, id_ = self._positions[place], self._ids[place]
            for name in {self._keys[place] or id_, id_}:
                if self._index.get(name) == position:
                    del self._index[name]
            for by_position in (self._vectors, self._served, self._referred):
                by_position.pop(position, None)
        labelled = over & ~np.isnan(_numbers(self._label))
        days, counts = np.unique(_times(self._mature)[labelled] // DAY, return_counts=True)
        for day, count in zip(days.tolist(), counts.tolist(), strict=True):
            self._forgotten[day] = self._forgotten.get(day, 0) + count
        stay = ~over
        for names in (self._keys, self._ids, self._versions):
            names[:] = compress(names, stay.tolist())
        for times in (self._positions, self._at, self._mature):
            times[:] = array(_TIME, _times(times)[stay].tobytes())
        for numbers in (self._score, self._reference, self._label):
            numbers[:] = array(_SCORE, _numbers(numbers)[stay].tobytes())

    def labelled(self, record: Labelled) -> bool:
        """Take in a label. False when its prediction is not known (yet): it waits for it, as one of the newest."""
        self._newest = max(self._newest, record.received)
        name = record.prediction or record.key
        position = self._index.get(name)
        if position is None:
            self._waiting[name] = record.value
            self._waiting.move_to_end(name)
            if len(self._waiting) > self._most_waiting:
                self._waiting.popitem(last=False)
            return False
        self._label[self._place(position)] = record.value
        return True

    def _place(self, position: int) -> int:
        """Where the prediction of a position stands."""
        return bisect_left(self._positions, position)

    def joined(self) -> int:
        """How many predictions have a label, forgotten ones too."""
        return sum(self._forgotten.values()) + int(np.count_nonzero(~np.isnan(_numbers(self._label))))

    def certain(self) -> int:
        """How many predictions have a label that is mature by the newest record, whatever a clock says."""
        return self.ripening().certain

    def ripening(self) -> Ripening:
        """How many labels are mature, and when the next one is, by the newest record as well."""
        mature = _times(self._mature)[~np.isnan(_numbers(self._label))]
        early = mature[mature > self._newest]
        first = Instant(int(early.min())) if len(early) else None
        certain = sum(self._forgotten.values()) + len(mature) - len(early)
        return Ripening(certain=certain, early=len(early), next=first)

    def cohort(self, start: Instant, end: Instant, version: VersionId | None = None) -> Cohort:
        """All that matured in [start, end); with `version`, only what that version answered."""
        chosen = self._between(start, end)
        if version is not None:
            chosen = np.array([one for one in chosen if self._versions[one] == version], dtype=np.int64)
        label = _numbers(self._label)[chosen]
        known = ~np.isnan(label)
        rows = chosen[known]
        return Cohort(
            start=start,
            end=end,
            label=label[known],
            score=self._scores(rows, self._score, self._served),
            reference=self._scores(rows, self._reference, self._referred),
            at=_times(self._at)[rows],
            missing=int(np.count_nonzero(~known)),
        )

    def _scores(
        self, rows: NDArray[np.int64], column: "array[float]", of_classes: dict[int, tuple[float, ...]]
    ) -> NDArray[np.float64]:
        """Scores of rows: their numbers, or their probabilities of classes, NaN where there are none yet."""
        width = len(next(iter(self._served.values()), ()))
        if not width:
            return _numbers(column)[rows]
        unknown = (np.nan,) * width
        return np.array([of_classes.get(self._positions[row], unknown) for row in rows.tolist()]).reshape(
            len(rows), width
        )

    def mature_rows(self, start: Instant, end: Instant) -> int:
        """How many labelled predictions matured in [start, end); of the forgotten ones, those of whole days."""
        before = sum(count for day, count in self._forgotten.items() if start <= day * DAY < end)
        return before + int(np.count_nonzero(~np.isnan(_numbers(self._label)[self._between(start, end)])))

    def matured(self, since: Instant, now: Instant) -> int:
        """How many predictions made after `since` have a label that is mature by now."""
        return len(self._matured(since, now))

    def logged_labels(self, since: Instant, now: Instant, most: int) -> LoggedLabels:
        """The same predictions, at most the newest so many of them to mature."""
        chosen = self._matured(since, now)
        newest = chosen[np.argsort(_times(self._mature)[chosen], kind="stable")][-most:].tolist()
        rows = sorted((self._at[position], self._ids[position], self._label[position]) for position in newest)
        return LoggedLabels(
            ids=tuple(id_ for _, id_, _ in rows),
            at=tuple(at for at, _, _ in rows),
            label=tuple(label for _, _, label in rows),
        )

    def _matured(self, since: Instant, now: Instant) -> NDArray[np.int64]:
        known = ~np.isnan(_numbers(self._label))
        return np.flatnonzero(known & (_times(self._at) > since) & (_times(self._mature) <= now))

    def unscored(self) -> tuple[list[int], list[tuple[Value, ...]]]:
        """Positions and input vectors of predictions that the reference version has not scored yet."""
        positions = list(self._vectors)
        return positions, [self._vectors[position] for position in positions]

    def scored(self, positions: Sequence[int], scores: Sequence[RowScore]) -> None:
        """Keep the reference version's scores of rows that `unscored` named, and forget their vectors."""
        for position, score in zip(positions, scores, strict=True):
            if self._vectors.pop(position, None) is None:
                continue  # it was forgotten while it was being scored
            if isinstance(score, tuple):
                self._referred[position] = score
            self._reference[self._place(position)] = best(score)

    def _between(self, start: Instant, end: Instant) -> NDArray[np.int64]:
        """Places of those that matured in [start, end), in order of arrival."""
        mature = _times(self._mature)
        return np.flatnonzero((mature >= start) & (mature < end))

    def snapshot(self) -> Snapshot:
        """Everything, to be restored."""
        return Snapshot(
            keys=tuple(self._keys),
            ids=tuple(self._ids),
            versions=tuple(self._versions),
            at=self._at.tobytes(),
            mature=self._mature.tobytes(),
            score=self._score.tobytes(),
            reference=self._reference.tobytes(),
            label=self._label.tobytes(),
            waiting=tuple(self._waiting.items()),
            vectors=self._vectors,
            served=self._served,
            referred=self._referred,
            newest=self._newest,
            positions=self._positions.tobytes(),
            forgotten=self._forgotten,
        )

    @classmethod
    def restore(cls, snapshot: Snapshot, matures: Callable[[Sequence[Value], Instant], Instant]) -> "Performance":
        """The monitor as it was."""
        monitor = cls(matures)
        monitor._keys, monitor._ids = list(snapshot.keys), list(snapshot.ids)
        monitor._versions = [sys.intern(one) for one in snapshot.versions]
        monitor._at.frombytes(snapshot.at)
        monitor._mature.frombytes(snapshot.mature)
        monitor._score.frombytes(snapshot.score)
        monitor._reference.frombytes(snapshot.reference)
        monitor._label.frombytes(snapshot.label)
        monitor._waiting, monitor._vectors = OrderedDict(snapshot.waiting), snapshot.vectors
        monitor._served, monitor._referred = dict(snapshot.served), dict(snapshot.referred)
        monitor._newest = snapshot.newest
        monitor._forgotten = dict(snapshot.forgotten)
        monitor._positions.frombytes(snapshot.positions)
        if not monitor._positions:  # written when none was ever forgotten
            monitor._positions.extend(range(len(snapshot.ids)))
        for position, key, id_ in zip(monitor._positions, snapshot.keys, snapshot.ids, strict=True):
            monitor._index[key or id_] = position
            monitor._index[id_] = position
        return monitor


def _times(column: "array[int]") -> NDArray[np.int64]:
    """A view of a column, without a copy. It must be gone before the column grows."""
    return np.frombuffer(column, dtype=np.int64) if column else np.empty(0, dtype=np.int64)


def _numbers(column: "array[float]") -> NDArray[np.float64]:
    """The same of floats."""
    return np.frombuffer(column, dtype=np.float64) if column else np.empty(0, dtype=np.float64)
