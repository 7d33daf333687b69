"""Which triggers fire, and the one decision that each of them gets: run, merge, defer or skip, with its reason."""

from collections.abc import Callable
from functools import partial

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.control.planes import Planes
from evertrain.control.step import NOTHING, Step
from evertrain.control.succession import (
    at_work,
    busy_for_order,
    gives_way_to_order,
    gives_way_to_trigger,
    superseded,
)
from evertrain.core.event import Draft, TriggerDecided
from evertrain.core.identity import CycleId
from evertrain.core.policy import TriggerSpec
from evertrain.core.registry import Cycle, ServiceRecord
from evertrain.core.rehearsal import asked_for
from evertrain.core.time import DAY, Instant
from evertrain.core.trigger import Decided, Fired, InFlight, NotYet, Observed, arbitrate, due

__all__ = ["FIRST", "ORDER", "TriggerDesk"]

FIRST = "first"
"""The trigger of a service that has no version yet."""

ORDER = "order"
"""The trigger that a person pulls."""

STILL_NONE = "The service still has no version."


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
            first = Fired(trigger=FIRST, reason="The service has no version yet.", recipes=tuple(self._spec.recipes))
            return self._decide([first])
        if self._record.wanted is not None and busy_for_order(self._record) is None:
            return self._begin_wanted(self._record.wanted)
        if self._record.champion is None and not self._record.open_cycles:
            return self._try_again(last)
        looks = [self._look(trigger) for trigger in self._spec.triggers]
        fired = [look for look in looks if isinstance(look, Fired)]
        # Whose recipe has waited longest goes first: a frequent one would keep a rare one from running for ever.
        step = self._decide(sorted(fired, key=lambda one: one.seen.since if one.seen is not None else self._now))
        if step.drafts:
            return step
        waits = [look.next_look for look in looks if isinstance(look, NotYet) and look.next_look is not None]
        tomorrow = Instant(self._now - self._now % DAY + DAY)
        return Step(until=min([*waits, tomorrow]) if self._planes.paced() else min(waits, default=None))

    def _begin_wanted(self, recipe: str) -> Step:
        """What a person asked for while a cycle was at work begins now."""
        asked = Fired(trigger=ORDER, reason="A person asked for it while another cycle was at work.")
        decided = Decided(fired=asked, decision="run", reason=asked.reason)
        draft = self._draft(decided, self._record.newest_cycle, recipe)
        return Step(drafts=(draft, *self._superseding(gives_way_to_order)))

    def _try_again(self, last: Cycle) -> Step:
        """There is still no version: nothing answers, so this waits for the cooldown, or for newer code."""
        at = Instant(last.began + self._spec.cooldown)
        renewed = self._record.declared_since(last)
        if self._now < at and not renewed:
            return Step(until=at)
        why = "The service still has no version, and what is declared has changed." if renewed else STILL_NONE
        again = Fired(trigger=FIRST, reason=why)
        decided = Decided(fired=again, decision="run", reason=again.reason)
        return Step(drafts=(self._draft(decided, self._record.newest_cycle),))

    def _look(self, trigger: TriggerSpec) -> Fired | NotYet:
        """Look at one trigger, by what has come since the last run that trained by its recipe."""
        last = self._record.last_run_by(trigger.recipe, self._spec.recipes)
        since = self._record.declared if last is None else last.dataset.cut if last.dataset else last.began
        found = self._planes.observed(self._record.service, since, self._now)
        seen = Observed(
            now=self._now,
            since=self._record.declared if last is None else last.began,
            rows=found.rows,
            readings=found.readings,
            renewed=last is not None and self._record.declared_since(last),
        )
        look = due(trigger, seen)
        if isinstance(look, NotYet):
            return look
        recipes = asked_for(trigger.recipe, self._spec.recipes)
        return msgspec.structs.replace(look, recipe=trigger.recipe, recipes=recipes, seen=seen)

    def _decide(self, fired: list[Fired]) -> Step:
        if not fired:
            return NOTHING
        last = self._record.last_run
        busy = at_work(self._record)
        in_flight = None
        if busy is not None:
            recipes = asked_for(busy.recipe, self._spec.recipes)
            in_flight = InFlight(cycle=busy.cycle, collecting=busy.state == "triggered", recipes=recipes)
        seen = Observed(now=self._now, since=last.began if last else self._record.declared)
        decided = arbitrate(
            fired, seen, in_flight=in_flight, cooldown=self._spec.cooldown, began=last.began if last else None
        )
        newest = self._record.newest_cycle
        fresh = [one for one in decided if (one.fired.trigger, one.decision, newest) not in self._record.heard]
        drafts = [self._draft(one, newest, one.fired.recipe) for one in fresh]
        if any(one.decision == "run" for one in fresh):
            drafts += self._superseding(partial(gives_way_to_trigger, self._record))
        return Step(drafts=tuple(drafts))

    def _superseding(self, gives_way: Callable[[Cycle], bool]) -> list[Draft]:
        """The ends of the cycles that only wait, when another begins."""
        return [
            Draft(
                id=f"{cycle.cycle}:{cycle.looks}:{cycle.state}:superseded",
                at=self._now,
                actor="controller",
                subject=f"cycle/{cycle.cycle}",
                reason=f"A newer cycle begins while it is {cycle.state.replace('_', ' ')}.",
                fact=superseded(self._record, cycle),
            )
            for cycle in self._record.open_cycles
            if gives_way(cycle)
        ]

    def _draft(self, one: Decided, newest: CycleId | None, recipe: str = "default") -> Draft:
        cycle = one.cycle
        if one.decision == "run":
            cycle = CycleId(f"{self._record.service}/c{len(self._record.cycles) + 1}")
        fact = TriggerDecided(
            service=self._record.service,
            trigger=one.fired.trigger,
            decision=one.decision,
            cycle=cycle,
            recipe=recipe,
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
