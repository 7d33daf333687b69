"""Which triggers fire, and the one decision that each of them gets: run, merge, defer or skip, with its reason."""

from evertrain.config.declaration import ServiceSpec
from evertrain.control.planes import Planes
from evertrain.control.step import NOTHING, Step
from evertrain.core.cycle import CycleState, advance
from evertrain.core.event import CycleMoved, Draft, TriggerDecided
from evertrain.core.identity import CycleId
from evertrain.core.registry import Cycle, ServiceRecord
from evertrain.core.time import DAY, Instant
from evertrain.core.trigger import Decided, Fired, InFlight, NotYet, Observed, arbitrate, due

__all__ = ["FIRST", "TriggerDesk"]

FIRST = "first"
"""The trigger of a service that has no version yet."""


class TriggerDesk:
    """Looks at the triggers of one service at one instant of business time."""

    def __init__(self, planes: Planes, record: ServiceRecord, spec: ServiceSpec, now: Instant) -> None:
        self._planes = planes
        self._record = record
        self._spec = spec
        self._now = now

    def step(self) -> Step:
        """Decide about every trigger that fires; a decision that stands since the last cycle is not repeated."""
        if not self._spec.recipes:
            return NOTHING
        last = self._record.last_run
        if last is None:
            return self._decide([Fired(trigger=FIRST, reason="The service has no version yet.")], self._seen(None))
        if self._record.champion is None and not self._record.open_cycles:
            return self._try_again(Instant(last.began + self._spec.cooldown))
        seen = self._seen(last.dataset.cut if last.dataset else last.began)
        looks = [due(trigger, seen) for trigger in self._spec.triggers]
        fired = [look for look in looks if isinstance(look, Fired)]
        step = self._decide(fired, seen)
        if step.drafts:
            return step
        waits = [look.next_look for look in looks if isinstance(look, NotYet) and look.next_look is not None]
        tomorrow = Instant(self._now - self._now % DAY + DAY)
        return Step(until=min([*waits, tomorrow]) if self._planes.paced() else min(waits, default=None))

    def _try_again(self, at: Instant) -> Step:
        """There is still no version: nothing answers, so this waits for the cooldown and for nothing else."""
        if self._now < at:
            return Step(until=at)
        again = Fired(trigger=FIRST, reason="The service still has no version.")
        decided = Decided(fired=again, decision="run", reason=again.reason)
        return Step(drafts=(self._draft(decided, self._record.newest_cycle),))

    def _seen(self, since: Instant | None) -> Observed:
        last = self._record.last_run
        began = last.began if last else self._record.declared
        if since is None:
            return Observed(now=self._now, since=began)
        seen = self._planes.observed(self._record.service, since, self._now)
        return Observed(now=self._now, since=began, rows=seen.rows, readings=seen.readings)

    def _decide(self, fired: list[Fired], seen: Observed) -> Step:
        if not fired:
            return NOTHING
        last = self._record.last_run
        busy = next(
            (cycle for cycle in self._record.open_cycles if cycle.kind != "external" and not _waits(cycle)), None
        )
        in_flight = InFlight(cycle=busy.cycle, collecting=busy.state == "triggered") if busy else None
        decided = arbitrate(
            fired, seen, in_flight=in_flight, cooldown=self._spec.cooldown, began=last.began if last else None
        )
        newest = self._record.newest_cycle
        fresh = [one for one in decided if (one.fired.trigger, one.decision, newest) not in self._record.heard]
        drafts = [self._draft(one, newest) for one in fresh]
        if any(one.decision == "run" for one in fresh):
            # Fresher data make a better challenger than one that waits for more labels.
            drafts += [self._supersede(cycle) for cycle in self._record.open_cycles if _waits(cycle)]
        return Step(drafts=tuple(drafts))

    def _supersede(self, cycle: Cycle) -> Draft:
        moved = CycleMoved(
            service=self._record.service,
            cycle=cycle.cycle,
            move="supersede",
            before=cycle.state,
            after=advance(cycle.kind, cycle.state, "supersede", cycle.cycle),
        )
        return Draft(
            id=f"{cycle.cycle}:{cycle.looks}:{cycle.state}:superseded",
            at=self._now,
            actor="controller",
            subject=f"cycle/{cycle.cycle}",
            reason="A newer cycle begins while it waits for more labels.",
            fact=moved,
        )

    def _draft(self, one: Decided, newest: CycleId | None) -> Draft:
        cycle = one.cycle
        if one.decision == "run":
            cycle = CycleId(f"{self._record.service}/c{len(self._record.cycles) + 1}")
        fact = TriggerDecided(
            service=self._record.service,
            trigger=one.fired.trigger,
            decision=one.decision,
            cycle=cycle,
            evidence=one.fired.evidence,
        )
        return Draft(
            id=f"trigger:{self._record.service}:{one.fired.trigger}:{one.decision}:{newest}",
            at=self._now,
            actor="controller",
            subject=f"service/{self._record.service}",
            reason=f"{one.fired.reason}" if one.decision == "run" else f"{one.fired.reason}: {one.reason}",
            fact=fact,
        )


def _waits(cycle: Cycle) -> bool:
    """Whether a cycle is held because the evidence does not suffice yet."""
    return cycle.state is CycleState.INCONCLUSIVE
