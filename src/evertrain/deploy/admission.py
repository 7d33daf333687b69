"""Who is let in when there is too much to do, and how long an answer may take.

What the champion answers at once never waits for a place. What has to be waited for does: a version on trial, a large
batch. When half of the places are taken, nothing goes to versions on trial any more, and the champion answers in their
stead; when all are taken, whatever would have to wait is refused. So trials are the first to give way, and users the
last. A shadow, whose answers nobody gets, gives way before all of them: at a quarter of the places, and when the loop
is late.
"""

import time
from collections.abc import Mapping
from types import TracebackType

from evertrain.errors import CapacityError, RequestError

__all__ = ["Admission", "LateError", "NoPlaceError", "deadline_of"]

_TIMEOUT = b"x-evertrain-timeout-ms"
_ENVOY = b"x-envoy-expected-rq-timeout-ms"
_LONGEST_MS = 86_400_000
_LATE_NS = 50_000_000
"""A loop that wakes up so much too late, twice in a row, has too much to do."""


class NoPlaceError(CapacityError):
    """As many requests wait for their answers as may."""


class LateError(CapacityError):
    """Nobody waits for the answer any more: the deadline of the request is over."""


class Admission:
    """The places of one worker. Used from the event loop alone: `with admission:` holds one."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0
        self._lags_ns = (0, 0)

    @property
    def has_room_for_trials(self) -> bool:
        return 2 * self._taken < self._places

    @property
    def has_room_for_shadows(self) -> bool:
        return 4 * self._taken < self._places and min(self._lags_ns) < _LATE_NS

    def note_lag(self, seconds: float) -> None:
        """Say how much too late the event loop woke up: so long requests wait before they are read."""
        self._lags_ns = (self._lags_ns[1], round(seconds * 1e9))

    def refuse_late(self, until_ns: int) -> None:
        """LateError when a deadline is over. What a request waited before it was read counts.

        How long that was is not known; under load it is as long as the loop lags, time after time. One pause alone is
        held against nobody.
        """
        if time.perf_counter_ns() + min(self._lags_ns) > until_ns:
            raise LateError(
                "It could not be answered before its deadline.", "Send it again in a moment, or wait longer."
            )

    def __enter__(self) -> None:
        if self._taken >= self._places:
            raise NoPlaceError(f"{self._taken} requests are in hand already.", "Send it again in a moment.")
        self._taken += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken -= 1


def deadline_of(headers: Mapping[bytes, bytes], begun_ns: int, longest_s: float) -> int:
    """When a request has to be answered, on the clock of `begun_ns`, which is when it had come.

    The client says how long it waits, or Envoy says it for the client; nobody waits longer than `longest_s`.
    """
    longest_ns = round(longest_s * 1e9)
    said = headers.get(_TIMEOUT) or headers.get(_ENVOY)
    if said is None:
        return begun_ns + longest_ns
    if not (said.isdigit() and len(said) <= 10 and 0 < int(said) <= _LONGEST_MS):
        raise RequestError(
            f"{said[:40].decode('latin-1')!r} is no number of milliseconds from 1 to {_LONGEST_MS}.",
            "Send how long you wait for the answer, or leave the header out.",
            field=_TIMEOUT.decode(),
        )
    return begun_ns + min(int(said) * 1_000_000, longest_ns)
