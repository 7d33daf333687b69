"""The loop: observe, decide, act, record. Level-triggered: it looks at what is, never at what it meant to do.

There is no hidden state of a workflow. Everything that the loop knows is folded from the ledger, everything that it
does may be repeated, and each move is one event, appended before its consequences are acted on. After SIGKILL at any
moment a new loop reads the ledger and goes on.
"""

from collections.abc import Iterator

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.control.clearing import ClearingDesk
from evertrain.control.cycles import CycleDesk
from evertrain.control.lodging import PoolDesk
from evertrain.control.orders import OrderDesk
from evertrain.control.planes import Journal, Planes
from evertrain.control.rescoring import RescoringDesk
from evertrain.control.review import ChampionReview
from evertrain.control.rollouts import RolloutDesk
from evertrain.control.routes import route_step
from evertrain.control.schedule import TriggerDesk
from evertrain.control.step import Step
from evertrain.core.event import OrderGiven
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.time import Instant

__all__ = ["Loop", "Pulse"]

_MOST_ROUNDS = 1000
"""A bound on the moves of one tick: more can only mean that two rules undo each other."""


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """What a tick came to.

    moves: how many events were appended. awaiting: what is under way, in words; () means that everything that was due
    by now is done. until: nothing is due before, as far as is known.
    """

    moves: int
    awaiting: tuple[str, ...] = ()
    until: Instant | None = None


class Loop:
    """The loop over all services of one installation. One thread calls it.

    registry: an empty one, which the loop fills from the journal; the planes may read it.
    """

    def __init__(self, journal: Journal, planes: Planes, registry: Registry) -> None:
        self._journal = journal
        self._planes = planes
        self.registry = registry

    def refresh(self) -> None:
        """Fold what others have appended since the last look."""
        for event in self._journal.read(after=self.registry.sequence):
            self.registry.fold(event)

    def tick(self, now: Instant) -> Pulse:
        """Do everything that is due by `now`; return what cannot be done yet."""
        self.refresh()
        moves = 0
        for _ in range(_MOST_ROUNDS):
            awaiting, until = [], []
            moved = 0
            for step in self._steps(now):
                moved += self._record(step)
                if step.awaiting:
                    awaiting.append(step.awaiting)
                if step.until is not None:
                    until.append(step.until)
            moves += moved
            if not moved:
                return Pulse(moves=moves, awaiting=tuple(awaiting), until=min(until, default=None))
        raise RuntimeError(f"The loop made {moves} moves at one instant and found no rest")

    def _record(self, step: Step) -> int:
        if not step.drafts:
            return 0
        before = self.registry.sequence
        appended = self._journal.append(*step.drafts)
        # Others append too: folding what we appended ourselves would skip what they put in between.
        self.refresh()
        if all(event.sequence <= before for event in appended):
            raise RuntimeError(f"The move {step.drafts[-1].id!r} stands in the ledger already, yet nothing follows it")
        return len(step.drafts)

    def _steps(self, now: Instant) -> Iterator[Step]:
        """Each thing that may move, looked at once, on the state that the moves before it have left."""
        for name in list(self.registry.services):
            record = self.registry.services[name]
            if record.declaration is None:
                continue
            spec = self._planes.declaration(record.declaration)
            yield from self._steps_of(record, spec, now)

    def _steps_of(self, record: ServiceRecord, spec: ServiceSpec, now: Instant) -> Iterator[Step]:
        for event in list(record.orders.values()):
            if isinstance(event.fact, OrderGiven):
                yield OrderDesk(self._planes, record, spec, now).step(event, event.fact)
        yield TriggerDesk(self._planes, record, spec, now).step()
        for cycle in record.open_cycles:
            yield CycleDesk(self._planes, record, spec, now).step(cycle)
        yield RescoringDesk(self._planes, record, spec, now).step()
        rollout = record.open_rollout
        entering = False
        if rollout is not None:
            desk = RolloutDesk(self._planes, record, spec, now)
            yield desk.step(rollout)
            entering = desk.entering
        else:
            yield ChampionReview(self._planes, record, now).step()
        yield ClearingDesk(record, now).step()
        yield PoolDesk(self._planes, record, spec, now).step()
        yield route_step(self._planes, record, spec, now, entering=entering)
