"""How counts and evidence are said to people."""

from typing import Final

__all__ = ["say_evidence", "say_many"]

_MANY_DIGITS: Final = 1e6


def say_many(count: int, noun: str) -> str:
    """A count of things whose plural ends in s, in groups of three digits.

    >>> say_many(1, "file"), say_many(1200, "file"), say_many(0, "row")
    ('1 file', '1,200 files', '0 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def say_evidence(e_value: float) -> str:
    """An e-value: whole where it decides, and by its power of ten where nobody would count the digits.

    >>> say_evidence(1.234), say_evidence(208.4), say_evidence(12_345.0), say_evidence(2.782e40)
    ('1.23', '208', '12,345', '2.78e+40')
    """
    if e_value >= _MANY_DIGITS:
        return f"{e_value:.3g}"
    return f"{e_value:,.{0 if e_value >= 100 else 2}f}"
