"""Versioned tables: rows in bulk, as Delta tables in folders, appended exactly once and readable at any version.

A table holds five types: text, 64-bit integers and floats, booleans, and instants in UTC to the microsecond. A frame
whose types differ is refused, never cast. Each commit carries the position of every writer that it contains in the
table's own transaction log, so a commit that is repeated after a crash changes nothing. The library accepts a
position that is not newer than the standing one; therefore it is compared here, under a lock on the table's folder.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction, write_deltalake

from evertrain.core.identity import Digest
from evertrain.errors import IntegrityError, NotFoundError, SourceError
from evertrain.store.crash import crash_point
from evertrain.store.file import digest_of_file, sync_folder
from evertrain.store.state import refuse_folder

__all__ = ["TIME", "Committed", "Table", "digest"]

TIME = pl.Datetime("us", "UTC")
"""The one type of a stored instant."""

_STORED: dict[str, pl.DataType] = {
    "string": pl.String(),
    "long": pl.Int64(),
    "double": pl.Float64(),
    "boolean": pl.Boolean(),
    "timestamp": TIME,
}
_QUIET = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
_NOTE = "evertrain"
_ENTRY = re.compile(r"\d{20}\.json")


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """One commit of a table.

    files: path under the table's folder to SHA-256, everything that the commit added, its own log entry included.
    note: what the writer said of it, kept in the table's log.
    """

    table: str
    version: int
    rows: int
    files: dict[str, Digest]
    note: str = ""


class Table:
    """One versioned table under `folder`. It exists from its first commit on; before, its version is -1."""

    def __init__(self, folder: Path, name: str) -> None:
        refuse_folder(folder / name)
        self.name = name
        self.path = folder / name
        self._opened: DeltaTable | None = None

    def version(self) -> int:
        """The newest version, -1 when nothing was committed yet."""
        opened = self._newest()
        return -1 if opened is None else opened.version()

    @property
    def schema(self) -> pl.Schema:
        """Columns and types of the newest version."""
        return _schema(self._existing())

    def position(self, writer: str) -> int:
        """The newest position of a writer that the table contains, -1 when there is none."""
        return _position(self._newest(), writer)

    def append(self, frame: pl.DataFrame, *, writer: str, sequence: int, note: str = "") -> Committed | None:
        """Append rows once: None when this writer's `sequence`, or a later one, stands already."""
        return self.append_from(frame, {writer: sequence}, note=note)

    def append_from(self, frame: pl.DataFrame, positions: Mapping[str, int], *, note: str = "") -> Committed | None:
        """Append the rows of several writers in one commit, each up to its position (positions never go back).

        Returns None when all of it stands already. Raises SourceError when a column does not have the table's type,
        IntegrityError when only some of the writers' rows are new: the caller has to leave out the others.
        """
        _refuse_types(self.name, frame.schema)
        self.path.mkdir(parents=True, exist_ok=True)
        with _locked(self.path):
            standing = self._newest()
            stale = [writer for writer, position in positions.items() if position <= _position(standing, writer)]
            if len(stale) == len(positions):
                return None
            if stale:
                raise IntegrityError(f"Table {self.name!r} holds the rows of {', '.join(sorted(stale))} already.")
            if standing is not None:
                _refuse_difference(self.name, _schema(standing), frame.schema)
            crash_point("table.before_commit")
            write_deltalake(
                str(self.path) if standing is None else standing,
                frame,
                mode="append",
                commit_properties=CommitProperties(
                    custom_metadata={_NOTE: note},
                    app_transactions=[Transaction(writer, position) for writer, position in positions.items()],
                ),
                post_commithook_properties=_QUIET,
            )
            crash_point("table.after_commit")
            committed = self.commit(self.version())
            _flush(self.path, committed.files)
            return committed

    def commit(self, version: int) -> Committed:
        """What one commit added, from the table's log; the digests are of the files as they are now."""
        rows, note, actions = 0, "", self._actions(version)
        files = {str(_entry(version)): digest_of_file(self.path / _entry(version))}
        for action in actions:
            if "add" in action:
                added = action["add"]
                rows += int(msgspec.json.decode(added["stats"])["numRecords"])
                files[added["path"]] = digest_of_file(self.path / added["path"])
            elif "commitInfo" in action:
                note = str(action["commitInfo"].get(_NOTE, ""))
        return Committed(table=self.name, version=version, rows=rows, files=files, note=note)

    def commits(self, after: int = -1) -> list[Committed]:
        """All commits with a version above `after`, in order."""
        return [self.commit(version) for version in range(after + 1, self.version() + 1)]

    def read(
        self, version: int | None = None, columns: Sequence[str] | None = None, where: pl.Expr | None = None
    ) -> pl.DataFrame:
        """Rows at a version (None: the newest), in no particular order. Sort before anything depends on it."""
        opened = self._existing() if version is None else self._at(version)
        schema = _schema(opened)
        added = pl.DataFrame(opened.get_add_actions())
        if added.is_empty():
            rows = pl.DataFrame(schema=schema).lazy()
        else:
            rows = pl.scan_parquet(
                [self.path / name for name in sorted(added["path"])], glob=False, hive_partitioning=False
            )
        if where is not None:
            rows = rows.filter(where)
        return rows.select(list(schema) if columns is None else columns).collect()

    def sweep(self) -> list[str]:
        """Remove files that no commit names, left by a writer that was killed before or in its commit.

        What a commit names is never touched, not even when its bytes were altered: that is for the audit to say.
        """
        if not self.path.is_dir():
            return []
        with _locked(self.path):
            entries = [path for path in (self.path / "_delta_log").glob("*.json") if _ENTRY.fullmatch(path.name)]
            named = {str(path.relative_to(self.path)) for path in entries}
            for version in range(self.version() + 1):
                named |= {action["add"]["path"] for action in self._actions(version) if "add" in action}
            found = {str(path.relative_to(self.path)): path for path in self.path.rglob("*") if path.is_file()}
            orphans = sorted(found.keys() - named)
            for name in orphans:
                found[name].unlink()
            return orphans

    def _actions(self, version: int) -> list[dict[str, Any]]:
        try:
            lines = (self.path / _entry(version)).read_bytes().splitlines()
        except FileNotFoundError:
            raise NotFoundError(f"Table {self.name!r} has no version {version}.") from None
        return [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]

    def _newest(self) -> DeltaTable | None:
        if self._opened is None:
            if not (self.path / "_delta_log").is_dir() or not DeltaTable.is_deltatable(str(self.path)):
                return None
            self._opened = DeltaTable(str(self.path))
        else:
            self._opened.update_incremental()
        return self._opened

    def _existing(self) -> DeltaTable:
        opened = self._newest()
        if opened is None:
            raise NotFoundError(f"Table {self.name!r} does not exist yet.", "It appears with the first ingested rows.")
        return opened

    def _at(self, version: int) -> DeltaTable:
        newest = self._existing()
        if not 0 <= version <= newest.version():
            raise NotFoundError(f"Table {self.name!r} has no version {version}; the newest is {newest.version()}.")
        return DeltaTable(str(self.path), version=version)


def digest(frame: pl.DataFrame, key: Sequence[str]) -> Digest:
    """SHA-256 of the rows as a set: by key, then by every other column; how they were written does not matter.

    Per column in order of name: name, type, then which values are there, then the values (integers and instants as
    little-endian int64, floats as their bits with one NaN, text as lengths and UTF-8).

    >>> one = pl.DataFrame({"k": [2, 1], "x": [0.5, None]})
    >>> digest(one, ["k"]) == digest(one.reverse().select("x", "k"), ["k"])
    True
    """
    _refuse_types("digest", frame.schema)
    plain = frame.select(_bits(frame[name]) for name in sorted(frame.columns))
    plain = _sorted(plain, key)
    hashed = hashlib.sha256(str(plain.height).encode())
    for name in plain.columns:
        column = plain[name]
        hashed.update(f"\0{name}\0{frame.schema[name]}\0".encode())
        hashed.update(column.is_not_null().to_numpy().tobytes())
        if column.dtype == pl.String:
            text = column.fill_null("")
            hashed.update(text.str.len_bytes().cast(pl.Int64).to_numpy().tobytes())
            hashed.update((text.str.join("").item() or "").encode())
        else:
            hashed.update(column.cast(pl.Int64).fill_null(0).to_numpy().tobytes())
    return Digest(hashed.hexdigest())


def _sorted(plain: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The rows by key; by every other column too where a key stands twice, which is seldom and slow."""
    by_key = plain.sort(key, nulls_last=True)
    again = by_key.select(pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in key))
    if not again.to_series().slice(1).any():
        return by_key
    rest = [name for name in plain.columns if name not in key]
    return plain.sort([*key, *rest], nulls_last=True)


def _bits(column: pl.Series) -> pl.Series:
    """Floats as int64 bits (nulls stay null), so that sorting and hashing see the same thing; other types as is."""
    if column.dtype != pl.Float64:
        return column
    bits = column.fill_nan(float("nan")).fill_null(0.0).to_numpy().view("int64")
    there = column.is_not_null()
    return pl.select(pl.when(there).then(pl.Series(bits))).to_series().alias(column.name)


def _entry(version: int) -> Path:
    """The log entry of a commit, under the table's folder."""
    return Path("_delta_log") / f"{version:020d}.json"


def _position(opened: DeltaTable | None, writer: str) -> int:
    found = None if opened is None else opened.transaction_version(writer)
    return -1 if found is None else found


def _schema(opened: DeltaTable) -> pl.Schema:
    return pl.Schema({field.name: _STORED[str(field.type.type)] for field in opened.schema().fields})


def _refuse_types(table: str, schema: pl.Schema) -> None:
    for name, dtype in schema.items():
        if dtype not in _STORED.values():
            raise SourceError(
                f"Column {name!r} of table {table!r} has the type {dtype}, which a table does not hold.",
                "Use text, int64, float64, bool or a time in UTC with microseconds.",
            )


def _refuse_difference(table: str, standing: pl.Schema, given: pl.Schema) -> None:
    if standing == given:
        return
    for name in [*standing, *given]:
        if standing.get(name) != given.get(name):
            raise SourceError(
                f"Column {name!r} of table {table!r} is {standing.get(name, 'unknown')}; the rows bring "
                f"{given.get(name, 'no such column')}.",
                "Nothing is cast: send the table's own type.",
            )
    raise SourceError(f"The columns of table {table!r} came in another order.", "Select them in the table's order.")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time: a lock on the folder itself, freed by the system when its holder dies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flush(folder: Path, files: Iterable[str]) -> None:
    """On disk, names included, before the ledger vouches for the files."""
    for name in files:
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
    sync_folder(folder / "_delta_log")
