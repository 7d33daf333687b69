"""Become a module of evertrain's in the environment that a version needs, which is built first if it is not there.

    python -m evertrain.process.furnishing --dir DIR --environment LOCK [MODULE WORD...]

The process keeps its number, so whoever started it watches, limits and kills what it becomes. Without a module it only
sees that the environment is there. It runs in the installation's own environment, and none of the user's code.
"""

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from evertrain.core.trial import LACKING
from evertrain.errors import EvertrainError, PackageError
from evertrain.model.environment import furnish
from evertrain.process.entry import EXIT_FAULT, log_to_stderr
from evertrain.store.state import State

__all__ = ["main"]

_OF_THIS_PYTHON: Final = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
_log = logging.getLogger("environment")


def main(arguments: Sequence[str]) -> int:
    """The command line; returns only where the environment cannot be had, or no module is to run in it."""
    parser = argparse.ArgumentParser(prog="evertrain.process.furnishing")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--environment", required=True)
    parser.add_argument("module", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    log_to_stderr("environment")
    try:
        state = State.open(given.dir)
        state.environments.hold(given.environment)
        python = str(furnish(state, given.environment))
    except EvertrainError as error:
        _log.error("%s", error)
        return LACKING if isinstance(error, PackageError) else EXIT_FAULT
    if given.module:
        os.execve(python, [python, "-P", "-m", *given.module], _variables(os.environ))  # noqa: S606 - no shell
    return 0


def _variables(given: Mapping[str, str]) -> dict[str, str]:
    """Without what would lead the other Python to the packages of this one."""
    return {name: value for name, value in given.items() if name not in _OF_THIS_PYTHON}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
