"""Columns and their types: what a caller sends, what a source holds, what a model takes."""

from typing import Literal

import msgspec

__all__ = ["Column", "Input", "Kind", "Schema", "Value"]

Kind = Literal["string", "int64", "float64", "bool", "timestamp"]
"""timestamp: microseconds UTC inside; ISO 8601 with an offset, or INT64 microseconds, at the doors."""

Value = str | int | float | bool | None


class Column(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named, typed column. A nullable column may be null or left out; low and high are inclusive."""

    name: str
    type: Kind
    nullable: bool = False
    low: float | None = None
    high: float | None = None


class Schema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Columns in their declared order."""

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """One position of a model's input vector.

    A category is given to the model as its index in `categories`, as a float; a category that is not in the list
    (never seen in training) is given as NaN, exactly like a missing one.
    """

    name: str
    categories: tuple[str, ...] | None = None
