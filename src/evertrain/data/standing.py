"""What of a source still waits in quarantine: by the newest reading of each of its files.

A file that was mended where it lies is read again. So is one of which something was set aside under other rules than
those of the declaration now: what was set aside, and nothing else of it. What then fits comes in, and no longer waits;
the quarantine keeps the papers of every reading.
"""

from pathlib import Path

import msgspec

from evertrain.config.bundle import digest_of_module
from evertrain.config.declaration import SourceSpec
from evertrain.core.identity import Digest, digest_of
from evertrain.data.quarantine import Quarantine, paper_of

__all__ = ["POSTED", "Standing", "rules_of"]

POSTED = "posted labels"
"""Stands where a file would, for rows that came in none."""


def rules_of(source: SourceSpec, folder: Path | None) -> Digest:
    """What decides how a file of the source is read: its declaration, and the code of its functions in `folder`."""
    functions = [function for function in (source.repair, source.clean) if function is not None]
    code = {} if folder is None else {one.module: digest_of_module(folder, one.module) for one in functions}
    read = msgspec.structs.replace(source, files="", sql=None, owner="", fresh_within=None)
    return digest_of({"source": read, "code": code})


class _Reading(msgspec.Struct, frozen=True):
    """The newest reading of a file. rows: so many are set aside; whole: all of it is.

    paper: of the last reading of these bytes that took rows in; "" where none did.
    """

    digest: Digest
    rules: str
    rows: int = 0
    whole: bool = False
    paper: str = ""


class Standing:
    """Rows and whole files of one source that are set aside. rules: by which files are read now."""

    def __init__(self, quarantine: Quarantine, rules: Digest) -> None:
        self._rules = rules
        self._quarantine = quarantine
        self._papers = quarantine.counts()
        self._readings: dict[str, _Reading] = {}
        self._posted = sum(rows for (name, _), rows in self._papers.items() if name == POSTED)

    @property
    def rows(self) -> int:
        return self._posted + sum(reading.rows for reading in self._readings.values())

    @property
    def files(self) -> int:
        return sum(reading.whole for reading in self._readings.values())

    @property
    def again(self) -> frozenset[str]:
        """Files of which something was set aside under other rules."""
        return frozenset(name for name, reading in self._readings.items() if self._is_overdue(reading))

    def is_overdue(self, file: str, digest: Digest) -> bool:
        """Whether something of these bytes was set aside under other rules, and they are still the file's newest."""
        reading = self._readings.get(file)
        return reading is not None and reading.digest == digest and self._is_overdue(reading)

    def waiting(self, file: str, digest: Digest) -> list[int] | None:
        """The numbers of the rows that an earlier reading of these bytes set aside; None where none took rows in."""
        reading = self._readings.get(file)
        if reading is None or reading.digest != digest or not reading.paper:
            return None
        return self._quarantine.numbers(reading.paper)

    def read(self, file: str, digest: Digest, aside: int) -> None:
        """A file was read by the rules of now, and so many of its rows were set aside."""
        self._readings[file] = _Reading(digest, self._rules, rows=aside, paper=paper_of(digest, self._rules))

    def recall(self, file: str, digest: Digest, rules: str) -> None:
        """A file was read by an earlier process: the quarantine says what was set aside of it."""
        paper = paper_of(digest, rules)
        self._readings[file] = _Reading(digest, rules, rows=self._papers.get((file, paper), 0), paper=paper)

    def refused(self, file: str, digest: Digest, rules: str) -> None:
        """A whole file was set aside, and with it what was set aside of its rows before."""
        before = self._readings.get(file)
        paper = before.paper if before is not None and before.digest == digest else ""
        self._readings[file] = _Reading(digest, rules, whole=True, paper=paper)

    def posted(self, aside: int) -> None:
        """So many rows that were posted fit nothing."""
        self._posted += aside

    def _is_overdue(self, reading: _Reading) -> bool:
        return reading.rules != self._rules and (reading.whole or reading.rows > 0)
