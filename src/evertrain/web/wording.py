"""How the page says instants, spans, counts and shares to people. Times are UTC."""

from evertrain.core.identity import short
from evertrain.core.time import DAY, HOUR, MINUTE, SECOND, to_datetime
from evertrain.core.wording import say_evidence, say_many
from evertrain.web.overview import Work, WorkerPool

__all__ = [
    "NEXT_DOOR",
    "say_count",
    "say_date",
    "say_figure",
    "say_lasting",
    "say_missed",
    "say_moment",
    "say_number",
    "say_percent",
    "say_pool",
    "say_progress",
    "say_seconds",
    "say_sentence",
    "say_work",
]

NEXT_DOOR = (
    "Next: let evertrain answer with the model. A successor goes through a check and a canary; going back is instant:",
    "evertrain serve MODEL",
)
"""What a person who watches would get from the next door, and its command."""

_MINUS = "\u2212"
_NONE = "\u2013"


def say_moment(at: int | None) -> str:
    """An instant, to the minute.

    >>> say_moment(0), say_moment(None)
    ('1 Jan 1970, 00:00', '–')
    """
    if at is None:
        return _NONE
    moment = to_datetime(at)
    return f"{moment.day} {moment:%b %Y, %H:%M}"


def say_missed(known_to: int) -> str:
    """What a process does that was away while others wrote: up to this instant it knows their log.

    >>> say_missed(0)
    'reads what it missed, up to 1 Jan 1970, 00:00 so far'
    """
    return f"reads what it missed, up to {say_moment(known_to)} so far"


def say_date(at: int) -> str:
    """The day of an instant, for axes.

    >>> say_date(0)
    '1 Jan'
    """
    moment = to_datetime(at)
    return f"{moment.day} {moment:%b}"


def say_count(count: float | None) -> str:
    """A whole number, in groups of three.

    >>> say_count(119113)
    '119,113'
    """
    return _NONE if count is None else f"{count:,.0f}"


def say_percent(share: float | None) -> str:
    """A share of 0 to 1, with as many digits as it needs.

    >>> say_percent(0.05), say_percent(0.0021), say_percent(1), say_percent(0.975)
    ('5 %', '0.21 %', '100 %', '97.5 %')
    """
    if share is None:
        return _NONE
    percent = share * 100
    digits = 2 if abs(percent) < 1 else 1
    return f"{percent:.{digits}f}".rstrip("0").rstrip(".").replace("-", _MINUS) + " %"


def say_number(value: float | None, digits: int = 4) -> str:
    """A figure, to a fixed number of digits.

    >>> say_number(0.311), say_number(-0.0021, 3)
    ('0.3110', '−0.002')
    """
    return _NONE if value is None else f"{value:,.{digits}f}".replace("-", _MINUS)


def say_figure(value: float | None, unit: str) -> str:
    """A figure of evidence with its unit: "%" is a share, "ms" milliseconds, "e" an e-value.

    >>> say_figure(0.05, "%"), say_figure(19.71, "ms"), say_figure(0.31, ""), say_figure(1200.0, "e")
    ('5 %', '19.7 ms', '0.3100', '1,200')
    """
    if value is None:
        return _NONE
    if unit == "%":
        return say_percent(value)
    if unit == "ms":
        return say_number(value, 1) + " ms"
    if unit == "e":
        return say_evidence(value)
    return say_number(value)


def say_sentence(words: str) -> str:
    """Words as a sentence: a capital at the start, a full stop at the end.

    >>> say_sentence("the bound is 1.31 %"), say_sentence("“Why?”"), say_sentence("")
    ('The bound is 1.31 %.', '“Why?”', '')
    """
    words = words.strip()
    if not words:
        return ""
    return words[0].upper() + words[1:] + ("" if words[-1] in ".!?”" else ".")


def say_seconds(seconds: float) -> str:
    """A span of seconds, as `say_lasting` says it; below ten seconds with a digit.

    >>> say_seconds(0.42), say_seconds(9.96), say_seconds(5400.0)
    ('0.4 s', '10 s', '1 h 30 min')
    """
    return f"{seconds:.1f} s" if seconds < 9.95 else say_lasting(round(seconds) * SECOND)


def say_progress(for_s: float, usual_s: float | None, earlier: int, limit_s: float) -> str:
    """How long something takes already, and how much longer it should, by the earlier ones of its kind.

    >>> say_progress(40, 90, 3, 3600)
    'for 40 s; about 50 s left, since the last 3 took 1 min 30 s'
    >>> say_progress(120, 90, 1, 3600)
    'for 2 min; longer than the last one, which took 1 min 30 s; it is ended after 1 h'
    >>> say_progress(4, None, 0, 3600)
    'for 4.0 s; the first of its kind here; it is ended after 1 h'
    """
    said, end = f"for {say_seconds(for_s)}", f"it is ended after {say_seconds(limit_s)}"
    if usual_s is None:
        return f"{said}; the first of its kind here; {end}"
    last = "the last one" if earlier == 1 else f"the last {earlier}"
    if for_s > usual_s:
        return f"{said}; longer than {last}, which took {say_seconds(usual_s)}; {end}"
    return f"{said}; about {say_seconds(usual_s - for_s)} left, since {last} took {say_seconds(usual_s)}"


def say_work(one: Work) -> str:
    """What is being done, for how long already, and how much longer it should take."""
    return f"{one.says}, {say_progress(one.for_s, one.usual_s, one.earlier, one.limit_s)}"


def say_pool(one: WorkerPool) -> str:
    """A pool of workers, and what it is there for.

    >>> say_pool(WorkerPool(number=1, workers=2))
    'pool 1 takes all connections; 2 workers up'
    >>> say_pool(WorkerPool(number=0, state="stands by", workers=2, keeps="version 1 of shop", until=0))
    'pool 0 stands by with version 1 of shop until 1 Jan 1970, 00:00; 2 workers up'
    """
    does = {
        "accepts": "takes all connections",
        "comes": f"comes up for {one.keeps}",
        "stands by": f"stands by with {one.keeps or 'nothing to go back to'} until {say_moment(one.until)}",
        "ends": "ends",
    }[one.state]
    within = f", in environment {short(one.environment)}" if one.environment else ""
    return f"pool {one.number} {does}; {say_many(one.workers, 'worker')} up{within}"


def say_lasting(span: int | None) -> str:
    """A span in its two largest units.

    >>> say_lasting(36 * HOUR), say_lasting(90 * MINUTE), say_lasting(40 * SECOND)
    ('1 d 12 h', '1 h 30 min', '40 s')
    """
    if span is None:
        return _NONE
    rest, parts = abs(span), []
    for size, name in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {name}")
    return " ".join(parts[:2]) or "0 s"
