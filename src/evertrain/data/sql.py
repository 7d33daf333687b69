"""A query on a database, read again and again: each row's every state once, in pages that are files.

A cursor column grows with each change. A reading begins an overlap below the newest cursor that was read, because a
transaction may commit a smaller one later, and leaves out the rows that the pages hold already. What comes later than
the overlap allows is found by a sweep, which reads everything; it is taken in too, and told.

The pages are a source's files: they are taken in as any file is. In memory are at most `page_rows` rows of the
database, one page, and eight bytes for each row of the overlap (in a sweep: of all pages).
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl

from evertrain.config.declaration import SourceSpec, SqlSpec
from evertrain.config.origin import filled
from evertrain.config.wording import suggestion
from evertrain.core.identity import SourceName
from evertrain.core.time import SECOND, say_span
from evertrain.data.page import Page, PageFolder, bound_of, fingerprints, frames_of, places_of
from evertrain.errors import DeclarationError, EvertrainError
from evertrain.store.crash import crash_point
from evertrain.store.database import Database

__all__ = ["Feed", "SqlReader", "booleans_of", "check_query", "database_of"]

_log = logging.getLogger("data")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


def database_of(spec: SqlSpec, folder: Path) -> Database:
    """The database of a source. folder: where a relative path of a SQLite file begins.

    DeclarationError when the environment lacks a secret, the URL is none, or its driver is not installed.
    """
    url, secrets = filled(spec.url)
    return Database(url, shown=repr(spec.url), secrets=secrets, folder=folder, timeout_s=spec.timeout_s)


def check_query(source: SourceSpec, spec: SqlSpec, folder: Path) -> None:
    """Refuse a query that the database refuses, or that lacks a column which the source names.

    UnavailableError when the database does not answer: nothing is known of the query then.
    """
    names = database_of(spec, folder).columns(spec.query)
    # SQLite calls a second column "id" of a query "id:1".
    twice = next((name for name in names if names.count(name) > 1 or f"{name}:1" in names), None)
    if twice is not None:
        raise DeclarationError(
            f"The query of source {source.name!r} has two columns named {twice!r}.", "Name one of them AS another."
        )
    wanted = [*source.key, source.event_time, source.known_at.column, spec.cursor]
    for name in (*wanted, *(column.name for column in source.columns)):
        if name not in names:
            raise DeclarationError(
                f"The query of source {source.name!r} has no column {name!r}.", suggestion(name, names)
            )


def booleans_of(source: SourceSpec) -> frozenset[str]:
    """The columns of a source that are declared to be true or false."""
    return frozenset(column.name for column in source.columns if column.type == "bool")


class SqlReader:
    """Reads one source's query into its pages. booleans: columns in which 0 and 1 mean false and true."""

    def __init__(self, spec: SqlSpec, database: Database, folder: Path, booleans: frozenset[str] = frozenset()) -> None:
        self._spec, self._database, self._booleans = spec, database, booleans
        self._pages = PageFolder(folder)
        standing = self._pages.standing()
        self._last = standing[-1] if standing else None
        self.without = 0
        """Rows that have no cursor: they are not read. Counted at the first reading, and in each sweep."""
        self._counted = False

    def read(self, go_on: Callable[[], bool] = lambda: True) -> int:
        """Read what is new, or has changed; returns how many rows that were. go_on: is asked before each page.

        Raises UnavailableError, or SourceError; what was frozen until then stays and is not read again.
        """
        pages, since = self._window()
        if not self._counted:
            self._count()
        if since is None:
            self._pages.swept()
        return self._read(since, fingerprints(pl.read_parquet(page.path) for page in pages), go_on)

    def sweep(self, go_on: Callable[[], bool] = lambda: True) -> int:
        """Read everything; returns how many rows had come later than the overlap allows."""
        self._count()
        known = fingerprints(pl.read_parquet(page.path) for page in self._pages.standing())
        late = self._read(None, known, go_on)
        if go_on():
            self._pages.swept()
        return late

    @property
    def sweep_is_due(self) -> bool:
        return self._pages.unswept_s > self._spec.sweep / SECOND

    def _count(self) -> None:
        self.without, self._counted = self._database.count_without(self._spec.query, self._spec.cursor), True

    def _window(self) -> tuple[list[Page], object]:
        """The pages that may hold rows of the overlap, and the cursor where it begins; None when nothing was read."""
        if self._last is None:
            return [], None
        newest = self._last.newest
        cursor = pl.read_parquet(self._last.path, columns=[self._spec.cursor])[self._spec.cursor]
        depth = self._spec.overlap_values if cursor.dtype.is_integer() else self._spec.overlap
        standing = self._pages.standing()
        # A page that was the newest when it ended below the window holds nothing of it, nor do those before it.
        older = sum(page.newest < newest - depth for page in standing)
        return standing[older:], bound_of(cursor, newest, self._spec)

    def _read(self, since: object, known: pl.Series, go_on: Callable[[], bool]) -> int:
        taken = 0
        for names, rows in self._database.pages(self._spec.query, self._spec.cursor, since, self._spec.page_rows):
            if not go_on():
                break
            for frame in frames_of(names, rows, self._booleans):
                new = frame.filter(~fingerprints([frame]).is_in(known.implode()))
                if not new.is_empty():
                    self._keep(new)
                    taken += new.height
        return taken

    def _keep(self, frame: pl.DataFrame) -> None:
        newest = int(places_of(frame[self._spec.cursor]).to_numpy().max())
        crash_point("sql.before_page")
        self._last = self._pages.keep(frame, max(newest, self._last.newest if self._last else newest), self._last)
        crash_point("sql.after_page")


class Feed:
    """Readings of one source, one at a time, beside the process's other work; a database that fails is asked again
    after a growing pause. `trouble` says what is wrong now, "" while nothing is.
    """

    def __init__(
        self,
        name: SourceName,
        spec: SqlSpec,
        place: Path,
        pages: Path,
        *,
        waits: bool,
        booleans: frozenset[str] = frozenset(),
    ) -> None:
        """place: the declaration's folder; waits: a look lasts until its reading is over, as a story's clock needs."""
        self._name, self._spec, self._place, self._waits = name, spec, place, waits
        self._folder, self._booleans = pages, booleans
        self._reader: SqlReader | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._due = float("-inf")
        self._failures = 0
        self._broken = self._late = ""
        self.caught_up = False
        """Whether a reading has come to its end."""

    @property
    def trouble(self) -> str:
        without = self._reader.without if self._reader is not None else 0
        said = f"{without:,} rows have no {self._spec.cursor} and are not read." if without else ""
        return " ".join(part for part in (self._broken, said, self._late) if part)

    def look(self, tick: float) -> None:
        """Begin a reading when it is time for one. tick: monotonic seconds."""
        if tick < self._due or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._pass, args=(tick,), name=f"sql-{self._name}", daemon=True)
        self._thread.start()
        if self._waits:
            self._thread.join()

    def close(self, patience_s: float | None = None) -> None:
        """End the reading that is under way, after its page; wait for that, or for so long at most."""
        self._stopping = True
        if self._thread is not None:
            self._thread.join(patience_s)

    def _pass(self, tick: float) -> None:
        try:
            self._read()
        except (EvertrainError, OSError) as error:
            pause = min(_FIRST_PAUSE_S * 2.0**self._failures, _LONGEST_PAUSE_S)
            self._due, self._failures = tick + pause, min(self._failures + 1, 10)
            if str(error) != self._broken:
                _log.warning("source %s: %s", self._name, error)
            self._broken = str(error)

    def _read(self) -> None:
        reader = self._reader
        if reader is None:
            database = database_of(self._spec, self._place)
            reader = self._reader = SqlReader(self._spec, database, self._folder, self._booleans)
        go_on = self._goes_on
        rows = reader.read(go_on)
        if reader.sweep_is_due:
            late = reader.sweep(go_on)
            self._late = self._say_late(late) if late else ""
        if rows:
            _log.info("source %s: %d rows were read", self._name, rows)
        self._broken, self._failures = "", 0
        self.caught_up = self.caught_up or go_on()

    def _goes_on(self) -> bool:
        return not self._stopping

    def _say_late(self, rows: int) -> str:
        _log.warning("source %s: a sweep found %d rows", self._name, rows)
        within = say_span(self._spec.overlap)
        return f"{rows:,} rows were committed later than the overlap ({within}) allows; a sweep has found them."
