"""When a retraining is due, and which of the triggers that fire starts it.

`due` looks at one trigger and answers "fired, because" or "not yet, because, look again then". `arbitrate` looks at all
that fired together: at most one runs, every other one is merged, deferred or skipped with its reason. Both are level
triggered: a trigger stays due until a run has begun, so nothing is lost by deferring it, and runs that were missed
while nothing ran are made up by one.

Cron expressions have five fields, in a named zone: `0 9 * * mon` is Monday, nine o'clock there. A job at a fixed time
runs once in the hour that the autumn doubles, and once, an hour later by the clock on the wall, where spring leaves its
time out. As in Debian, `0 0 13 * 5` is the 13th *or* a Friday; a star in either field makes it *and*.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from evertrain.core.identity import CycleId
from evertrain.core.policy import MetricName, PerformanceTrigger, RowsTrigger, ScheduleTrigger, TriggerSpec
from evertrain.core.time import Instant, from_datetime, say_instant, say_span, to_datetime
from evertrain.errors import DeclarationError

__all__ = [
    "MANUAL",
    "Decided",
    "Fired",
    "InFlight",
    "NotYet",
    "Observed",
    "Reading",
    "arbitrate",
    "check",
    "due",
    "name_of",
    "next_run",
]

MANUAL = "manual"
"""The name of the trigger that a person pulls; it waits for no cooldown and needs no new rows."""

_HIGHER_IS_BETTER: frozenset[MetricName] = frozenset({"auc", "accuracy"})


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The champion's metric on the mature cohorts of the trigger's window, and what it was at its gate.

    labels: mature labelled rows behind `now`. at_gate: None where the champion was never gated (a first version).
    """

    metric: MetricName
    window: int
    now: float
    at_gate: float | None
    labels: int


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What triggers look at. since: when the last run began, else when the service was declared.

    rows: mature rows that the last run's snapshot did not hold. renewed: another declaration, or other code, is in
    force than in the last run.
    """

    now: Instant
    since: Instant
    rows: int = 0
    renewed: bool = False
    readings: tuple[Reading, ...] = ()


class Fired(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger is due. evidence: the numbers that made it so.

    recipe: as its run is asked for; recipes: those that it names. seen: what it looked at, None for what all did.
    """

    trigger: str
    reason: str
    evidence: dict[str, float] = {}
    recipe: str = "default"
    recipes: tuple[str, ...] = ()
    seen: Observed | None = None


class NotYet(msgspec.Struct, frozen=True, kw_only=True):
    """A trigger is not due. next_look: when it will be, where time alone decides."""

    trigger: str
    reason: str
    next_look: Instant | None = None


def name_of(trigger: TriggerSpec) -> str:
    """What people and the ledger call a trigger.

    >>> name_of(RowsTrigger(rows=20_000)), name_of(ScheduleTrigger(every=7 * 86_400_000_000, recipe="deep"))
    ('rows 20000', 'schedule every 7d by deep')
    """
    by = "" if trigger.recipe == "default" else f" by {trigger.recipe}"
    match trigger:
        case ScheduleTrigger(every=int(every)):
            return f"schedule every {say_span(every)}{by}"
        case ScheduleTrigger():
            return f"schedule {trigger.cron} {trigger.zone}{by}"
        case RowsTrigger():
            return f"rows {trigger.rows}{by}"
        case PerformanceTrigger():
            return f"performance {trigger.metric}{by}"


def check(trigger: TriggerSpec) -> None:
    """Refuse a schedule that says nothing, says two things, or never comes.

    >>> check(ScheduleTrigger(cron="0 0 30 2 *"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    evertrain.errors.DeclarationError: The schedule '0 0 30 2 *' never comes: Bad day-of-month. Write five fields...
    """
    if not isinstance(trigger, ScheduleTrigger):
        return
    if (trigger.every is None) == (trigger.cron is None):
        raise DeclarationError("A schedule has either a span or a cron expression.", 'For example et.every("7d").')
    if trigger.every == 0:
        raise DeclarationError("A schedule of every 0s never rests.", 'For example et.every("7d").')
    if trigger.cron is not None:
        next_run(trigger.cron, trigger.zone, Instant(0))


def next_run(cron: str, zone: str, after: Instant) -> Instant:
    """The first time of a cron expression strictly after an instant; DeclarationError where there is none.

    >>> say_instant(next_run("0 9 29 2 *", "UTC", from_datetime(datetime.fromisoformat("2024-02-29T09:00:00Z"))))
    '2028-02-29T09:00:00Z'
    """
    try:
        moment = to_datetime(after).astimezone(ZoneInfo(zone))
    except (LookupError, ValueError, OSError) as error:
        raise DeclarationError(
            f"{zone!r} is not a time zone.", 'Write an IANA name, for example "Europe/Berlin".'
        ) from error
    remedy = 'Write five fields, minute hour day month weekday, for example "0 6 * * mon".'
    if len(cron.split()) != 5:
        raise DeclarationError(f"The schedule {cron!r} has not five fields.", remedy)
    try:
        found: datetime = next(CronSim(cron, moment))
    except (CronSimError, StopIteration) as error:
        raise DeclarationError(f"The schedule {cron!r} never comes: {str(error) or 'no such day'}.", remedy) from error
    return from_datetime(found)


def due(trigger: TriggerSpec, observed: Observed) -> Fired | NotYet:
    """Whether a trigger is due now.

    >>> due(RowsTrigger(rows=10), Observed(now=Instant(0), since=Instant(0), rows=12)).reason
    '12 new mature rows, 10 make a run'
    """
    match trigger:
        case ScheduleTrigger():
            return _schedule(trigger, observed)
        case RowsTrigger():
            return _rows(trigger, observed)
        case PerformanceTrigger():
            return _performance(trigger, observed)


def _schedule(trigger: ScheduleTrigger, observed: Observed) -> Fired | NotYet:
    name = name_of(trigger)
    if trigger.every is not None:
        at = Instant(observed.since + trigger.every)
    else:
        at = next_run(trigger.cron or "", trigger.zone, observed.since)
    if observed.now < at:
        return NotYet(trigger=name, reason=f"next at {say_instant(at)}", next_look=at)
    return Fired(trigger=name, reason=f"was due at {say_instant(at)}", evidence={"due": float(at)})


def _rows(trigger: RowsTrigger, observed: Observed) -> Fired | NotYet:
    reason = f"{observed.rows} new mature rows, {trigger.rows} make a run"
    if observed.rows < trigger.rows:
        return NotYet(trigger=name_of(trigger), reason=reason)
    evidence = {"rows": float(observed.rows), "limit": float(trigger.rows)}
    return Fired(trigger=name_of(trigger), reason=reason, evidence=evidence)


def _performance(trigger: PerformanceTrigger, observed: Observed) -> Fired | NotYet:
    name = name_of(trigger)
    reading = next(
        (one for one in observed.readings if one.metric == trigger.metric and one.window == trigger.window), None
    )
    if reading is None or reading.at_gate is None:
        return NotYet(trigger=name, reason="the champion has no figure to compare with")
    if reading.labels < trigger.min_labels:
        return NotYet(trigger=name, reason=f"{reading.labels} mature labels, {trigger.min_labels} are needed")
    rise = reading.now - reading.at_gate
    drop = -rise if trigger.metric in _HIGHER_IS_BETTER else rise
    compared = (
        f"{trigger.metric} {reading.now:.4f} on {reading.labels} mature labels, {reading.at_gate:.4f} at its gate"
    )
    if not drop >= trigger.drop:
        return NotYet(trigger=name, reason=compared)
    evidence = {
        "now": reading.now,
        "at_gate": reading.at_gate,
        "drop": drop,
        "limit": trigger.drop,
        "labels": float(reading.labels),
    }
    return Fired(trigger=name, reason=f"{compared}: worse by {drop:.4f}", evidence=evidence)


# Which one runs ------------------------------------------------------------------------------------------------------


class InFlight(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle that has not ended. collecting: its data are not fixed yet, so it serves a new trigger as well.

    recipes: those that it trains by; a trigger of another one has to wait for a run of its own.
    """

    cycle: CycleId
    collecting: bool
    recipes: tuple[str, ...] = ()


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a trigger that fired. cycle: which it is merged into or waits for. until: not before this."""

    fired: Fired
    decision: Literal["run", "merge", "defer", "skip"]
    reason: str
    cycle: CycleId | None = None
    until: Instant | None = None


def arbitrate(
    fired: Sequence[Fired], observed: Observed, *, in_flight: InFlight | None, cooldown: int, began: Instant | None
) -> tuple[Decided, ...]:
    """One decision for each trigger that fired, in their order; at most one of them is "run".

    cooldown: shortest time between the beginnings of two runs, in microseconds. began: when the last run began, None
    before the first one. A trigger that a person pulled waits for no cooldown.

    >>> hundred = [Fired(trigger=f"rows {n}", reason="") for n in range(100)]
    >>> seen = Observed(now=Instant(9), since=Instant(0), rows=5)
    >>> decided = arbitrate(hundred, seen, in_flight=None, cooldown=5, began=None)
    >>> [one.decision for one in decided[:2]], sum(one.decision == "run" for one in decided)
    (['run', 'merge'], 1)
    """
    decided: list[Decided] = []
    for one in fired:
        first = next((other for other in decided if other.decision == "run"), None)
        if first is None:
            decided.append(_alone(one, one.seen or observed, in_flight, cooldown, began))
        elif {*one.recipes} <= {*first.fired.recipes}:
            decided.append(Decided(fired=one, decision="merge", reason=f"{first.fired.trigger} starts the same run"))
        else:
            reason = f"{first.fired.trigger} starts a run by recipe {first.fired.recipe}"
            decided.append(Decided(fired=one, decision="defer", reason=reason))
    return tuple(decided)


def _alone(one: Fired, observed: Observed, in_flight: InFlight | None, cooldown: int, began: Instant | None) -> Decided:
    if in_flight is not None and in_flight.collecting and {*one.recipes} <= {*in_flight.recipes}:
        reason = f"{in_flight.cycle} has not fixed its data yet"
        return Decided(fired=one, decision="merge", reason=reason, cycle=in_flight.cycle)
    if in_flight is not None:
        reason = f"{in_flight.cycle} is in flight"
        return Decided(fired=one, decision="defer", reason=reason, cycle=in_flight.cycle)
    if one.trigger == MANUAL:
        return Decided(fired=one, decision="run", reason=one.reason)
    if began is not None and observed.now < began + cooldown:
        until = Instant(began + cooldown)
        return Decided(fired=one, decision="defer", reason=f"cooldown until {say_instant(until)}", until=until)
    if observed.rows == 0 and began is not None and not observed.renewed:
        return Decided(fired=one, decision="skip", reason="no new mature rows since the last run")
    return Decided(fired=one, decision="run", reason=one.reason)
