"""What a request gets that is not answered: a status, and words that say why and what to do."""

import logging
import time
from collections.abc import Callable
from http import HTTPStatus

import msgspec

from evertrain.deploy.admission import LateError
from evertrain.deploy.body import EncodingError
from evertrain.deploy.incoming import CodingError, ExpectationError, HeadError, StalledError
from evertrain.deploy.request import Reply
from evertrain.errors import (
    CapacityError,
    EvertrainError,
    ModelError,
    NotFoundError,
    RequestError,
    TooLargeError,
    UnavailableError,
    told,
)
from evertrain.store.segment import FullLogError

__all__ = ["Seldom", "not_for", "refusal", "status_of"]

_encoder = msgspec.json.Encoder()
_LONGEST_WORDS = 2_000
_THINGS = 100
_ALIKE = 40
"""Characters of a refusal that say what it is about; further on it may name a request."""
_STATUSES: tuple[tuple[type[EvertrainError], int], ...] = (
    (StalledError, HTTPStatus.REQUEST_TIMEOUT),
    (ExpectationError, HTTPStatus.EXPECTATION_FAILED),
    (CodingError, HTTPStatus.NOT_IMPLEMENTED),
    (HeadError, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    (EncodingError, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (RequestError, HTTPStatus.BAD_REQUEST),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (LateError, HTTPStatus.GATEWAY_TIMEOUT),
    (CapacityError, HTTPStatus.SERVICE_UNAVAILABLE),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (ModelError, HTTPStatus.INTERNAL_SERVER_ERROR),
)


_FULL = CapacityError(
    "There is no room to put an answer on record, and nothing is answered without.", "Send it again later."
)


class Seldom:
    """Warns of one thing once in a while: what refuses every request would fill a disk with one line.

    every_s: seconds between two lines about the same thing; the later one says how many there were since.
    """

    def __init__(
        self, log: logging.Logger, *, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._every_s = every_s
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}

    def warn(self, what: str, words: str) -> None:
        """what: by what a thing is known again, words: what is said of it."""
        now = self._clock()
        last, since = self._said.get(what, (-self._every_s, 0))
        if now - last < self._every_s:
            self._said[what] = last, since + 1
            return
        if len(self._said) >= _THINGS:
            self._said.clear()
        self._said[what] = now, 0
        self._log.warning("%s", f"{words} ({since} more like it since that was said last)" if since else words)


_seldom = Seldom(logging.getLogger(__name__))


def status_of(error: EvertrainError) -> int:
    """The HTTP status that an error is told by."""
    return next((int(status) for kind, status in _STATUSES if isinstance(error, kind)), 500)


def refusal(status: int, error: EvertrainError) -> Reply:
    """The reply that tells an error. What is the server's fault goes into its log, too.

    Where its disk lies is nobody's business who asks from elsewhere: the log and the status name the folder.
    """
    if status >= 500:
        _seldom.warn(f"{status}: {error.what[:_ALIKE]}", f"{status}: {_cut(error.what)}")
    retry: tuple[tuple[bytes, bytes], ...] = ((b"retry-after", b"1"),) if error.retry else ()
    shown = told(_FULL if isinstance(error, FullLogError) else error)
    return Reply(status, _encoder.encode({name: _cut(words) for name, words in shown.items()}), retry)


def not_for(method: str, wanted: str) -> Reply:
    """The reply to a method that a path does not have."""
    reply = refusal(405, RequestError(f"{method} is not for this path.", f"Use {wanted}."))
    return msgspec.structs.replace(reply, headers=((b"allow", wanted.encode()),))


def _cut(words: str) -> str:
    """Words that a client can read, and a log can hold: names and values of any length may stand in them."""
    return words if len(words) <= _LONGEST_WORDS else f"{words[:_LONGEST_WORDS]}..."
