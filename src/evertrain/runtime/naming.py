"""What a model file is called where something is wrong with it."""

import re
from pathlib import Path
from typing import Final

__all__ = ["name_of"]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def name_of(path: Path) -> str:
    """Its name, as the beginning of a sentence. In the store a file is called by its digest, which says nothing.

    >>> name_of(Path("models/churn.txt")), name_of(Path("72" * 32))
    ('churn.txt', 'The model file')
    """
    return "The model file" if _DIGEST.fullmatch(path.name) else path.name
