"""Whether the ledger still holds together: read whole, now and then, on a thread beside the loop."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec

from evertrain.core.time import Instant
from evertrain.errors import EvertrainError
from evertrain.store.audit import audit_ledger
from evertrain.store.signature import Verifier
from evertrain.store.state import State

__all__ = ["Verification", "Verified"]

_FIRST_S = 15.0
_EVERY_S = 60.0

_log = logging.getLogger(__name__)


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. at: business time of its end."""

    at: Instant
    holds: bool


class Verification:
    """Checks the ledger a while after the start and every minute; `newest` is what was found last.

    It is the ledger alone: `evertrain ledger verify` also reads every file that the ledger names.
    """

    def __init__(self, state: State, now: Callable[[], Instant]) -> None:
        self._state = state
        self._now = now
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-check", daemon=True)
        self.newest: Verified | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._thread.join()

    def check(self) -> Verified:
        """Read the whole ledger now. What differs is logged, a line for each finding."""
        findings = audit_ledger(self._state.ledger, Verifier.load(self._state.trusted)).findings
        for finding in findings:
            _log.error("The ledger does not verify: %s: %s", finding.subject, finding.what)
        self.newest = Verified(at=self._now(), holds=not findings)
        return self.newest

    def _run(self) -> None:
        pause = _FIRST_S
        while not self._leaving.wait(pause):
            pause = _EVERY_S
            try:
                self.check()
            except EvertrainError as error:
                _log.error("The ledger could not be checked: %s", error)
