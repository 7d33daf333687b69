"""How counts are said to people."""

__all__ = ["say_many"]


def say_many(count: int, noun: str) -> str:
    """A count of things whose plural ends in s, in groups of three digits.

    >>> say_many(1, "file"), say_many(1200, "file"), say_many(0, "row")
    ('1 file', '1,200 files', '0 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
