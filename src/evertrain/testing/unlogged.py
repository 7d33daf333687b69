"""A serving worker that keeps no record of its predictions: what is left of its time is what the record costs.

python -m evertrain.testing.unlogged --dir DIR --name w0
"""

import sys

from evertrain.config.settings import Settings
from evertrain.core.prediction import Record
from evertrain.process.worker.serving import main
from evertrain.store.log import LogWriter
from evertrain.store.state import State

__all__ = ["Unlogged"]


class Unlogged(LogWriter):
    """A log that forgets at once."""

    def append(self, *records: Record) -> None:
        """Nothing."""


def _open(state: State, name: str, _: Settings) -> Unlogged:
    return Unlogged(state.log, name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], _open))
