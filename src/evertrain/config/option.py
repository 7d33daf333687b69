"""How the authoring functions refuse what they do not know: as a fault of the declaration, with a suggestion."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, get_args

import msgspec

from evertrain.config.wording import suggestion
from evertrain.errors import DeclarationError

__all__ = ["Names", "closed", "expect", "expect_each", "read_names", "read_spec"]

Names = str | Sequence[str]
_MOST = 60
P = ParamSpec("P")
R = TypeVar("R")


def closed(function: Callable[P, R]) -> Callable[P, R]:
    """Refuse an unknown or a missing option as a fault of the declaration."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            unknown = [name for name in kwargs if name not in signature.parameters]
            if unknown:
                said = f"et.{function.__name__}: there is no argument {unknown[0]!r}."
                raise DeclarationError(said, suggestion(unknown[0], signature.parameters)) from error
            raise DeclarationError(f"et.{function.__name__}: {error}.") from error
        return function(*args, **kwargs)

    return checked


def read_names(names: Names) -> tuple[str, ...]:
    """One name or several.

    >>> read_names("origin"), read_names(["a", "b"])
    (('origin',), ('a', 'b'))
    """
    return (names,) if isinstance(names, str) else tuple(names)


def read_spec(described: Mapping[str, Any], kind: type[R], where: str) -> R:
    """A declared value from its fields, checked against their types and bounds."""
    tag = getattr(kind, "__struct_config__").tag  # noqa: B009 - msgspec's own name, which its stubs leave out
    try:
        return msgspec.convert({"type": tag, **described} if tag else described, kind)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        name = path.rstrip("`").removeprefix(".")
        said = f"{where}{f'({name}=...)' if name else ''}: {reason}."
        raise DeclarationError(said, _remedy(kind, name, reason)) from error


def _remedy(kind: Any, name: str, reason: str) -> str:
    """Of a value that is none of a closed set, the nearest of those."""
    wrong = re.fullmatch(r"Invalid enum value '(.*)'", reason)
    known = next((get_args(field.type) for field in msgspec.structs.fields(kind) if field.name == name), ())
    if wrong and known and all(isinstance(one, str) for one in known):
        return suggestion(wrong[1], known)
    return "Mend its value."


def expect(where: str, value: object, kind: type, example: str) -> None:
    """Refuse a value of another kind. example: how the right one is written.

    >>> expect("et.Service(gate=...)", "log_loss", dict, "et.Gate(...)")
    Traceback (most recent call last):
    evertrain.errors.DeclarationError: et.Service(gate=...) is 'log_loss'. Write et.Gate(...).
    """
    if not isinstance(value, kind):
        raise DeclarationError(f"{where} is {_cut(repr(value))}.", f"Write {example}.")


def expect_each(where: str, values: object, kind: type, example: str) -> None:
    """Refuse what is no list, and a list that holds another kind."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise DeclarationError(f"{where} is no list.", f"Write [{example}].")
    for value in values:
        expect(f"One of {where}", value, kind, example)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else f"{text[: _MOST - 4]} ..."
