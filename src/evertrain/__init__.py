"""evertrain keeps machine-learning models in production fresh.

A service is declared in a Python file:

    import evertrain as et
"""

from evertrain.config.authoring import (
    Examples,
    Label,
    Service,
    Source,
    between,
    files,
    not_null,
    one_of,
    unique,
)
from evertrain.config.policy import Canary, Gate, Recipe, cron, every, performance, rows
from evertrain.config.training import Run, TrainingSet
from evertrain.config.vocabulary import column, latest, open_count, request_features, windows

__all__ = [
    "Canary",
    "Examples",
    "Gate",
    "Label",
    "Recipe",
    "Run",
    "Service",
    "Source",
    "TrainingSet",
    "between",
    "column",
    "cron",
    "every",
    "files",
    "latest",
    "not_null",
    "one_of",
    "open_count",
    "performance",
    "request_features",
    "rows",
    "unique",
    "windows",
]
