"""evertrain keeps machine-learning models in production fresh.

A service is declared in a Python file:

    import evertrain as et

The names are loaded when they are first asked for: the processes of evertrain import this package too, and most of
them declare nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evertrain.config.authoring import (
        Examples,
        Label,
        Source,
        between,
        files,
        not_null,
        one_of,
        unique,
    )
    from evertrain.config.origin import frame, sql
    from evertrain.config.output import classes
    from evertrain.config.policy import BlueGreen, Canary, Gate, Recipe, Shadow, cron, every, performance, rows
    from evertrain.config.script import script
    from evertrain.config.table import Service
    from evertrain.config.training import Run, TrainingSet
    from evertrain.config.vocabulary import column, latest, open_count, request_features, windows

__all__ = [
    "BlueGreen",
    "Canary",
    "Examples",
    "Gate",
    "Label",
    "Recipe",
    "Run",
    "Service",
    "Shadow",
    "Source",
    "TrainingSet",
    "between",
    "classes",
    "column",
    "cron",
    "every",
    "files",
    "frame",
    "latest",
    "not_null",
    "one_of",
    "open_count",
    "performance",
    "request_features",
    "rows",
    "script",
    "sql",
    "unique",
    "windows",
]

_HOMES = (
    "evertrain.config.origin",
    "evertrain.config.output",
    "evertrain.config.table",
    "evertrain.config.authoring",
    "evertrain.config.policy",
    "evertrain.config.script",
    "evertrain.config.training",
    "evertrain.config.vocabulary",
)
"""The modules that the names come from."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            module = import_module(home)
            if name in module.__all__:
                found = globals()[name] = getattr(module, name)
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
