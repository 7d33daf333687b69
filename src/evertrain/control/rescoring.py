"""Rescoring: a version and the one that it is held against score the same labelled requests, whoever answered them.

While a version is on trial, what that shows is part of its evidence (`core.canary`). After its promotion it is on
*probation*: the version before it is still there, and when labels show that the new one is worse beyond the margin, the
other one answers again, unattended. Only requests count that neither version can have been trained on.

Each look costs a process for a second or two, so a look waits for twice as many labels as the last one had, or for
5,000 more.
"""

from typing import Final

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.control.planes import Crashed, Done, Planes, Running
from evertrain.control.review import FEWEST_ROWS, back_to, is_judged_as_file
from evertrain.control.step import NOTHING, Step, recorded
from evertrain.core import event as facts
from evertrain.core.canary import paired_limit
from evertrain.core.identity import Digest, VersionId
from evertrain.core.paired import PairedFigures
from evertrain.core.registry import Rollout, ServiceRecord
from evertrain.core.rollout import RolloutState
from evertrain.core.stage import Rescore, Rescored
from evertrain.core.time import Instant

__all__ = ["RescoringDesk", "found_of"]

_MEMORY_MB, _TIMEOUT_S = 4096, 600
_MOST_BETWEEN: Final = 5_000
"""So many new labels are enough for a look, however many there were before."""

_TRIED = (RolloutState.PREPARING, RolloutState.SHADOWING, RolloutState.STEPPING, RolloutState.PAUSED)


class _Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A version and the one that it is held against. serves: it is on probation, not on trial."""

    version: VersionId
    against: VersionId
    serves: bool


class RescoringDesk:
    """Holds the version on trial, or else the champion on probation, against the one beside or before it."""

    def __init__(self, planes: Planes, record: ServiceRecord, spec: ServiceSpec, now: Instant) -> None:
        self._planes = planes
        self._record = record
        self._spec = spec
        self._now = now

    def step(self) -> Step:
        """Score what has been labelled since the last look, where that is enough."""
        pair = self._pair()
        if pair is None:
            return NOTHING
        before = _looked_at(self._record, pair.version, pair.against)
        since = max(self._trained_until(pair.version), self._trained_until(pair.against))
        known = self._planes.matured(self._record.service, since, self._now)
        looked = 0 if before is None else before.known
        if known < looked + max(FEWEST_ROWS, min(looked, _MOST_BETWEEN)):
            return NOTHING
        return self._look(pair, before, since, known)

    def _pair(self) -> _Pair | None:
        record, rollout = self._record, self._record.open_rollout
        if rollout is not None:
            tried = rollout.champion is not None and rollout.state in _TRIED
            as_file = rollout.shadow is None and is_judged_as_file(record, rollout.version)
            if not tried or rollout.champion is None or as_file:
                return None
            return _Pair(version=rollout.version, against=rollout.champion, serves=False)
        champion, before = record.champion, record.previous
        if champion is None or before is None or not self._is_on_probation(champion, before):
            return None
        return _Pair(version=champion, against=before, serves=True)

    def _is_on_probation(self, champion: VersionId, before: VersionId) -> bool:
        if self._record.versions[champion].overruled or is_judged_as_file(self._record, champion):
            return False
        entered = next((one for one in reversed(self._record.rollouts.values()) if one.version == champion), None)
        if entered is None or entered.champion != before or entered.state is not RolloutState.PROMOTED:
            return False
        return self._now < entered.since + self._spec.rollout.probation

    def _trained_until(self, version: VersionId) -> Instant:
        """Later requests were not there when it was made; of a file nothing else is known than when it came."""
        one = self._record.versions[version]
        cycle = self._record.cycles.get(one.cycle) if one.cycle is not None else None
        return one.built if cycle is None or cycle.dataset is None else cycle.dataset.cut

    def _look(self, pair: _Pair, before: facts.VersionRescored | None, since: Instant, known: int) -> Step:
        look = 1 if before is None else before.look + 1
        ordinals = tuple(self._record.versions[one].ordinal for one in (pair.version, pair.against))
        name = f"{self._record.service}-rescored-{ordinals[0]}-against-{ordinals[1]}-{look}"
        tables = self._planes.committed(name, self._record.service)
        if tables is None:
            return Step(awaiting=f"{name}: the tables are being committed")
        rows = self._planes.labels_for(name, self._record.service, since, self._now)
        task = f"{name}-{rows[:10]}"
        work = Rescore(
            service=self._record.service,
            version=pair.version,
            against=pair.against,
            declaration=self._record.declaration or Digest(""),
            tables=dict(tables),
            rows=rows,
            before=None if before is None else before.result,
        )
        self._planes.submit(task, work, memory_mb=_MEMORY_MB, timeout_s=_TIMEOUT_S)
        fact = facts.VersionRescored(
            service=self._record.service,
            version=pair.version,
            against=pair.against,
            look=look,
            known=known,
            found=None if before is None else before.found,
            result=None if before is None else before.result,
        )
        match self._planes.poll(task):
            case Running():
                return Step(awaiting=f"{name}: labelled requests are scored again")
            case Crashed(cause):
                return self._recorded(name, fact, f"The labelled requests could not be scored again: {cause}")
            case Done(result):
                return self._found(name, fact, result, pair)

    def _found(self, name: str, fact: facts.VersionRescored, result: bytes, pair: _Pair) -> Step:
        rescored = msgspec.json.decode(result, type=Rescored)
        found = rescored.evidence.figures(rescored.metric)
        fact = msgspec.structs.replace(fact, found=found, result=self._planes.keep(result))
        limit = paired_limit(self._spec.rollout, latency_decides=not self._planes.paced())
        words = f"{found.words[0].upper()}{found.words[1:]}."
        if not pair.serves or found.e_value < limit:
            return self._recorded(name, fact, words)
        back = back_to(self._record, pair.version, pair.against, words)
        return self._recorded(name, fact, back[-1].because, *back)

    def _recorded(self, name: str, fact: facts.VersionRescored, why: str, *also: facts.Fact) -> Step:
        return recorded(name, self._now, f"service/{self._record.service}", why, fact, *also)


def found_of(record: ServiceRecord, rollout: Rollout) -> PairedFigures | None:
    """What rescoring has found of a version on trial; None where nothing is known yet."""
    looked = _looked_at(record, rollout.version, rollout.champion)
    return None if looked is None else looked.found


def _looked_at(record: ServiceRecord, version: VersionId, against: VersionId | None) -> facts.VersionRescored | None:
    found = record.rescored.get(version)
    return found if found is not None and found.against == against else None
