"""The reports of all watched services of an installation, made one at a time, and answered without waiting for others.

A look at a long stream takes a minute. Who asks meanwhile gets the report that there is; before the first one, how many
predictions were taken.
"""

import threading
import time
from concurrent.futures import Future

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.config.wording import suggestion
from evertrain.core.identity import ServiceName
from evertrain.core.registry import Registry
from evertrain.core.wording import say_many
from evertrain.errors import NotFoundError, UnavailableError
from evertrain.monitor.report import Report
from evertrain.process.observation.observed import References, observed_report, taken
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.state import State

__all__ = ["ObservedReports"]

_FRESH_S = 5.0
_SHARE = 5.0
"""A report is made anew no sooner than after so many times what the last one took."""
_PATIENCE_S = 2.0
"""So long who asks waits for a new report, before the one that there is must do."""


class _Made(msgspec.Struct, frozen=True):
    """A report, when it was made and how long that took, in seconds."""

    report: Report
    at: float
    took: float

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.at <= max(_FRESH_S, _SHARE * self.took)


class ObservedReports:
    """The reports of an installation's watched services. Any thread asks; who holds `turn` makes one."""

    def __init__(self, state: State, ledger: Ledger) -> None:
        self._state, self._ledger = state, ledger
        self._blobs = Artifacts.at(state.artifacts).blobs
        self._lock, self.turn = threading.Lock(), threading.Lock()
        self._references = References(state)
        self._made: dict[ServiceName, _Made] = {}
        self._making: dict[ServiceName, Future[Report]] = {}

    def of(self, service: ServiceName, patience_s: float | None = _PATIENCE_S) -> Report:
        """The report, not much older than its making took; after so many seconds the one that there is.

        patience_s None: a new one is waited for. NotFoundError for a service that is not watched, UnavailableError
        while nothing was posted and while the first look takes longer.
        """
        with self._lock:
            made = self._made.get(service)
            if made is not None and made.is_fresh:
                return made.report
            making = self._making.get(service) or self._begin(service)
        try:
            return making.result(patience_s)
        except TimeoutError:
            if made is not None:
                return made.report
            raise UnavailableError(
                f"{say_many(self.taken(service), 'prediction')} of {service} taken; the first look is under way.",
                "Ask again in a minute.",
            ) from None

    def taken(self, service: ServiceName) -> int:
        """How many of its predictions are in the table."""
        return taken(self._state, service)

    def _begin(self, service: ServiceName) -> "Future[Report]":
        making: Future[Report] = Future()
        self._making[service] = making
        threading.Thread(target=self._make, args=(service, making), name=f"report of {service}", daemon=True).start()
        return making

    def _make(self, service: ServiceName, making: "Future[Report]") -> None:
        try:
            with self.turn:
                began = time.monotonic()
                now = business_clock(self._state.clock).now()
                report = observed_report(self._state, self._spec(service), now, self._references)
            ended = time.monotonic()
            with self._lock:
                self._made[service] = _Made(report, ended, ended - began)
                del self._making[service]
            making.set_result(report)
        except Exception as error:  # noqa: BLE001 - it is raised where the report is asked for
            with self._lock:
                self._making.pop(service, None)
            making.set_exception(error)

    def _spec(self, service: ServiceName) -> ServiceSpec:
        declared = {
            name: msgspec.json.decode(self._blobs.get(record.declaration), type=ServiceSpec)
            for name, record in Registry(self._ledger.read()).services.items()
            if record.declaration is not None
        }
        watched = [name for name, spec in declared.items() if spec.watched is not None]
        if service not in watched:
            raise NotFoundError(f"There is no watched service {service!r}.", suggestion(service, watched))
        return declared[service]
