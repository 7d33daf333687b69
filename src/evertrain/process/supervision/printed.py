"""What versions on trial printed: a log each, that explains why one was refused. The newest are kept.

How long one may get, the watchdog sees to. Workers and planes speak on the supervisor's own stderr, which whoever
started it looks after.
"""

import contextlib
from collections.abc import Collection
from pathlib import Path
from typing import Final

from evertrain.store.file import remove_oldest

__all__ = ["MOST_LOGS", "keep_newest"]

MOST_LOGS: Final = 100
"""Of trials that have ended."""


def keep_newest(folder: Path, running: Collection[str], most: int = MOST_LOGS) -> None:
    """Of the logs of processes that do not run, by name, the newest stay. What cannot be removed stays as well."""
    with contextlib.suppress(OSError):
        remove_oldest([log for log in folder.glob("*.log") if log.stem not in running], most)
