"""Read a ledger as a stranger would: trust nothing in it, write nothing to it, and name whatever differs.

Each leaf is hashed again and compared with its stored hash and its columns; the tree is grown again and compared with
the stored frontier, with every signed head, and with the heads that lie beside the database. A database that SQLite
cannot read is a finding like any other.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from evertrain.core.audit import Finding
from evertrain.core.event import Event, kind_of
from evertrain.core.identity import Digest, digest_of_bytes
from evertrain.core.merkle import Frontier, SignedHead, TreeHead, hash_leaf
from evertrain.errors import IntegrityError, TrustError, UserError
from evertrain.store.connection import rests
from evertrain.store.ledger import decode, head_beside
from evertrain.store.migration import HEAD
from evertrain.store.signature import Verifier

__all__ = ["LedgerAudit", "audit_ledger"]

_BUSY_S = 30.0
_NAMED = 20

_Value = TypeVar("_Value")


class LedgerAudit(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit of a ledger found; `events` are the unaltered ones, in order."""

    findings: tuple[Finding, ...]
    events: tuple[Event, ...]
    head: TreeHead
    heads: int


def audit_ledger(path: Path, verifier: Verifier, anchors: tuple[SignedHead, ...] = ()) -> LedgerAudit:
    """Compare everything in the ledger with what vouches for it.

    anchors: signed heads that were exported earlier and kept elsewhere; the ledger must still contain them.
    """
    audit = _Audit(path, verifier)
    beside = audit.heads_beside()  # read first: the ledger only grows
    if not path.is_file():
        audit.say("", "the file is missing")
        return audit.result()
    try:
        with closing(_open(path)) as connection, connection:
            audit.check(connection)
    except sqlite3.DatabaseError as error:
        audit.say("", f"the database is damaged: {error}")
    for name, head in (*beside, *(("the anchor", anchor) for anchor in anchors)):
        audit.compare(name, head)
    audit.stale_copies()
    return audit.result()


class _Audit:
    """One run over one ledger."""

    def __init__(self, path: Path, verifier: Verifier) -> None:
        self._path = path
        self._verifier = verifier
        self._findings: dict[Finding, None] = {}
        self._events: list[Event] = []
        self._frontier = Frontier()
        self._roots: list[bytes] = [self._frontier.root()]
        self._heads = 0

    def say(self, where: str, what: str) -> None:
        subject = f"{self._path.name}: {where}" if where else self._path.name
        self._findings[Finding(subject, what)] = None

    def result(self) -> LedgerAudit:
        return LedgerAudit(
            findings=tuple(self._findings),
            events=tuple(self._events),
            head=self._frontier.head(),
            heads=self._heads,
        )

    def heads_beside(self) -> list[tuple[str, TreeHead | SignedHead]]:
        """The newest head and the newest signed head, as files of their own."""
        found: list[tuple[str, TreeHead | SignedHead]] = []
        kinds: tuple[type[TreeHead | SignedHead], ...] = (TreeHead, SignedHead)
        for kind in kinds:
            path = head_beside(self._path, signed=kind is SignedHead)
            try:
                found.append((path.name, msgspec.json.decode(path.read_bytes(), type=kind)))
            except FileNotFoundError:
                self._findings[Finding(path.name, "the file is missing")] = None
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._findings[Finding(path.name, "the file is damaged")] = None
        return found

    def check(self, connection: sqlite3.Connection) -> None:
        """Everything inside the database, in one snapshot."""
        connection.execute("BEGIN")
        self._attempt("the schema", lambda: self._check_revision(connection))
        self._attempt("", lambda: self._check_structure(connection))
        self._attempt("the events", lambda: self._check_events(connection))
        self._attempt("the frontier", lambda: self._check_frontier(connection))
        self._attempt("the signed heads", lambda: self._check_heads(connection))
        self._attempt("the words", lambda: self._check_words(connection))

    def compare(self, name: str, head: TreeHead | SignedHead) -> None:
        """A head against the tree that was grown here."""
        if isinstance(head, SignedHead):
            try:
                self._verifier.check(head)
            except TrustError as error:
                self.say(name, f"the signed head of {head.size} events does not count. {error.what}")
                return
        if head.size > self._frontier.size:
            self.say(
                f"events {self._frontier.size} to {head.size - 1}",
                f"they are missing: {name} vouches for {head.size} events",
            )
        elif self._roots[head.size].hex() != head.root:
            self.say(f"events 0 to {head.size - 1}", f"they are not those that {name} vouches for")

    def stale_copies(self) -> None:
        """Pages that the write-ahead log covers are read by nobody; an altered leaf among them is named all the same.

        A checkpoint may run meanwhile, so only what differs twice is said.
        """
        log = self._path.with_name(f"{self._path.name}-wal")
        if log.is_file() and log.stat().st_size:
            for sequence in sorted(_altered_in_file(self._path) & _altered_in_file(self._path)):
                self.say(f"event {sequence}", "its leaf was altered in the database file (the write-ahead log has it)")

    def _attempt(self, where: str, step: Callable[[], _Value]) -> _Value | None:
        try:
            return step()
        except sqlite3.DatabaseError as error:
            self.say(where, f"the database is damaged: {error}")
            return None

    def _check_revision(self, connection: sqlite3.Connection) -> None:
        found = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
        if found != [HEAD]:
            self.say("the schema", f"it is of revision {found}, this version of evertrain knows {HEAD!r}")

    def _check_structure(self, connection: sqlite3.Connection) -> None:
        for (line,) in connection.execute(f"PRAGMA integrity_check({_NAMED})"):
            if line != "ok":
                self.say("", f"the database is damaged: {line}")

    def _check_events(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT sequence, id, at, kind, subject, leaf, hash FROM events ORDER BY sequence")
        for sequence, *columns, stored_leaf, stored in rows:
            while self._frontier.size < sequence:
                self.say(f"event {self._frontier.size}", "it is missing")
                self._grow(b"")
            leaf = stored_leaf if isinstance(stored_leaf, bytes) else str(stored_leaf).encode()
            hashed = hash_leaf(leaf)
            self._grow(hashed)
            if hashed == stored:
                self._check_columns(sequence, columns, leaf)
            else:
                self.say(f"event {sequence}", "its leaf was altered: it does not have the hash that was stored")

    def _check_columns(self, sequence: int, columns: list[Any], leaf: bytes) -> None:
        try:
            event = decode(leaf, sequence, str(columns[2]))
        except (IntegrityError, UserError) as error:
            self.say(f"event {sequence}", f"its leaf cannot be read. {error.what}")
            return
        self._events.append(event)
        if (event.sequence, event.id, event.at, kind_of(event.fact), event.subject) != (sequence, *columns):
            self.say(f"event {sequence}", "its columns are not what its leaf says")

    def _grow(self, leaf: bytes) -> None:
        self._frontier = self._frontier.grow([leaf])
        self._roots.append(self._frontier.root())

    def _check_frontier(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute("SELECT size, peaks FROM frontier").fetchall()
        if rows != [(self._frontier.size, b"".join(self._frontier.peaks))]:
            stored = rows[0][0] if rows else "no"
            self.say(
                "the frontier", f"it stands for {stored} events and is not that of the {self._frontier.size} found"
            )

    def _check_heads(self, connection: sqlite3.Connection) -> None:
        for size, stored in connection.execute("SELECT size, CAST(head AS BLOB) FROM heads ORDER BY size"):
            try:
                head = msgspec.json.decode(stored, type=SignedHead)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.say(f"the signed head of {size} events", "it is damaged")
                continue
            self._heads += 1
            self.compare(f"the signed head of {size} events", head)

    def _check_words(self, connection: sqlite3.Connection) -> None:
        for digest, text in connection.execute("SELECT digest, CAST(text AS TEXT) FROM words"):
            if digest_of_bytes(text.encode()) != Digest(digest):
                self.say(f"words {digest}", "they were altered")


def _open(path: Path) -> sqlite3.Connection:
    """The database to read, also where the disk has no room for what SQLite keeps beside one that is worked on."""
    connection = _connect(path, "mode=ro")
    try:
        connection.execute("PRAGMA schema_version")
    except sqlite3.Error as error:
        connection.close()
        if not rests(path, str(error)):
            raise
        return _connect(path, "immutable=1")
    return connection


def _connect(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=_BUSY_S, isolation_level=None)
    connection.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
    return connection


def _altered_in_file(path: Path) -> set[int]:
    """Sequences whose leaf differs from its hash in the database file alone, as far as it can be read."""
    found: set[int] = set()
    try:
        with closing(_connect(path, "immutable=1")) as connection:
            for sequence, leaf, stored in _leaves(connection):
                if isinstance(leaf, bytes) and hash_leaf(leaf) != stored:
                    found.add(sequence)
    except sqlite3.DatabaseError:
        pass  # a file whose log was never folded in may hold no tables yet
    return found


def _leaves(connection: sqlite3.Connection) -> Iterator[tuple[int, Any, Any]]:
    yield from connection.execute("SELECT sequence, leaf, hash FROM events ORDER BY sequence")
