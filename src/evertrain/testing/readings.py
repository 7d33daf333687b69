"""Readings and actions made by hand: what the page and the control API ask of whoever runs the loop."""

from collections.abc import Callable

import msgspec

from evertrain.core.card import Card
from evertrain.core.event import AlertCleared, Event
from evertrain.core.flag import ServiceFlags
from evertrain.core.identity import ServiceName
from evertrain.errors import NotFoundError, TrustError
from evertrain.monitor.report import Report
from evertrain.testing.card import card_of_nine
from evertrain.testing.overview import BEGAN, SERVICE, overview_in_canary
from evertrain.web.overview import Overview
from evertrain.web.reading import Accepted, Ruling, Switch

__all__ = ["HandmadeActions", "HandmadeReadings"]


class HandmadeReadings:
    """Readings whose overview and cards a test may replace while a page is open."""

    def __init__(self, make: Callable[[], Overview] = overview_in_canary) -> None:
        self.current = make()
        self.switches: tuple[ServiceFlags, ...] = ()
        self.cards = {"9": card_of_nine()}

    def services(self) -> tuple[ServiceName, ...]:
        return (SERVICE, ServiceName("churn"))

    def overview(self, service: ServiceName) -> Overview:
        if service not in self.services():
            raise NotFoundError(f"There is no service {service!r}.", f"There are: {', '.join(self.services())}.")
        return msgspec.structs.replace(self.current, service=service)

    def card(self, service: ServiceName, version: str) -> Card:
        self.overview(service)
        if version not in self.cards:
            raise NotFoundError(f"Version {version!r} has no evaluation card.", "Only judged versions have one.")
        return self.cards[version]

    def report(self, service: ServiceName) -> Report:
        raise NotFoundError(f"There is no watched service {service!r}.", "Watch one.")

    def events(self, after: int, limit: int) -> list[Event]:
        return [
            Event(sequence=number, id=f"e{number}", at=BEGAN, actor="test", subject="service/late-flights",
                  reason="It is over.", fact=AlertCleared(alert="disk"))
            for number in range(after + 1, min(after + 1 + limit, 5))
        ]  # fmt: skip

    def flags(self) -> tuple[ServiceFlags, ...]:
        return self.switches

    def metrics(self) -> str:
        return '# TYPE evertrain_requests_total counter\nevertrain_requests_total{service="late-flights"} 231406\n'


class HandmadeActions:
    """Actions that are only written down."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, ...]] = []

    def promote(self, service: ServiceName, version: str, reason: str) -> Accepted:
        if version == "5":
            raise TrustError("Version 5 was refused by the gate.", "Override it with the command line.")
        return self._took("promote", service, version, reason)

    def rollback(self, service: ServiceName, reason: str) -> Accepted:
        return self._took("rollback", service, reason)

    def retrain(self, service: ServiceName, recipe: str, reason: str) -> Accepted:
        return self._took("retrain", service, recipe, reason)

    def switch(self, service: ServiceName, turn: Switch, reason: str) -> Accepted:
        return self._took(turn, service, reason)

    def rule(self, service: ServiceName, ruling: Ruling, version: str, reason: str) -> Accepted:
        return self._took(ruling, service, version, reason)

    def _took(self, *what: str) -> Accepted:
        self.taken.append(what)
        return Accepted(sequence=2_900 + len(self.taken), says="The loop acts on it at its next tick.")
