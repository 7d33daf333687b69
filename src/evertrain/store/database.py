"""A database of somebody else's, which is only read: by any SQLAlchemy URL, in pages, within time limits.

Each reading is one connection and one read-only transaction, ended before the next. A SQLite file is opened read-only
and is never made. Whatever a driver says is told without the URL's secrets.
"""

import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, CursorResult, Engine, TextClause, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from evertrain.errors import DeclarationError, SourceError, UnavailableError

__all__ = ["Database", "Rows"]

_CONNECT_S = 10
_STEPS = 10_000
"""So many instructions of SQLite's machine pass between two looks at the clock."""
_BUSY = ("locked", "busy", "interrupted", "unable to open", "disk i/o")
"""What SQLite says when the same query may succeed later."""
_POSTGRES = ("postgres", "postgresql")
_MEMORY = (None, "", ":memory:")

Rows = Sequence[Sequence[Any]]


class Database:
    """One database. shown: how errors name it. secrets: texts that no error may hold; folder: where a relative path of
    a SQLite file begins; timeout_s: what one statement, or the fetching of one page, may take.
    """

    def __init__(self, url: str, *, shown: str, secrets: Collection[str], folder: Path, timeout_s: int) -> None:
        self._shown, self._timeout_s = shown, timeout_s
        self._deadline = float("inf")
        parsed = self._parse(url)
        self._secrets = {*secrets, *([str(parsed.password)] if parsed.password else [])} - {""}
        self._engine = self._open(parsed, folder)

    def columns(self, query: str) -> tuple[str, ...]:
        """The names of a query's columns. SourceError with the database's own words for a query that is wrong."""
        with self._reading() as connection, connection.execute(_escaped(_around(query, "1 = 0"))) as result:
            return tuple(result.keys())

    def pages(self, query: str, cursor: str, since: Any, rows: int) -> Iterator[tuple[tuple[str, ...], Rows]]:
        """A query's rows whose cursor is at least `since` (None: all that have one), in order of the cursor.

        Yields the columns and at most `rows` rows at a time, and holds no more of them in memory.
        """
        column = self._quote(cursor)
        where = f"{column} IS NOT NULL" if since is None else f"{column} >= :since"
        known = {} if since is None else {"since": since}
        statement = _escaped(_around(query, f"{where} ORDER BY {column}"), tuple(known))
        with self._reading() as connection:
            streaming = connection.execution_options(stream_results=True, max_row_buffer=rows)
            with streaming.execute(statement, known) as result:
                names = tuple(result.keys())
                while page := self._fetch(result, rows):
                    yield names, page

    def _fetch(self, result: CursorResult[Any], rows: int) -> Rows:
        self._deadline = time.monotonic() + self._timeout_s
        return result.fetchmany(rows)

    def count_without(self, query: str, cursor: str) -> int:
        """How many rows of a query have no cursor."""
        statement = _escaped(_around(query, f"{self._quote(cursor)} IS NULL", "count(*)"))
        with self._reading() as connection:
            return int(connection.execute(statement).scalar_one())

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection for reading; what the driver raises becomes UnavailableError or SourceError."""
        try:
            connection = self._engine.connect()
        except SQLAlchemyError as error:
            raise UnavailableError(
                f"Database {self._shown} cannot be reached: {self._say(error)}.", "It is tried again."
            ) from None
        try:
            self._deadline = time.monotonic() + self._timeout_s
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(postgresql_readonly=True)
                connection.execute(text(f"SET LOCAL statement_timeout = {1000 * self._timeout_s}"))
            yield connection
        except DBAPIError as error:
            if self._passes(error):
                raise UnavailableError(
                    f"Database {self._shown} broke off: {self._say(error)}.", "It is tried again."
                ) from None
            raise SourceError(
                f"Database {self._shown} refuses the query: {self._say(error)}.", "Mend the query, or its rights."
            ) from None
        except SQLAlchemyError as error:
            raise SourceError(f"The query on {self._shown} cannot be run: {self._say(error)}.") from None
        finally:
            connection.close()

    def _passes(self, error: DBAPIError) -> bool:
        """Whether the same query may succeed later."""
        if not isinstance(error, OperationalError):
            return bool(error.connection_invalidated)
        return self._engine.dialect.name != "sqlite" or any(word in str(error.orig).lower() for word in _BUSY)

    def _say(self, error: SQLAlchemyError) -> str:
        """The first line of the database's own message, without secrets and without its full stop."""
        origin = error.orig if isinstance(error, DBAPIError) else None
        said = (str(origin or error).splitlines() or [type(error).__name__])[0].rstrip(". ")
        for secret in sorted(self._secrets, key=len, reverse=True):
            said = said.replace(secret, "***")
        return said

    def _quote(self, name: str) -> str:
        return self._engine.dialect.identifier_preparer.quote(name)

    # Opening ----------------------------------------------------------------------------------------------------------

    def _parse(self, url: str) -> URL:
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            # Neither the URL nor the error is repeated: a malformed one may show its password anywhere.
            raise DeclarationError(
                f"{self._shown} is no database URL.",
                "Write DIALECT://USER:${PASSWORD}@HOST/DATABASE, for example postgresql://me:${PGPASSWORD}@db/shop.",
            ) from None
        # Plain postgresql means another driver in older versions of SQLAlchemy.
        return parsed.set(drivername="postgresql+psycopg") if parsed.drivername in _POSTGRES else parsed

    def _open(self, url: URL, folder: Path) -> Engine:
        try:
            if url.get_backend_name() == "sqlite":
                return create_engine("sqlite://", creator=self._sqlite(url, folder), poolclass=NullPool)
            limits = {"connect_timeout": _CONNECT_S} if url.get_backend_name() == "postgresql" else {}
            return create_engine(url, connect_args=limits, poolclass=NullPool)
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else url.drivername
            extra = "evertrain[postgres]" if missing == "psycopg" else "the driver that SQLAlchemy names for it"
            raise DeclarationError(
                f"Database {self._shown} needs {missing}, which is not installed.", f"Install {extra}."
            ) from None

    def _sqlite(self, url: URL, folder: Path) -> Any:
        if url.database in _MEMORY:
            raise DeclarationError(f"{self._shown} names no file.", "Write sqlite:///FILE: memory is not shared.")
        path = folder / str(url.database)

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_CONNECT_S, check_same_thread=False
            )
            connection.set_progress_handler(lambda: time.monotonic() > self._deadline, _STEPS)
            return connection

        return connect


def _around(query: str, where: str, what: str = "*") -> str:
    """A statement on a query, which is the declaration's own text; on lines of its own it may end in a comment."""
    return f"SELECT {what} FROM (\n{query}\n) AS source WHERE {where}"  # noqa: S608


def _escaped(statement: str, parameters: Collection[str] = ()) -> TextClause:
    """A statement in which a colon is a colon, but for those of the parameters."""
    said = statement.replace(":", "\\:")
    for name in parameters:
        head, _, tail = said.rpartition(f"\\:{name}")
        said = f"{head}:{name}{tail}"
    return text(said)
