"""What of a source still waits in quarantine: by the newest reading of each of its files.

A file that was mended where it lies is read again. What then fits comes in, and no longer waits; the quarantine keeps
the papers of every reading.
"""

from evertrain.core.identity import Digest
from evertrain.data.quarantine import Quarantine

__all__ = ["POSTED", "Standing"]

POSTED = "posted labels"
"""Stands where a file would, for rows that came in none."""


class Standing:
    """Rows and whole files of one source that are set aside."""

    def __init__(self, quarantine: Quarantine) -> None:
        self._papers = quarantine.counts()
        self._rows: dict[str, int] = {}
        self.posted(sum(rows for (name, _), rows in self._papers.items() if name == POSTED))
        self._files: set[str] = set()

    @property
    def rows(self) -> int:
        return sum(self._rows.values())

    @property
    def files(self) -> int:
        return len(self._files)

    def read(self, file: str, aside: int) -> None:
        """A file was read, and so many of its rows were set aside."""
        self._rows[file] = aside
        self._files.discard(file)

    def recall(self, file: str, digest: Digest) -> None:
        """A file was read by an earlier process: the quarantine says what was set aside of it."""
        self.read(file, self._papers.get((file, digest), 0))

    def refused(self, file: str) -> None:
        """A whole file was set aside, and with it what was set aside of its rows before."""
        self._files.add(file)
        self._rows.pop(file, None)

    def posted(self, aside: int) -> None:
        """So many rows that were posted fit nothing."""
        self._rows[POSTED] = self._rows.get(POSTED, 0) + aside
