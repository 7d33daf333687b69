"""Labels that come as rows of files, told to the log: whoever compares answers with outcomes reads nothing else."""

from pathlib import Path
from typing import Final

import polars as pl

from evertrain.core.identity import ServiceName
from evertrain.core.time import Instant
from evertrain.data.label import PostedLabels
from evertrain.store.log import LogWriter, claim_writer

__all__ = ["FiledLabels"]

_WRITER: Final = "filed"
_SEGMENT_BYTES: Final = 1 << 20
_SYNC_S: Final = 0.2
_AT_ONCE: Final = 500
"""Labels in one stroke of the log: far fewer than fill a segment."""


class FiledLabels:
    """Rows of labels' sources wait here until the log was read up to them; the first label makes the writer."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._waiting: dict[ServiceName, list[pl.DataFrame]] = {}
        self._writer: LogWriter | None = None

    def keep(self, service: ServiceName, rows: pl.DataFrame) -> None:
        """Rows of the source of the service's label, that came in a file."""
        self._waiting.setdefault(service, []).append(rows)

    def tell(self, service: ServiceName, labels: PostedLabels, now: Instant) -> int:
        """Write the labels of logged predictions; returns how many.

        Whoever is killed before takes the files in again, and tells them again: a label that is told twice is one.
        """
        waiting = self._waiting.get(service)
        if not waiting:
            return 0
        told = labels.filed(pl.concat(waiting), now)
        for first in range(0, len(told), _AT_ONCE):
            self._claimed().append(*told[first : first + _AT_ONCE])
        del self._waiting[service]
        return len(told)

    def close(self) -> None:
        """Seal what was written."""
        if self._writer is not None:
            self._writer.close()

    def _claimed(self) -> LogWriter:
        if self._writer is None:
            self._writer = claim_writer(self._log, _WRITER, segment_bytes=_SEGMENT_BYTES, sync_interval_s=_SYNC_S)
        return self._writer
