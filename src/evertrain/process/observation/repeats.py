"""Predictions that come twice under one name: the first of each counts, in a file as in a stream, and that is told."""

import polars as pl

from evertrain.web.wording import say_count

__all__ = ["without_repeats"]

_FEW = 0.05
"""More rows than this that repeat a name, and it is no name of single predictions."""


def without_repeats(
    frame: pl.DataFrame, name: str, remedy: str, notices: list[str], warnings: list[str], *, called: str = ""
) -> pl.DataFrame:
    """The first row of each value of the column `name`, in their order; rows without a value all count.

    remedy: what to do where the name seems to be that of what predictions are about. called: the name, for people.

    >>> told: list[str] = []
    >>> without_repeats(pl.DataFrame({"id": ["a", *map(str, range(30)), "a"]}), "id", "", told, []).height, told
    (31, ['1 of 32 rows repeats a value of id; the first of each counts.'])
    """
    repeated = frame.select(pl.col(name).is_not_null() & ~pl.col(name).is_first_distinct()).to_series()
    count, called = int(repeated.sum()), called or name
    rows = f"{say_count(count)} of {say_count(frame.height)} rows {'repeats' if count == 1 else 'repeat'}"
    if count > _FEW * frame.height:
        warnings.append(
            f"{rows} a value of {called}, and only the first of each is looked at: does {called} name each prediction, "
            f"or what it is about? {remedy}"
        )
    elif count:
        notices.append(f"{rows} a value of {called}; the first of each counts.")
    return frame.filter(~repeated)
