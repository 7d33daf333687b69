"""How the authoring functions refuse what they do not know: as a fault of the declaration, with a suggestion."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import msgspec

from evertrain.config.wording import suggestion
from evertrain.errors import DeclarationError

__all__ = ["Names", "closed", "read_names", "read_spec"]

Names = str | Sequence[str]
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
            remedy = suggestion(unknown[0], signature.parameters) if unknown else ""
            raise DeclarationError(f"et.{function.__name__}: {error}.", remedy) from error
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
        raise DeclarationError(f"{where}{f'({name}=...)' if name else ''}: {reason}.", "Mend its value.") from error
