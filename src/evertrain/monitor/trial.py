"""What live traffic shows of a rollout, as one running tally, and how much traffic there is."""

from array import array
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import numpy as np

from evertrain.core.evidence import Failures, Tally, outcomes
from evertrain.core.identity import RolloutId
from evertrain.core.prediction import Labelled, Predicted, Record, Shadowed
from evertrain.core.shadow import Alike, exposure
from evertrain.core.time import DAY, HOUR, MINUTE, SECOND, Instant, Span
from evertrain.monitor.grading import Grading, GradingSnapshot

__all__ = ["Trial", "TrialSnapshot"]

_TIME: Literal["q"] = "q"
_KEEP = 2_000_000
"""Requests whose times are remembered at most; above that a day's traffic is an extrapolation of the newest part."""

_BATCHES = 10_000
"""Batches that are known again by a further row: all of them are logged within a moment."""

_RECENT = Span(10 * MINUTE)
_PAUSE = MINUTE
_FEW = 10
"""Fewer requests within the last minutes, or within a day, foretell nothing."""


class TrialSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of a trial as bytes and values."""

    rollout: RolloutId | None
    tally: Tally | None
    times: bytes
    grading: GradingSnapshot = GradingSnapshot()
    alike: Alike = Alike()
    failures: Failures = Failures()
    waiting: tuple[Record, ...] = ()


class Trial:
    """One service's rollout evidence. Records are folded in the order in which they are given, each once.

    alike: the scores of a version in shadow beside those that were answered. failures: what its failures say.
    """

    def __init__(self) -> None:
        self._rollout: RolloutId | None = None
        self._tally: Tally | None = None
        self._waiting: deque[Record] = deque(maxlen=_KEEP)
        self._grading = Grading()
        self.alike = Alike()
        self.failures = Failures()
        self._times: array[int] = array(_TIME)
        self._batches: OrderedDict[str, None] = OrderedDict()

    def see(self, records: Iterable[Record]) -> None:
        """Take in records of one service. They are folded when a rollout is asked about, or forgotten."""
        for record in records:
            if not isinstance(record, Labelled | Shadowed) and (record.load or record.retry):
                continue
            self._waiting.append(record)
            if isinstance(record, Predicted) and self._begins(record.batch):
                self._times.append(record.received)
        if len(self._times) > _KEEP:
            del self._times[: _KEEP // 2]

    def _begins(self, batch: str) -> bool:
        """Whether this is a request of its own, and not a further row of a batch: those may stand apart."""
        if not batch:
            return True
        if batch in self._batches:
            return False
        self._batches[batch] = None
        if len(self._batches) > _BATCHES:
            self._batches.popitem(last=False)
        return True

    def requests_24h(self, now: Instant) -> float:
        """Requests of the last 24 hours of business time, a batch as one; of a younger service, what a day would bring.

        That is by the rate of all its life. Counting what came would let a canary through in its first minutes, as if
        the rest of the day brought nothing. The rate of less than ten minutes is no rate: they count as ten.
        """
        seen = len(self._times) - bisect_left(self._times, now - DAY)
        age = now - self._times[0] if self._times else DAY
        return seen * DAY / max(age, _RECENT) if age < DAY else float(seen)

    def foreseen(self, now: Instant) -> float:
        """Requests that the day to come may bring: as many as the last one, or as the last ten minutes would.

        What is admitted by a quiet past is paid for when the traffic comes.
        """
        lately = len(self._times) - bisect_left(self._times, now - _RECENT)
        return max(self.requests_24h(now), lately * DAY / _RECENT)

    def pace(self, now: Instant) -> float:
        """Requests a day at the rate of the last minutes, to say when something will be over.

        Where few came in them, at the rate of the last day; 0 where that is next to nothing, or not known yet.
        """
        first = Instant(self._times[0]) if self._times else now
        begun = self._begun(max(Instant(now - _RECENT), first))
        seen = len(self._times) - bisect_left(self._times, begun)
        if seen >= _FEW:
            return seen * DAY / max(now - begun, SECOND)
        a_day = self.requests_24h(now)
        return a_day if now - first >= HOUR and a_day >= _FEW else 0.0

    def _begun(self, since: Instant) -> Instant:
        """When the traffic that comes now began: after the last pause, where enough came since.

        A request to try the door, and a client that starts minutes later, are not the pace of that client.
        """
        times = np.frombuffer(self._times, dtype=np.int64)[bisect_left(self._times, since) :].copy()
        pauses = np.flatnonzero(np.diff(times) > _PAUSE)
        after = int(pauses[-1]) + 1 if len(pauses) else 0
        return Instant(int(times[after])) if after and len(times) - after >= _FEW else since

    def idle(self, now: Instant) -> int:
        """Microseconds since the last request; 0 where none has come."""
        return max(0, now - self._times[-1]) if self._times else 0

    def rest(self) -> None:
        """There is no rollout: what was seen so far is no evidence about a later one."""
        self._waiting.clear()
        self._grading, self.alike, self.failures = Grading(), Alike(), Failures()
        self._rollout, self._tally = None, None

    def tally(
        self,
        rollout: RolloutId,
        shares: Sequence[tuple[Instant, float]],
        mirrored: tuple[Instant, float] | None = None,
        *,
        slower_by: int = 0,
    ) -> Tally:
        """The evidence of this rollout so far. shares: from when on it got which share, as the ledger has it.

        mirrored: since when it saw which share of the requests in shadow, before it got any. A request belongs to the
        share that stood when it was received; one received before the first share is not the rollout's.
        slower_by: microseconds by which the version may answer later than the control arm.
        """
        begun = [(at, share) for at, share in shares if share > 0]
        if mirrored is not None:
            begun = [(mirrored[0], exposure(mirrored[1])), *begun]
        if not begun:
            self._waiting.clear()  # what came before the first share is not the rollout's
            return Tally.start(0.5)
        if self._rollout != rollout or self._tally is None:
            self._rollout, self._tally = rollout, Tally.start(begun[0][1])
            self._grading, self.alike, self.failures = Grading(), Alike(), Failures()
        tally = self._tally
        records = [record for record in self._waiting if record.received >= begun[0][0]]
        self._waiting.clear()
        self.failures = self.failures.fold(records)
        self.alike = self.alike.after(
            (record.score, record.answered, record.otherwise)
            for record in records
            if isinstance(record, Shadowed) and record.score is not None
        )
        edges = [at for at, _ in begun[1:]] + [None]
        for (_, share), end in zip(begun, edges, strict=True):
            if tally.step.share != share and _later(share, tally.step.share, begun):
                tally = tally.stepped(share)
            inside = [record for record in records if end is None or record.received < end]
            records = [record for record in records if end is not None and record.received >= end]
            tally = tally.fold(outcomes(inside), slower_by=slower_by).graded(self._grading.grade(inside))
        self._tally = tally
        return tally

    def standing(self, rollout: RolloutId) -> Tally | None:
        """The evidence as `tally` last gave it; nothing is folded."""
        return self._tally if self._rollout == rollout else None

    def snapshot(self) -> TrialSnapshot:
        """Everything, to be restored: also what was seen and not folded yet."""
        return TrialSnapshot(
            rollout=self._rollout,
            tally=self._tally,
            times=self._times.tobytes(),
            grading=self._grading.snapshot(),
            alike=self.alike,
            failures=self.failures,
            waiting=tuple(self._waiting),
        )

    @classmethod
    def restore(cls, snapshot: TrialSnapshot) -> "Trial":
        """The trial as it was."""
        trial = cls()
        trial._rollout, trial._tally = snapshot.rollout, snapshot.tally
        trial._times.frombytes(snapshot.times)
        trial._grading = Grading.restore(snapshot.grading)
        trial.alike, trial.failures = snapshot.alike, snapshot.failures
        trial._waiting.extend(snapshot.waiting)
        return trial


def _later(share: float, current: float, begun: Sequence[tuple[Instant, float]]) -> bool:
    """Whether `share` comes after `current` in the ramp."""
    ramp = [one for _, one in begun]
    return ramp.index(share) > ramp.index(current) if current in ramp else True
