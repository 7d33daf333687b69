"""What a successor takes in otherwise than the version that answers: categories that it does not know, other types.

Each version encodes texts by its own list, so another order of the same categories changes nothing. One that is gone is
taken for a missing value, without an error; a column of another type may be another quantity under an old name.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from evertrain.core.schema import Column, Input, Kind

__all__ = ["LostCategories", "Retyped", "lost_categories", "retyped_columns"]

_NAMED: Final = 5


class LostCategories(msgspec.Struct, frozen=True, kw_only=True):
    """Categories of one column that the champion knows and its successor does not. whole: it knows none of them."""

    column: str
    texts: tuple[str, ...]
    whole: bool

    @property
    def words(self) -> str:
        """In half a sentence.

        >>> LostCategories(column="device", texts=("tablet",), whole=False).words
        "it does not know 'tablet' in column 'device', which the champion knows"
        """
        if self.whole:
            return f"it knows none of the categories of column {self.column!r} that the champion knows"
        named = ", ".join(map(repr, self.texts[:_NAMED]))
        more = f" and {len(self.texts) - _NAMED} more" if len(self.texts) > _NAMED else ""
        return f"it does not know {named}{more} in column {self.column!r}, which the champion knows"


class Retyped(msgspec.Struct, frozen=True, kw_only=True):
    """A column of another type than before."""

    column: str
    before: Kind
    after: Kind

    @property
    def words(self) -> str:
        """In half a sentence.

        >>> Retyped(column="visits", before="int64", after="float64").words
        "it takes column 'visits' as float64, the champion as int64, so it may be another quantity"
        """
        took = f"it takes column {self.column!r} as {self.after}, the champion as {self.before}"
        return f"{took}, so it may be another quantity"


def lost_categories(champion: Iterable[Input], successor: Iterable[Input]) -> tuple[LostCategories, ...]:
    """By column, in the successor's order; columns that only one of the two has as categories are left out.

    >>> lost_categories([Input(name="x", categories=("a", "b"))], [Input(name="x", categories=("b", "c"))])
    (LostCategories(column='x', texts=('a',), whole=False),)
    >>> lost_categories([Input(name="x", categories=("a", "b"))], [Input(name="x", categories=("b", "a"))])
    ()
    """
    before = {one.name: one.categories for one in champion}
    found = []
    for one in successor:
        known = before.get(one.name)
        if known and one.categories is not None:
            lost = tuple(text for text in known if text not in frozenset(one.categories))
            if lost:
                found.append(LostCategories(column=one.name, texts=lost, whole=len(lost) == len(known)))
    return tuple(found)


def retyped_columns(champion: Sequence[Column], successor: Sequence[Column]) -> tuple[Retyped, ...]:
    """Columns of the same name whose types differ, as two files of one format say them.

    >>> retyped_columns([Column(name="x", type="int64")], [Column(name="x", type="int64")])
    ()
    """
    before = {one.name: one.type for one in champion}
    return tuple(
        Retyped(column=one.name, before=before[one.name], after=one.type)
        for one in successor
        if before.get(one.name, one.type) != one.type
    )
