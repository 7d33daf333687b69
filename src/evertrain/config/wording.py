"""The short texts of a declaration ("mean 4h as arrival_delay_4h", "int64?"), read into values."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import get_args

import msgspec

from evertrain.core.schema import Column, Kind
from evertrain.core.time import Span, parse_span
from evertrain.errors import DeclarationError

__all__ = ["Window", "read_columns", "read_pairs", "read_window", "suggestion"]

_FOLDS = ("count", "sum", "mean", "rate", "min", "max")
_WINDOW = re.compile(
    r"(?P<fold>[a-z]+)(?:\s+(?P<start>\d.*?))?(?:\s+until\s+(?P<end>\d.*?))?(?:\s+as\s+(?P<name>[A-Za-z_]\w*))?"
)

_LONGEST_NAME = 200
"""A longer one is no mistyped name, and to compare megabytes of it would take a second."""


def suggestion(name: str, known: Iterable[str], *, otherwise: str = "", limit: int = 30) -> str:
    """A remedy that names the nearest known name; where none is near, `otherwise`, or all of them up to a limit.

    Every mistyped name gets its remedy here: columns, triggers, settings, services, recipes, commands, options.

    >>> suggestion("orign", ["origin", "dest"])
    'Did you mean "origin"?'
    >>> suggestion("Origin", ["origin", "dest"])
    'Did you mean "origin"?'
    >>> suggestion("x", ["origin", "dest"])
    'Known are: dest, origin.'
    """
    names = sorted(known)
    folded = {one.casefold(): one for one in names}
    near = get_close_matches(name.casefold(), folded, n=1) if len(name) <= _LONGEST_NAME else []
    if near:
        return f'Did you mean "{folded[near[0]]}"?'
    if otherwise or not names:
        return otherwise or "None is declared."
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"Known are: {', '.join(names[:limit])}{more}."


class Window(msgspec.Struct, frozen=True):
    """One fold over a window; `name` is "" when none was given."""

    fold: str
    start: Span | None
    end: Span
    name: str


def read_window(text: str) -> Window:
    """Read FOLD [LENGTH] [until LENGTH] [as NAME]; without a length the window reaches back for ever.

    >>> read_window("mean 4h as arrival_delay_4h").name
    'arrival_delay_4h'
    >>> read_window("count 7d until 1d").end == parse_span("1d")
    True
    """
    found = _WINDOW.fullmatch(text.strip())
    if found is None:
        raise DeclarationError(f"{text!r} is not a window.", 'Write for example "mean 4h" or "count 7d as visits_7d".')
    if found["fold"] not in _FOLDS:
        raise DeclarationError(f"Unknown fold {found['fold']!r} in window {text!r}.", suggestion(found["fold"], _FOLDS))
    start = parse_span(found["start"]) if found["start"] else None
    end = parse_span(found["end"]) if found["end"] else Span(0)
    if start is not None and start <= end:
        raise DeclarationError(f"Window {text!r} is empty.", "Let it begin longer ago than it ends.")
    return Window(found["fold"], start, end, found["name"] or "")


def read_columns(types: Mapping[str, str]) -> tuple[Column, ...]:
    """Read names with types; a question mark lets a value be missing.

    >>> read_columns({"origin": "string", "delay": "int64?"})[1].nullable
    True
    """
    columns = []
    for name, text in types.items():
        kind = text.removesuffix("?")
        if kind not in get_args(Kind):
            raise DeclarationError(f"Column {name!r} has the unknown type {text!r}.", suggestion(kind, get_args(Kind)))
        columns.append(msgspec.convert({"name": name, "type": kind, "nullable": text.endswith("?")}, Column))
    return tuple(columns)


def read_pairs(names: "str | Iterable[str] | Mapping[str, str] | None") -> tuple[tuple[str, str], ...]:
    """Names on either side of a look-up: one name or several stand for the same name on both sides.

    >>> read_pairs("origin"), read_pairs({"dest": "airport"}), read_pairs(None)
    ((('origin', 'origin'),), (('dest', 'airport'),), ())
    """
    if names is None:
        return ()
    if isinstance(names, str):
        return ((names, names),)
    if isinstance(names, Mapping):
        return tuple(names.items())
    return tuple((name, name) for name in names)
