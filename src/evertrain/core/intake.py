"""The facts about what came in: files of sources, segments of the prediction log, commits of tables."""

import msgspec

from evertrain.core.identity import Digest, SourceName
from evertrain.core.schema import Column
from evertrain.core.time import Instant

__all__ = [
    "BatchIngested",
    "FileQuarantined",
    "SegmentDamaged",
    "SegmentRetired",
    "SegmentSealed",
    "SourceTypesFixed",
    "TableCommitted",
]


class _Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of the facts here; each names its tag."""


class SourceTypesFixed(_Fact, frozen=True, kw_only=True, tag="source.types_fixed"):
    """The column types of a source, declared or inferred once, hold from now on."""

    source: SourceName
    columns: tuple[Column, ...]
    inferred: bool


class BatchIngested(_Fact, frozen=True, kw_only=True, tag="batch.ingested"):
    """One batch of files, committed at `version`. files: name to SHA-256. rules: they were read by, as a digest."""

    source: SourceName
    files: dict[str, Digest]
    rows: int
    quarantined: int
    version: int
    newest: Instant | None
    rules: str = ""


class FileQuarantined(_Fact, frozen=True, kw_only=True, tag="file.quarantined"):
    """A whole file was set aside; its bytes are kept. rules: by which it was read, as a digest."""

    source: SourceName
    file: str
    digest: Digest
    because: str
    rules: str = ""


class SegmentSealed(_Fact, frozen=True, kw_only=True, tag="segment.sealed"):
    """A log segment that will not change any more. digest: of its bytes up to the end of the last frame."""

    writer: str
    sequence: int
    digest: Digest
    frames: int
    bytes: int


class SegmentDamaged(_Fact, frozen=True, kw_only=True, tag="segment.damaged"):
    """Bytes of a sealed log segment, from `offset` up to `until`, that cannot be read; everything else is.

    records: how many they held at most, null where nobody can know. Restored, they are taken in once, and `alert` ends.
    """

    writer: str
    sequence: int
    offset: int
    until: int
    records: int | None
    alert: str


class SegmentRetired(_Fact, frozen=True, kw_only=True, tag="segment.retired"):
    """A sealed log segment that was removed: what it held is in the tables, and it was kept for as long as is set."""

    writer: str
    sequence: int
    digest: Digest


class TableCommitted(_Fact, frozen=True, kw_only=True, tag="table.committed"):
    """A commit of a versioned table. files: path under the table's folder to SHA-256, all that the commit added."""

    table: str
    version: int
    rows: int
    files: dict[str, Digest]
