"""What a service may be called: its name stands in the paths of URLs and of files."""

import re

from evertrain.core.identity import ServiceName
from evertrain.errors import UserError

__all__ = ["check_name"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(name: str) -> ServiceName:
    """The name as one of a service. UserError with the nearest that is one.

    >>> check_name("churn-2")
    'churn-2'
    """
    if _NAME.fullmatch(name) is None:
        fit = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:64]
        remedy = "Use up to 64 letters, digits, '.', '_' and '-', a letter or digit first"
        raise UserError(f"{name!r} is no name of a service.", f"{remedy}{f': --service {fit}' if fit else ''}.")
    return ServiceName(name)
