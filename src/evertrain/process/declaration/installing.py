"""Make a state directory, or find it complete: `python -m evertrain.process.declaration.installing --dir DIR`.

A process of its own, so that the supervisor, which lives as long as the service, never loads a database.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evertrain.errors import EvertrainError
from evertrain.process.entry import fault_of_disk, tell_fault
from evertrain.store.installation import complete

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """The command line; a fault is one line on stderr."""
    parser = argparse.ArgumentParser(prog="evertrain.process.declaration.installing")
    parser.add_argument("--dir", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        complete(given.dir)
    except (EvertrainError, OSError) as error:
        return tell_fault(fault_of_disk(error) if isinstance(error, OSError) else error)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
