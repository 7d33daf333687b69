"""Looks at all watched services now and then, so that what got worse is told to people who do not open the page."""

import logging
import threading
import time
from collections.abc import Sequence

from evertrain.core.identity import ServiceName
from evertrain.errors import EvertrainError
from evertrain.monitor.gist import Gist, gist_of
from evertrain.process.observation.reports import ObservedReports
from evertrain.process.view.looks import leave_gists, leave_looked_at_first
from evertrain.store.state import State

__all__ = ["Overseer"]

_EVERY_S, _SOON_S = 15.0, 1.0
"""Between looks; and while nothing was posted yet."""
_PATIENCE_S = 3.0
_SHARE = 20.0
"""A look is made no oftener than after so many times what the last one took."""

_log = logging.getLogger(__name__)


class Overseer:
    """Makes the reports in a thread of its own, one look at a time, and leaves the gist of each."""

    def __init__(self, state: State, reports: ObservedReports) -> None:
        self._state, self._reports = state, reports
        self._thread: threading.Thread | None = None
        self._due = float("-inf")
        self._stopped = False
        self.gists: tuple[Gist, ...] = ()

    def oversee(self, services: Sequence[ServiceName]) -> None:
        """Begin a look if one is due; returns at once. From one thread only."""
        busy = self._thread is not None and self._thread.is_alive()
        if not services or busy or self._stopped or time.monotonic() < self._due:
            return
        self._thread = threading.Thread(target=self._look, args=(tuple(services),), name="overseer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Begin no further look, and wait a while for the one that runs."""
        self._stopped = True
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def _look(self, services: Sequence[ServiceName]) -> None:
        began = time.monotonic()
        try:
            self.look(services)
        except Exception:  # noqa: BLE001 - a look that failed is told and made again; nothing depends on it
            if not self._stopped:  # at the end the ledger closes under a look that takes long
                _log.exception("The watched services could not be looked at")
        self._due = time.monotonic() + max(_EVERY_S if self.gists else _SOON_S, _SHARE * (time.monotonic() - began))

    def look(self, services: Sequence[ServiceName]) -> None:
        """Look at all of them now, and leave what was found of each at once. Without anything posted it is left out."""
        waiting = [one for one in services if one not in {gist.service for gist in self.gists}]
        leave_looked_at_first(self._state.reports, {one: count for one in waiting if (count := self._taken(one))})
        for service in services:
            try:
                found = gist_of(service, self._reports.of(service, patience_s=None))
            except EvertrainError as error:
                _log.debug("%s is not looked at: %s", service, error)
                continue
            self._leave({gist.service: gist for gist in self.gists if gist.service in services} | {service: found})

    def _leave(self, gists: dict[ServiceName, Gist]) -> None:
        if tuple(gists.values()) != self.gists:
            self.gists = tuple(gists.values())
            leave_gists(self._state.reports, self.gists)

    def _taken(self, service: ServiceName) -> int:
        try:
            return self._reports.taken(service)
        except EvertrainError:
            return 0
