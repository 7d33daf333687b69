"""How a person's order reaches the loop: as a fact of the ledger, whose answer is another one."""

import secrets
import time
from collections.abc import Callable

from evertrain.config.wording import suggestion
from evertrain.core.event import Draft, Event, OrderAnswered, OrderGiven, RolloutBegun, RolloutMoved
from evertrain.core.identity import RolloutId, ServiceName, VersionId
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.routing import Route
from evertrain.errors import NotFoundError, UserError
from evertrain.store.clock import business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.process import alive, at_work, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State

__all__ = [
    "await_answer",
    "await_entry",
    "await_route",
    "await_switch",
    "find_controller",
    "find_service",
    "find_version",
    "give_order",
]

_LOOK_S = 0.05
_RESTART_S = 10.0
"""So long a supervisor may take to start a controller anew."""

_ENDS = ("promote", "roll back", "abort")


def give_order(state: State, ledger: Ledger, order: OrderGiven) -> Event:
    """Put an order on record; the loop takes it up at its next look."""
    [event] = ledger.append(
        Draft(
            id=f"order:{order.service}:{secrets.token_hex(8)}",
            at=business_clock(state.clock).now(),
            actor=order.role,
            subject=f"service/{order.service}",
            reason=f"A person asked: {order.verb}.",
            fact=order,
        )
    )
    return event


def find_controller(state: State) -> None:
    """Raise UserError unless somebody runs who carries orders out, or will within seconds.

    An order that is found hours later may be about something else by then: who answers, and what is on trial, changes.
    """
    end = time.monotonic() + _RESTART_S
    while True:
        living = {one.role for one in heartbeats(state) if alive(one)}
        if "controller" in living:
            return
        if "supervisor" not in living or time.monotonic() > end:
            raise UserError(
                f"Nobody runs who could carry that out: {state.path} has no controller. Nothing was ordered.",
                "Start it (`evertrain up` or `evertrain serve`), see what `evertrain status` says, and order it then.",
            )
        time.sleep(_LOOK_S)


def await_answer(ledger: Ledger, order: Event, seconds: float) -> Event | None:
    """The loop's answer to an order; None when there is none within so many seconds (it stands, and is taken up)."""
    end = time.monotonic() + seconds
    while True:
        for event in ledger.read(after=order.sequence, kinds={"order.answered"}):
            if isinstance(event.fact, OrderAnswered) and event.fact.order == order.sequence:
                return event
        if time.monotonic() > end:
            return None
        time.sleep(_LOOK_S)


def await_entry(state: State, ledger: Ledger, order: Event, version: VersionId, seconds: float) -> Event | None:
    """How a version that was ordered into service fared; None when that is not known within so many seconds.

    Only the rollout that the order began counts: one of the same version may have been ended for it. Where no worker
    lives to load it, nothing is waited for.
    """
    end = time.monotonic() + seconds
    begun: RolloutId | None = None
    while True:
        for event in ledger.read(after=order.sequence, kinds={"rollout.begun", "rollout.moved"}):
            fact = event.fact
            if begun is None and isinstance(fact, RolloutBegun) and fact.version == version:
                begun = fact.rollout
            if isinstance(fact, RolloutMoved) and fact.rollout == begun and fact.move in _ENDS:
                return event
        if time.monotonic() > end or not any(one.role == "worker" and alive(one) for one in heartbeats(state)):
            return None
        time.sleep(_LOOK_S)


def await_switch(
    state: State, service: ServiceName, *, champion: VersionId | None, gone: VersionId | None, seconds: float
) -> bool:
    """Whether every worker that lives answers with this champion, and asks nothing of the version that is gone, within
    so many seconds: then none of its answers comes any more.
    """

    def is_switched(route: Route) -> bool:
        arms = (route.canary, route.control)
        return route.champion == champion and all(arm is None or arm.version != gone for arm in arms)

    return await_route(state, service, is_switched, seconds)


def await_route(state: State, service: ServiceName, wanted: Callable[[Route], bool], seconds: float) -> bool:
    """Whether every worker that lives obeys a table in which the route of a service is as wanted, within so many
    seconds.

    True where no worker lives: whoever starts obeys the table that stands.
    """
    routing, end = RoutingFile(state.routing), time.monotonic() + seconds
    while True:
        table = routing.read()
        route = table.routes.get(service)
        stands = route is not None and wanted(route)
        workers = [one for one in heartbeats(state) if one.role == "worker" and at_work(one)]
        if not workers or (stands and all(one.generation >= table.generation for one in workers)):
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_LOOK_S)


def find_service(registry: Registry, name: str | None) -> ServiceRecord:
    """The service of that name; without a name, the only one there is."""
    known = ", ".join(sorted(registry.services)) or "none"
    if name is None:
        if len(registry.services) == 1:
            return next(iter(registry.services.values()))
        raise UserError(f"Which service? There are: {known}.", "Name one of them.")
    record = registry.services.get(ServiceName(name))
    if record is None:
        raise NotFoundError(f"There is no service {name!r}.", suggestion(name, registry.services))
    return record


def find_version(record: ServiceRecord, text: str) -> VersionId:
    """A version by its ordinal ("3") or by the beginning of its id."""
    found = [
        version.version
        for version in record.versions.values()
        if str(version.ordinal) == text or (len(text) >= 6 and version.version.startswith(text))
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(str(version.ordinal) for version in record.versions.values()) or "none"
    what = "more than one version" if found else "no version"
    raise NotFoundError(f"{record.service} has {what} {text!r}.", f"There are versions {known}.")
