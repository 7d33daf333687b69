"""Business time: instants, spans and moments, as integers of microseconds.

Everything in `core` gets the time as an argument. An instant is microseconds since 1970 in UTC, a span is a
number of microseconds; neither knows a time zone. Naive times are refused where they enter.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NewType
from zoneinfo import ZoneInfo

import msgspec

from evertrain.errors import DeclarationError

__all__ = [
    "DAY",
    "EARLIEST",
    "HOUR",
    "LATEST",
    "MINUTE",
    "SECOND",
    "Instant",
    "Moment",
    "Span",
    "from_datetime",
    "parse_instant",
    "parse_span",
    "say_instant",
    "say_span",
    "to_datetime",
]

Instant = NewType("Instant", int)
Span = NewType("Span", int)

SECOND = Span(1_000_000)
MINUTE = Span(60 * SECOND)
HOUR = Span(60 * MINUTE)
DAY = Span(24 * HOUR)

EARLIEST = Instant(-62_135_596_800_000_000)
LATEST = Instant(253_402_300_799_999_999)
"""The years 1 to 9999: what can be said as a date."""

_UNITS = {"us": 1, "ms": 1_000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_SPAN = re.compile(r"(\d+)\s*(us|ms|s|m|h|d|w)")
_MOMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:([+-])\s*(.+?))?\s*")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_span(text: str) -> Span:
    """Read "90m", "2h", "1d 12h"; units us, ms, s, m, h, d, w.

    >>> parse_span("90m") == 90 * MINUTE
    True
    >>> parse_span("1d 12h") == 36 * HOUR
    True
    """
    total, rest = 0, text.strip()
    if not rest:
        raise DeclarationError("An empty duration.", 'Write a number with a unit, for example "2h".')
    while rest:
        found = _SPAN.match(rest)
        if found is None:
            raise DeclarationError(
                f"{text!r} is not a duration.",
                'Write numbers with units us, ms, s, m, h, d or w, for example "1d 12h".',
            )
        total += int(found[1]) * _UNITS[found[2]]
        rest = rest[found.end() :].lstrip()
    return Span(total)


def say_span(span: int) -> str:
    """The shortest text that `parse_span` reads back.

    >>> say_span(36 * HOUR), say_span(0), say_span(1500)
    ('1d 12h', '0s', '1ms 500us')
    """
    if span == 0:
        return "0s"
    if span < 0:
        return "-" + say_span(-span)
    parts = []
    for unit in ("d", "h", "m", "s", "ms", "us"):
        count, span = divmod(span, _UNITS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts)


def from_datetime(moment: datetime) -> Instant:
    """Microseconds of an aware datetime. A naive one is a broken promise of the caller."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return Instant((moment - _EPOCH) // _MICROSECOND)


def to_datetime(at: int) -> datetime:
    """The aware datetime, in UTC."""
    return _EPOCH + timedelta(microseconds=at)


def parse_instant(text: str, zone: str | None = None) -> Instant:
    """Read an ISO 8601 time, to the microsecond. zone: of one without an offset, and of a plain date, its midnight.

    >>> say_instant(parse_instant("2013-02-06T00:00:00-05:00"))
    '2013-02-06T05:00:00Z'
    >>> say_instant(parse_instant("2013-02-06", "America/New_York"))
    '2013-02-06T05:00:00Z'
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an ISO 8601 time") from error
    fraction = re.search(r"\.(\d+)", text)
    if fraction is not None and fraction[1][6:].strip("0"):
        raise ValueError(f"{text!r} is finer than a microsecond")
    if moment.tzinfo is None:
        if zone is None:
            raise ValueError(f"{text!r} has no time zone")
        moment = moment.replace(tzinfo=ZoneInfo(zone))
        if moment.utcoffset() != moment.replace(fold=1).utcoffset():
            raise ValueError(f"the clocks of {zone} show {text!r} twice or never")
    found = from_datetime(moment)
    if not EARLIEST <= found <= LATEST:
        raise ValueError(f"{text!r} lies outside of the years 1 to 9999 in UTC")
    return found


def say_instant(at: int) -> str:
    """ISO 8601 in UTC, as short as it is exact.

    >>> say_instant(0)
    '1970-01-01T00:00:00Z'
    """
    return to_datetime(at).isoformat().replace("+00:00", "Z")


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A time that a row implies: one of its columns, moved by a span ("scheduled - 2h")."""

    column: str
    offset: int = 0

    @classmethod
    def parse(cls, text: str) -> "Moment":
        """Read "column", "column + 15m" or "column - 2h".

        >>> Moment.parse("scheduled - 2h").offset == -2 * HOUR
        True
        """
        found = _MOMENT.fullmatch(text)
        if found is None:
            raise DeclarationError(
                f"{text!r} is not a moment.", 'Write a column, perhaps moved: "scheduled" or "scheduled - 2h".'
            )
        offset = parse_span(found[3]) if found[3] else 0
        return cls(column=found[1], offset=-offset if found[2] == "-" else offset)

    def of(self, row: Mapping[str, int]) -> Instant:
        """The instant of a row whose column holds an instant."""
        return Instant(row[self.column] + self.offset)

    def __str__(self) -> str:
        if self.offset == 0:
            return self.column
        return f"{self.column} {'-' if self.offset < 0 else '+'} {say_span(abs(self.offset))}"
