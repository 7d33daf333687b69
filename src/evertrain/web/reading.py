"""What the web asks of whoever runs the loop: readings to show, and actions that a person may take."""

from typing import Literal, Protocol

import msgspec

from evertrain.core.card import Card
from evertrain.core.event import Event
from evertrain.core.flag import ServiceFlags
from evertrain.core.identity import ServiceName
from evertrain.monitor.report import Report
from evertrain.web.overview import Overview

__all__ = ["Accepted", "Actions", "Readings", "Ruling", "Switch"]

Switch = Literal["off", "on", "pause", "resume"]
"""off, on: of the service; the others: of the rollout that is under way."""
Ruling = Literal["approve", "deny"]


class Readings(Protocol):
    """Called on threads of the web server, about once a second for each open page: cheap, and safe beside the loop."""

    def services(self) -> tuple[ServiceName, ...]:
        """All declared services, in the order of their declaration."""

    def overview(self, service: ServiceName) -> Overview:
        """One service as it stands. NotFoundError names the services that there are."""

    def card(self, service: ServiceName, version: str) -> Card:
        """Why a version (ordinal, id, or the start of an id) got its verdict. NotFoundError when it has none."""

    def report(self, service: ServiceName) -> Report:
        """What was observed of a service that is only watched; it may take seconds. NotFoundError for any other."""

    def events(self, after: int, limit: int) -> list[Event]:
        """The ledger after a sequence number (-1: from the start), oldest first."""

    def flags(self) -> tuple[ServiceFlags, ...]:
        """Of each service that is answered here: whether it is on, and who answers whom, as the workers have it now."""

    def metrics(self) -> str:
        """The text that Prometheus scrapes, over all workers."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A person's action is on record; the loop acts on it at its next tick. sequence: of its ledger event."""

    sequence: int
    says: str


class Actions(Protocol):
    """What a person may do. `reason` is what they typed; it is kept beside the ledger and named there by digest.

    UserError says what is wrong with the request; TrustError, that a version may not be promoted.
    """

    def promote(self, service: ServiceName, version: str, reason: str) -> Accepted:
        """Put a version (ordinal, id, or the start of an id) into service, past a verdict if need be."""

    def rollback(self, service: ServiceName, reason: str) -> Accepted:
        """End the running rollout, or else go back to the previous champion."""

    def retrain(self, service: ServiceName, recipe: str, reason: str) -> Accepted:
        """Begin a retraining cycle with a recipe ("": the default one)."""

    def switch(self, service: ServiceName, turn: Switch, reason: str) -> Accepted:
        """Turn the service, or its running rollout, off or on again."""

    def rule(self, service: ServiceName, ruling: Ruling, version: str, reason: str) -> Accepted:
        """Allow or deny what a version on trial (ordinal, id, start of an id; "": whichever it is) waits for."""
