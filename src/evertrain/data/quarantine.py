"""Where files and rows wait that were set aside: as they came, with the reason, never dropped.

    <digest>.<rules>.rows.jsonl    the rows of one file: {"file", "row", "reason", "raw"} each
    <digest>.bytes                 a whole file as it came
    <digest>.json                  its name and the reason

A file's digest, and the beginning of that of the rules it was read by, name its papers: setting the same thing aside
again changes nothing, and what was set aside under other rules stays known until it was read again.
"""

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from evertrain.core.identity import Digest
from evertrain.data.source import Broken
from evertrain.store.file import write_atomically

__all__ = ["Quarantine", "SetAside", "paper_of"]

_RULES = 10


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """A row, or a whole file (row 0, raw None), that waits in quarantine."""

    file: str
    row: int
    reason: str
    raw: Any = None


def paper_of(digest: Digest, rules: str) -> str:
    """What the paper about the rows of a file is called. rules: by which it was read; "" where that is not known."""
    return ".".join([digest, *([rules[:_RULES]] if rules else []), "rows.jsonl"])


class Quarantine:
    """The quarantine of one source, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def rows(self, file: str, digest: Digest, broken: Sequence[Broken], rules: str = "") -> None:
        """Set rows of a file aside. rules: by which it was read, as a digest."""
        if broken:
            lines = [
                _encode(SetAside(file=file, row=row.row, reason=row.reason, raw=row.raw)) + b"\n" for row in broken
            ]
            self._write(paper_of(digest, rules), b"".join(lines))

    def numbers(self, paper: str) -> list[int]:
        """The numbers of the rows that a reading of a file set aside. paper: as `paper_of` names it."""
        path = self.folder / paper
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=SetAside).row for line in lines]

    def file(self, file: str, digest: Digest, content: bytes, reason: str) -> None:
        """Set a whole file aside; its bytes are on disk before the paper that names them."""
        self._write(f"{digest}.bytes", content)
        self._write(f"{digest}.json", _encode(SetAside(file=file, row=0, reason=reason)))

    def standing(self) -> list[SetAside]:
        """Everything that waits here, by file and row."""
        found = [msgspec.json.decode(path.read_bytes(), type=SetAside) for path in self.folder.glob("*.json")]
        for path in self.folder.glob("*.rows.jsonl"):
            found += [msgspec.json.decode(line, type=SetAside) for line in path.read_bytes().splitlines()]
        return sorted(found, key=lambda aside: (aside.file, aside.row))

    def counts(self) -> dict[tuple[str, str], int]:
        """How many rows each reading of a file set aside, by the file's name and its paper's."""
        found = {}
        for path in self.folder.glob("*.rows.jsonl"):
            rows = path.read_bytes().splitlines()
            found[msgspec.json.decode(rows[0], type=SetAside).file, path.name] = len(rows)
        return found

    def newest(self) -> SetAside | None:
        """What was set aside last: a whole file, or the first row of a file's that were."""
        papers = [*self.folder.glob("*.json"), *self.folder.glob("*.rows.jsonl")]
        if not papers:
            return None
        paper = max(papers, key=lambda path: path.stat().st_mtime_ns)
        return msgspec.json.decode(paper.read_bytes().partition(b"\n")[0], type=SetAside)

    def _write(self, name: str, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / name, content)


def _encode(aside: SetAside) -> bytes:
    return msgspec.json.encode(aside, enc_hook=_plain)


def _plain(value: object) -> object:
    """Values of a Parquet row that JSON has no form for, as text."""
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)
