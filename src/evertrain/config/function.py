"""References to the user's functions, taken when a declaration is read."""

from collections.abc import Callable
from typing import Any

from evertrain.config.declaration import FunctionRef
from evertrain.config.namespace import module_of
from evertrain.errors import DeclarationError

__all__ = ["refer"]


def refer(function: Callable[..., Any], purpose: str) -> FunctionRef:
    """The reference to a function that stands at the top level of a module.

    A reference must find the same function in another process and in a year, so a lambda or a function made inside
    another one is refused.

    >>> refer(len, "a cleaning function")
    FunctionRef(module='builtins', name='len')
    """
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        raise DeclarationError(f"{function!r} is not a function ({purpose}).", "Name a function of a module.")
    if "<" in name:
        raise DeclarationError(
            f"{name} of {module} cannot be found again by name ({purpose}).",
            "Define it with def at the top level of a module; lambdas and inner functions have no lasting name.",
        )
    if module == "__main__":
        raise DeclarationError(
            f"{name} stands in a script that is being run ({purpose}).",
            "Start the file with `evertrain up FILE` instead of running it with Python.",
        )
    return FunctionRef(module=module_of(module), name=name)
