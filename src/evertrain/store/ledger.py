"""The ledger: one append-only sequence of events, whose canonical JSON texts are the leaves of a Merkle tree.

Many processes append; SQLite's single writer (BEGIN IMMEDIATE) numbers them. The leaf is the only truth; the columns
beside it are for finding it and are compared with it by the audit. The tree's frontier is stored with each append, so
the head costs O(log n). A copy of the head lies in `ledger.head` beside the database: it lags at most, so a ledger
that is shorter than it has lost events.
"""

import fcntl
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from evertrain.core.event import Draft, Event, Fact, kind_of
from evertrain.core.identity import Digest, canonical, digest_of_bytes
from evertrain.core.merkle import Frontier, SignedHead, TreeHead, consistency_proof, hash_leaf, inclusion_proof
from evertrain.core.time import Instant
from evertrain.errors import IntegrityError, NotFoundError, StateError
from evertrain.store.connection import Connections
from evertrain.store.crash import crash_point
from evertrain.store.file import write_atomically
from evertrain.store.migration import HEAD, revision_of, upgrade
from evertrain.store.signature import Signer

__all__ = ["Ledger", "decode", "gone", "head_beside"]

_HASH = 32

_metadata = MetaData()
_events = Table(
    "events",
    _metadata,
    Column("sequence", Integer, primary_key=True),
    Column("id", Text),
    Column("at", BigInteger),
    Column("kind", Text),
    Column("subject", Text),
    Column("leaf", LargeBinary),
    Column("hash", LargeBinary),
)
_frontier = Table("frontier", _metadata, Column("only", Integer), Column("size", Integer), Column("peaks", LargeBinary))
_heads = Table("heads", _metadata, Column("size", Integer, primary_key=True), Column("head", LargeBinary))
_words = Table("words", _metadata, Column("digest", Text, primary_key=True), Column("text", Text))

_decoder = msgspec.json.Decoder(Event)
_kinds = frozenset(str(fact.__struct_config__.tag) for fact in get_args(Fact))


class Ledger:
    """A handle on the ledger database. Safe to share between threads; each process opens its own."""

    def __init__(self, path: Path, *, make: bool = False) -> None:
        self.path = path
        self._connections = Connections(path, make=make)

    @classmethod
    def open(cls, path: Path, *, make: bool = False) -> "Ledger":
        """Open the ledger, migrating it first where that is needed. make: where there was none, make one.

        IntegrityError where it is gone: a new one would say that nothing ever was.
        """
        if not path.exists() and (not make or head_beside(path).exists()):
            raise gone(path)
        ledger = cls(path, make=make)
        try:
            with ledger._connections.reading() as connection:
                current = revision_of(connection)
            if current != HEAD:
                ledger._migrate()
        except BaseException:
            ledger.close()
            raise
        return ledger

    @property
    def hindered(self) -> str:
        """Why the database was only read as it rests, the last time; "" where it could be worked on."""
        return self._connections.hindered

    def close(self) -> None:
        """Release the database; the last one to leave folds the write-ahead log into the file."""
        self._connections.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing --------------------------------------------------------------------------------------------------------

    def append(self, *drafts: Draft) -> list[Event]:
        """Append all drafts or none, in order; they are on the disk when this returns.

        A draft whose id stands already changes nothing: the event that stands is returned in its place.
        """
        if not drafts:
            return []
        with self._connections.writing() as connection:
            known = _standing(connection, [draft.id for draft in drafts])
            frontier = _read_frontier(connection)
            rows: list[dict[str, Any]] = []
            for draft in drafts:
                if draft.id not in known:
                    known[draft.id] = _number(draft, frontier.size + len(rows))
                    rows.append(_row(known[draft.id]))
            if rows:
                frontier = frontier.grow(row["hash"] for row in rows)
                connection.execute(insert(_events), rows)
                connection.execute(update(_frontier).values(size=frontier.size, peaks=b"".join(frontier.peaks)))
                crash_point("ledger.before_commit")
        if rows:
            crash_point("ledger.after_commit")
            self._leave_head(frontier.head())
        return [known[draft.id] for draft in drafts]

    def sign_head(self, signer: Signer, at: Instant) -> SignedHead:
        """Vouch for the ledger as it is. A head that is signed already is returned as it stands."""
        with self._connections.writing() as connection:
            head = _read_frontier(connection).head()
            stored = connection.execute(select(_heads.c.head).where(_heads.c.size == head.size)).scalar()
            if stored is not None:
                return msgspec.json.decode(stored, type=SignedHead)
            signed = signer.sign(SignedHead(size=head.size, root=head.root, at=at))
            connection.execute(insert(_heads).values(size=head.size, head=canonical(signed)))
        write_atomically(head_beside(self.path, signed=True), canonical(signed))
        return signed

    def keep_words(self, text: str) -> Digest:
        """Keep what a person typed, beside the events, which name it by digest."""
        digest = digest_of_bytes(text.encode())
        with self._connections.writing() as connection:
            connection.execute(upsert(_words).values(digest=digest, text=text).on_conflict_do_nothing())
        return digest

    # Reading --------------------------------------------------------------------------------------------------------

    def read(
        self,
        after: int = -1,
        kinds: Collection[str] | None = None,
        subject: str | None = None,
        limit: int | None = None,
    ) -> list[Event]:
        """Events with a sequence above `after`, oldest first; at most `limit`."""
        query = select(_events.c.sequence, _events.c.kind, _events.c.leaf).where(_events.c.sequence > after)
        if kinds is not None:
            query = query.where(_events.c.kind.in_(sorted(kinds)))
        if subject is not None:
            query = query.where(_events.c.subject == subject)
        with self._connections.reading() as connection:
            rows = connection.execute(query.order_by(_events.c.sequence).limit(limit)).all()
        return [decode(row.leaf, row.sequence, row.kind) for row in rows]

    def stamp(self) -> tuple[int, ...]:
        """Something that differs after an append, whoever made it; for the price of a stat.

        Two appends within one tick of the file system's clock may look like one: read now and then all the same.
        """
        try:
            found = self.path.with_name(f"{self.path.name}-wal").stat()
        except FileNotFoundError:
            return ()
        return found.st_mtime_ns, found.st_size

    def last(self, kinds: Collection[str] | None = None, subject: str | None = None, limit: int = 1) -> list[Event]:
        """The newest events, newest first."""
        query = select(_events.c.sequence, _events.c.kind, _events.c.leaf)
        if kinds is not None:
            query = query.where(_events.c.kind.in_(sorted(kinds)))
        if subject is not None:
            query = query.where(_events.c.subject == subject)
        with self._connections.reading() as connection:
            rows = connection.execute(query.order_by(_events.c.sequence.desc()).limit(limit)).all()
        return [decode(row.leaf, row.sequence, row.kind) for row in rows]

    def find(self, draft_id: str) -> Event | None:
        """The event that a draft with this id became."""
        with self._connections.reading() as connection:
            return _standing(connection, [draft_id]).get(draft_id)

    def count(self) -> int:
        """How many events there are."""
        return self.head().size

    def head(self) -> TreeHead:
        """The size and root of the tree, from its stored frontier."""
        with self._connections.reading() as connection:
            return _read_frontier(connection).head()

    def signed_head(self) -> SignedHead | None:
        """The newest head that was signed."""
        with self._connections.reading() as connection:
            stored = connection.execute(select(_heads.c.head).order_by(_heads.c.size.desc()).limit(1)).scalar()
        return None if stored is None else msgspec.json.decode(stored, type=SignedHead)

    def words(self, digest: Digest) -> str:
        """What a person typed. Raises NotFoundError when it was never kept, or erased."""
        with self._connections.reading() as connection:
            found = connection.execute(select(_words.c.text).where(_words.c.digest == digest)).scalar_one_or_none()
        if found is None:
            raise NotFoundError(f"No words with digest {digest} are kept.")
        return str(found)

    def words_if_kept(self, digest: Digest) -> str:
        """What a person typed, or that it was erased."""
        try:
            return self.words(digest)
        except NotFoundError:
            return "(erased)"

    def prove_inclusion(self, sequence: int) -> list[bytes]:
        """The hashes that lead from an event's leaf to the root of the present head."""
        return inclusion_proof(self._hashes(), sequence)

    def prove_consistency(self, size: int) -> list[bytes]:
        """The hashes that show that the first `size` events are a prefix of the ledger."""
        return consistency_proof(self._hashes(), size)

    # Inside ---------------------------------------------------------------------------------------------------------

    def _hashes(self) -> list[bytes]:
        with self._connections.reading() as connection:
            return list(connection.execute(select(_events.c.hash).order_by(_events.c.sequence)).scalars())

    def _leave_head(self, head: TreeHead) -> None:
        write_atomically(head_beside(self.path), canonical(head), durable=False)

    def _migrate(self) -> None:
        """Under a lock of its own: the journal's mode cannot be set inside a transaction."""
        with self.path.with_name(f"{self.path.name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._connections.keep_log_ahead()
            with self._connections.writing() as connection:
                upgrade(connection, str(self.path))


def decode(leaf: bytes, sequence: int, kind: str) -> Event:
    """An event from its leaf. Raises StateError for a kind of a newer version, IntegrityError for a damaged leaf."""
    try:
        return _decoder.decode(leaf)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if kind not in _kinds and f'"kind":"{kind}"'.encode("utf-8", "replace") in leaf:
            raise StateError(
                f"Event {sequence} is of kind {kind!r}, which this version of evertrain does not know.",
                "Upgrade evertrain: a newer version has written to this ledger.",
            ) from error
        raise IntegrityError(
            f"Event {sequence} is damaged and cannot be read.", "Run `evertrain ledger verify` for all that differs."
        ) from error


def gone(path: Path) -> IntegrityError:
    """What there is to say of a ledger that was there."""
    return IntegrityError(
        f"The ledger {path} is gone.", "Restore it from a backup; what answered meanwhile is in the prediction log."
    )


def head_beside(path: Path, *, signed: bool = False) -> Path:
    """Where the copy of the newest head, or of the newest signed head, lies."""
    return path.with_suffix(".signed" if signed else ".head")


def _standing(connection: Connection, ids: Sequence[str]) -> dict[str, Event]:
    found = select(_events.c.id, _events.c.sequence, _events.c.kind, _events.c.leaf).where(_events.c.id.in_(ids))
    return {row.id: decode(row.leaf, row.sequence, row.kind) for row in connection.execute(found)}


def _read_frontier(connection: Connection) -> Frontier:
    size, peaks = connection.execute(select(_frontier.c.size, _frontier.c.peaks)).one()
    return Frontier(size, tuple(peaks[start : start + _HASH] for start in range(0, len(peaks), _HASH)))


def _number(draft: Draft, sequence: int) -> Event:
    return Event(
        sequence=sequence,
        id=draft.id,
        at=draft.at,
        actor=draft.actor,
        subject=draft.subject,
        reason=draft.reason,
        fact=draft.fact,
    )


def _row(numbered: Event) -> dict[str, Any]:
    leaf = canonical(numbered)
    try:
        _decoder.decode(leaf)
    except msgspec.DecodeError as error:  # NaN is no JSON: what stands cannot be taken out, and nobody could read on
        raise IntegrityError(f"Event {numbered.id!r} is not taken: nobody could read it again: {error}.") from error
    return {
        "sequence": numbered.sequence,
        "id": numbered.id,
        "at": numbered.at,
        "kind": kind_of(numbered.fact),
        "subject": numbered.subject,
        "leaf": leaf,
        "hash": hash_leaf(leaf),
    }
