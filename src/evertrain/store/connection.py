"""Connections to the ledger's database, and what SQLite says of it in words of evertrain's.

SQLite keeps two files beside a database that somebody works on: the write-ahead log, and its index. Whoever leaves
last folds the log into the database and removes both, so after a clean end the next one needs room for them, be it
only to read. Where the disk has none, nobody can write either: then the database is read as it rests, without them.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool

from evertrain.errors import CapacityError, IntegrityError

__all__ = ["Connections", "rests"]

_BUSY_S = 30.0
_WRITE = "evertrain_write"
_NO_ROOM = ("disk", "full", "readonly", "unable to open")
_PASSING = ("locked", *_NO_ROOM)
"""What SQLite says where the same may succeed later."""


class Connections:
    """Of one process to one database; safe to share between threads. make: a database where there is no file.

    hindered: why SQLite could not open it the last time, so that it was read as it rests; "" where it could.
    """

    def __init__(self, path: Path, *, make: bool = False) -> None:
        self._path = path
        self._working = _engine(_url(path, mode="rwc" if make else "rw"))
        # Each reading opens the file anew: nobody tells a connection without a log that it was changed.
        self._resting = _engine(_url(path, immutable="1"), poolclass=NullPool)
        self.hindered = ""

    def close(self) -> None:
        self._working.dispose()
        self._resting.dispose()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that alone may write; CapacityError where there is no room, or somebody writes without end."""
        with _translated(self._path), self._working.connect() as plain:
            connection = plain.execution_options(**{_WRITE: True})
            with connection.begin():
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection whose transaction begins with what is read first."""
        with _translated(self._path), self._open() as connection:
            yield connection

    def keep_log_ahead(self) -> None:
        """Let writes go to a write-ahead log; it cannot be set inside a transaction."""
        with self._working.connect() as connection:
            connection.connection.execute("PRAGMA journal_mode=WAL")

    def _open(self) -> Connection:
        try:
            opened = self._working.connect()
        except OperationalError as error:
            if not rests(self._path, str(error.orig)):
                raise
            self.hindered = str(error.orig)
            return self._resting.connect()
        self.hindered = ""
        return opened


def rests(path: Path, cause: str) -> bool:
    """Whether a database can be read without what SQLite keeps beside it: there is no room for that, and no log.

    cause: what SQLite said when it was asked to open it.
    """
    if not _says(cause, _NO_ROOM) or not path.is_file():
        return False
    log = path.with_name(f"{path.name}-wal")
    return not log.exists() or not log.stat().st_size


def _url(path: Path, **how: str) -> URL:
    return URL.create("sqlite", database=f"file:{quote(str(path))}", query={**how, "uri": "true"})


def _engine(url: URL, **options: Any) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY_S}, hide_parameters=True, **options)

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA schema_version")  # it reads, so that what stands beside the file is opened now
        except sqlite3.Error:
            connection.close()
            raise

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """A full disk or a writer that never ends may pass; a file that SQLite cannot read will not."""
    try:
        yield
    except DatabaseError as error:
        cause = str(error.orig)
        if isinstance(error, OperationalError) and _says(cause, _PASSING):
            raise CapacityError(
                f"{path} cannot be used: {cause}.", "Make room, or let it be written, and try again."
            ) from error
        if "malformed" in cause or "not a database" in cause:
            raise IntegrityError(
                f"{path} is damaged: {cause}.", "Restore it from a backup; `evertrain ledger verify` says what differs."
            ) from error
        raise


def _says(cause: str, words: tuple[str, ...]) -> bool:
    return any(word in cause for word in words)
