"""A source, from its folder into its table: exactly once, whatever is killed when.

Files are *taken* (read, checked, visible online) as they come, and *committed* to the table together, now and then.
The commit's note names its files; the ledger's facts follow it and are made good from the notes after a crash. So a
file is either in the table, with its name and digest in the table's own log, or it is read again.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from evertrain.config.declaration import SourceSpec
from evertrain.core.event import BatchIngested, Draft, Event, Fact, FileQuarantined, SourceTypesFixed
from evertrain.core.identity import Digest, digest_of, digest_of_bytes
from evertrain.core.schema import Column
from evertrain.core.time import Instant, from_datetime
from evertrain.data.arrival import Arrival, Arrivals, Journal, Mark, Patience
from evertrain.data.batch import ARRIVED, BATCH, FILE, Batch, Resolve, Taken, check_file, schema_of, without
from evertrain.data.checks import refuse_columns
from evertrain.data.column import fix_columns
from evertrain.data.commit import ACTOR, source_table, table_fact
from evertrain.data.freshness import Freshness, Reading
from evertrain.data.label import Posted
from evertrain.data.quarantine import Quarantine
from evertrain.data.reread import reread
from evertrain.data.source import ROW, Cells, read_cells
from evertrain.data.standing import POSTED, Standing
from evertrain.errors import IntegrityError, SourceError
from evertrain.store.crash import crash_point
from evertrain.store.table import TIME, Committed, Table

__all__ = ["KINDS", "Ingest"]

KINDS = frozenset({"batch.ingested", "file.quarantined", "source.types_fixed"})
"""The kinds of events that tell what a source has taken in."""

_WRITER = "ingest"
_POSTED = "log/"
_NO_TABLE = -1


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit's note says of its batch."""

    files: dict[str, Digest]
    quarantined: int
    newest: Instant | None
    at: Instant
    rules: str = ""


class Ingest:
    """One source. `events` are the ledger's events about it; `pattern` is its glob, made absolute.

    rules: what decides how its files are read, as `rules_of` says it.
    """

    def __init__(
        self,
        spec: SourceSpec,
        pattern: Path,
        *,
        tables: Path,
        quarantine: Path,
        journal: Path,
        resolve: Resolve,
        rules: Digest,
        patience: Patience | None,
        events: Iterable[Event] = (),
    ) -> None:
        self.spec, self._resolve, self._rules = spec, resolve, rules
        self.table = Table(tables, source_table(spec.name))
        self._quarantine = Quarantine(quarantine)
        self._aside = Standing(self._quarantine, rules)
        self._journal = Journal(journal)
        self.columns: tuple[Column, ...] = ()
        self._pending: list[Batch] = []
        self._posted: list[Posted] = []
        self._places: dict[str, int] = {}
        self._ingested: dict[str, set[Digest]] = {}
        self._twins: dict[Digest, str] = {}
        self._recorded = _NO_TABLE
        self._rows = 0
        self._newest: Instant | None = None
        self._arrived: Instant | None = None
        self._reading: Reading | None = None
        for event in events:
            self._recall(event.fact)
        known = {(name, digest) for name, digests in self._ingested.items() for digest in digests}
        marks = {one.name: one.mark for one in self._journal.arrivals.values() if (one.name, one.digest) in known}
        self._arrivals = Arrivals(pattern, patience, marks, self._aside.again)

    # Taking files -----------------------------------------------------------------------------------------------------

    def recover(self, at: Instant) -> list[Draft]:
        """After a start: what the table holds and the ledger does not say yet; remains of a killed writer go.

        Types that are declared are fixed here, so that the source's table can be made before its first file comes.
        """
        self.table.sweep()
        drafts = [draft for committed in self.table.commits(after=self._recorded) for draft in self._facts(committed)]
        for draft in drafts:
            self._recall(draft.fact)
        if self.spec.columns and not self.columns:
            refuse_columns(self.spec, self.spec.columns)
            drafts.append(self._types(self.spec.columns, at))
        return drafts

    def post(self, posted: Posted) -> pl.DataFrame:
        """Rows that did not come in a file: labels that clients posted. They wait for the commit like any others."""
        for broken in posted.aside:
            self._quarantine.rows(POSTED, digest_of(broken), [broken])
        self._aside.posted(len(posted.aside))
        self._posted.append(posted)
        self._places |= posted.places
        return posted.rows

    def reached(self, writer: str) -> int:
        """The place in a writer's log up to which its posted labels are in the table, or wait to be."""
        if writer not in self._places:
            self._places[writer] = self.table.position(_POSTED + writer)
        return self._places[writer]

    @property
    def made(self) -> bool:
        """Whether the source's table exists."""
        return self._recorded != _NO_TABLE

    def take(
        self, now: Instant, tick: float, tell: Callable[[], None] = lambda: None
    ) -> tuple[list[pl.DataFrame], list[Draft]]:
        """Read what has arrived: rows to show online (they wait here for the commit), and facts for the ledger.

        now: business time, tick: monotonic seconds. tell: is called before each file and after the last. What is
        there at the first look of all is history.
        """
        shown: list[pl.DataFrame] = []
        drafts: list[Draft] = []
        ready = self._arrivals.ready(tick)
        for place, name in enumerate(ready):
            self._reach(place, len(ready), tell)
            read = self._arrivals.take(name)
            if read is None:
                continue
            content, mark = read
            digest = digest_of_bytes(content)
            if digest in self._ingested.get(name, ()) and not self._aside.is_overdue(name, digest):
                continue
            file = self._arrive(name, digest, mark, now)
            crash_point("ingest.after_journal")
            try:
                cells = read_cells(name, content)
                if not self.columns:
                    drafts.append(self._fix_types(cells, now))
                batch = self._check(file, cells)
            except SourceError as error:
                drafts.append(self._set_file_aside(file, content, error, now))
                continue
            self._keep(batch)
            if not batch.rows.is_empty():
                shown.append(batch.rows)
        if ready:
            self._reach(len(ready), len(ready), tell)
        return shown, drafts

    def _arrive(self, name: str, digest: Digest, mark: Mark, now: Instant) -> Taken:
        """A file that is read again was history if it was so the first time; live rows of it are known from now on."""
        first = self._journal.arrivals.get((name, digest, ""))
        rules = self._rules if self._aside.is_overdue(name, digest) else ""
        history = not self._journal.begun and name in self._arrivals.first if first is None else first.history
        arrival = self._journal.note(Arrival(name, digest, now, history, mark, rules))
        return Taken(name=name, digest=digest, arrived=arrival.at, history=arrival.history)

    def rested(self) -> None:
        """What was taken is where it belongs: no reading is under way."""
        self._reading = None

    def _reach(self, files: int, of: int, tell: Callable[[], None]) -> None:
        now = time.time()
        began = now if self._reading is None else self._reading.began
        self._reading = Reading(files=files, of=of, began=began, reached=now)
        tell()

    def _check(self, file: Taken, cells: Cells) -> Batch:
        batch = check_file(self.spec, self.columns, file, cells, self._resolve)
        twin = self._twins.get(file.digest, file.name)
        if twin != file.name and not batch.rows.is_empty():
            raise SourceError(f"{file.name!r} holds the same bytes as {twin!r}, whose rows are in already.")
        if self._aside.is_overdue(file.name, file.digest):
            return self._only_waiting(batch)
        return self._only_new(batch) if file.name in self._ingested else batch

    def _keep(self, batch: Batch) -> None:
        """A checked file waits for the commit; its rows that were set aside are on disk."""
        file = batch.file
        self._quarantine.rows(file.name, file.digest, batch.aside, self._rules)
        self._pending.append(batch)
        self._remember(file.name, file.digest)
        self._aside.read(file.name, file.digest, len(batch.aside))
        if not batch.rows.is_empty():
            self._arrived = file.arrived
            self._note_newest(_newest(batch.rows, self.spec.event_time))

    def _fix_types(self, cells: Cells, now: Instant) -> Draft:
        times = (self.spec.event_time, self.spec.known_at.column)
        columns = fix_columns(cells, self.spec.key, times, self.spec.zone)
        refuse_columns(self.spec, columns)
        return self._types(columns, now)

    def _types(self, columns: tuple[Column, ...], now: Instant) -> Draft:
        self.columns = columns
        inferred = not self.spec.columns
        reason = "inferred from the first file" if inferred else "declared"
        return Draft(
            id=f"types/{self.spec.name}/{digest_of(columns)[:10]}",
            at=now,
            actor=ACTOR,
            subject=f"source/{self.spec.name}",
            reason=f"The types were {reason} and hold from now on.",
            fact=SourceTypesFixed(source=self.spec.name, columns=columns, inferred=inferred),
        )

    def _only_new(self, batch: Batch) -> Batch:
        """A file that was taken before and has changed: the rows that it has gained."""
        digests = [str(digest) for digest in self._ingested[batch.file.name]]
        standing = self._standing(batch.rows.columns, pl.col(FILE).is_in(digests))
        return Batch(batch.file, without(batch.rows, standing, self.columns), batch.aside)

    def _only_waiting(self, batch: Batch) -> Batch:
        """A file of which something was set aside under other rules: what waits of it, and did not come otherwise."""
        file = batch.file
        numbers = self._aside.waiting(file.name, file.digest)
        if numbers is None:
            batch = self._only_new(batch)
        first = self._journal.arrivals.get((file.name, file.digest, ""))
        arrived = file.arrived if first is None else first.at
        columns = list(dict.fromkeys((*self.spec.key, self.spec.event_time, ARRIVED, FILE, ROW)))
        since = self._standing(columns, pl.col(ARRIVED) >= pl.lit(arrived).cast(TIME))
        return reread(batch, numbers, since, (*self.spec.key, self.spec.event_time), arrived)

    def _standing(self, columns: Sequence[str], where: pl.Expr) -> pl.DataFrame:
        """These columns of the rows that are in the table, or wait for the next commit."""
        standing = [batch.rows.filter(where).select(columns) for batch in self._pending]
        if self.made:
            standing.append(self.table.read(columns=list(columns), where=where))
        return pl.concat([pl.DataFrame(schema=schema_of(self.columns)).select(columns), *standing])

    def _set_file_aside(self, file: Taken, content: bytes, error: SourceError, now: Instant) -> Draft:
        self._quarantine.file(file.name, file.digest, content, str(error))
        fact = FileQuarantined(
            source=self.spec.name, file=file.name, digest=file.digest, because=error.what, rules=self._rules
        )
        self._recall(fact)
        which = f"{digest_of_bytes(file.name.encode())[:10]}/{self._rules[:10]}"
        return Draft(
            id=f"quarantine/{self.spec.name}/{file.digest}/{which}",
            at=now,
            actor=ACTOR,
            subject=f"source/{self.spec.name}",
            reason=f"File {file.name!r} was set aside: {error.what}",
            fact=fact,
        )

    # Committing -------------------------------------------------------------------------------------------------------

    def commit(self, now: Instant) -> list[Draft]:
        """Append everything that waits to the table, in one commit; returns the facts for the ledger.

        The first one makes the table, empty if need be.
        """
        if self.history_taken and not self._journal.begun:
            self._journal.begin()
        if not self.columns or (self.made and not self._waiting):
            return []
        sequence = self.table.position(_WRITER) + 1
        rows = pl.concat([pl.DataFrame(schema=schema_of(self.columns)), *(batch.rows for batch in self._waiting)])
        tagged = rows.sort(self.spec.event_time, *self.spec.key, maintain_order=True).with_columns(
            pl.lit(f"{self.spec.name}/{sequence}").alias(BATCH)
        )
        aside = sum(len(batch.aside) for batch in self._waiting)
        note = _Note(
            files={batch.file.name: batch.file.digest for batch in self._pending},
            quarantined=aside,
            newest=_newest(tagged, self.spec.event_time),
            at=now,
            rules=self._rules,
        )
        places = {writer: place for posted in self._posted for writer, place in posted.places.items()}
        positions = {_WRITER: sequence} | {_POSTED + writer: place for writer, place in places.items()}
        crash_point("ingest.before_commit")
        committed = self.table.append_from(tagged, positions, note=msgspec.json.encode(note).decode())
        crash_point("ingest.after_commit")
        if committed is None:
            raise IntegrityError(f"Table {self.table.name!r} already holds batch {sequence}: two processes write it.")
        self._pending, self._posted = [], []
        self._recorded = committed.version
        self._rows += committed.rows
        self._note_newest(note.newest)
        return self._facts(committed)

    def _facts(self, committed: Committed) -> list[Draft]:
        note = msgspec.json.decode(committed.note, type=_Note)
        source = self.spec.name
        ingested = BatchIngested(
            source=source,
            files=note.files,
            rows=committed.rows,
            quarantined=note.quarantined,
            version=committed.version,
            newest=note.newest,
            rules=note.rules,
        )
        reason = f"{len(note.files)} files and posts brought {committed.rows} rows; {note.quarantined} were set aside."
        return [
            Draft(
                id=f"batch/{source}/{committed.version}",
                at=note.at,
                actor=ACTOR,
                subject=f"source/{source}",
                reason=reason,
                fact=ingested,
            ),
            table_fact(committed, note.at),
        ]

    @property
    def _waiting(self) -> list[Batch | Posted]:
        return [*self._pending, *self._posted]

    @property
    def history_taken(self) -> bool:
        """Whether everything that was there at the first look has been read: from then on rows are live."""
        return self._arrivals.looked and not self._arrivals.first & self._arrivals.waiting

    @property
    def has_begun(self) -> bool:
        """Whether the history was taken, by this process or an earlier one."""
        return self._journal.begun

    @property
    def expects_files(self) -> bool:
        """Whether files were seen that are not taken yet: they have to stand still first."""
        return bool(self._arrivals.waiting)

    def close(self) -> None:
        """Give the journal back; what waits is read again by whoever comes next."""
        self._journal.close()

    # What stands ------------------------------------------------------------------------------------------------------

    def freshness(self) -> Freshness:
        return Freshness(
            source=self.spec.name,
            newest=self._newest,
            arrived=self._arrived,
            rows=self._rows,
            quarantined=self._aside.rows,
            files_quarantined=self._aside.files,
            pending=sum(batch.rows.height for batch in self._waiting),
            fresh_within=self.spec.fresh_within,
            owner=self.spec.owner,
            reading=self._reading,
            again=len(self._aside.again),
        )

    def _recall(self, fact: Fact) -> None:
        if isinstance(fact, SourceTypesFixed):
            self.columns = fact.columns
        elif isinstance(fact, FileQuarantined):
            self._ingested.setdefault(fact.file, set()).add(fact.digest)
            self._aside.refused(fact.file, fact.digest, fact.rules)
        elif isinstance(fact, BatchIngested):
            self._recorded = max(self._recorded, fact.version)
            self._rows += fact.rows
            self._note_newest(fact.newest)
            for name, digest in fact.files.items():
                self._remember(name, digest)
                self._aside.recall(name, digest, fact.rules)

    def _remember(self, name: str, digest: Digest) -> None:
        self._ingested.setdefault(name, set()).add(digest)
        self._twins.setdefault(digest, name)

    def _note_newest(self, newest: Instant | None) -> None:
        if newest is not None and (self._newest is None or newest > self._newest):
            self._newest = newest


def _newest(rows: pl.DataFrame, event_time: str) -> Instant | None:
    newest = rows[event_time].max()
    return from_datetime(newest) if isinstance(newest, datetime) else None
