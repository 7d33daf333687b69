"""What the data process works on: the sources of all declared services, their online states, the log's tables.

Order is everything here. A file's arrival is journalled before its rows are visible; rows are visible online before
the clock says that they are; a table's commit stands before the ledger's fact of it; and the cursor of the log moves
only when every table holds what was read. Whatever is killed in between is done again, and counts once.

After an outage the log holds more than one look takes. It is read piece by piece, and until all of it is known, rows of
sources wait for their commit: labels among them are told to predictions that may not have been read yet.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import polars as pl

from evertrain.config.declaration import ServiceSpec, SourceSpec
from evertrain.core.event import Draft, ServiceDeclared
from evertrain.core.identity import Digest, ServiceName, SourceName
from evertrain.core.prediction import Labelled, Predicted, Record
from evertrain.core.time import Instant, Span
from evertrain.data.arrival import Patience
from evertrain.data.damage import DAMAGES, Damages
from evertrain.data.freshness import ALERTS, FreshnessAlerts
from evertrain.data.ingest import KINDS, Ingest
from evertrain.data.online import OnlineWriter
from evertrain.data.prediction import place_of
from evertrain.data.sql import Feed, booleans_of
from evertrain.data.standing import rules_of
from evertrain.process.ingestion.cursor import move_cursor, read_cursor
from evertrain.process.ingestion.filed import FiledLabels
from evertrain.process.ingestion.segments import Segments
from evertrain.process.ingestion.service import TakenService
from evertrain.process.trainer.assembly import bundle_folder, resolver
from evertrain.store.artifact import Artifacts
from evertrain.store.crash import crash_point
from evertrain.store.file import write_atomically
from evertrain.store.ledger import Ledger
from evertrain.store.reader import LogReader, known_to
from evertrain.store.segment import Position
from evertrain.store.state import State

__all__ = ["Intake"]

_log = logging.getLogger("data")
_PIECE, _COMMIT = 20_000, 50_000
"""Records that are read at once, and that wait for their commit at most."""
_LISTEN_S = 0.25
_FIRST_READ_S = 120.0
_FAREWELL_S = 2.0
_PROGRESS_S = 0.4


class Intake:
    """Everything that flows into an installation's tables and online states."""

    def __init__(
        self, state: State, ledger: Ledger, patience: Patience | None, now: Instant, *, log_keep: Span
    ) -> None:
        self._state, self._ledger, self._patience = state, ledger, patience
        self._artifacts = Artifacts.at(state.artifacts)
        self._services: dict[ServiceName, TakenService] = {}
        self._sources: dict[SourceName, Ingest] = {}
        self._feeds: dict[SourceName, Feed] = {}
        self._specs: dict[Digest, ServiceSpec] = {}
        self._online: OnlineWriter | None = None
        self._lacking: set[SourceName] = set()
        self._begun: set[SourceName] = set()
        self._patient_until: dict[ServiceName, float] = {}
        self._reader = LogReader(state.log)
        self.more = False
        """Whether the last look at the log left something unread."""
        self.known_to: Instant | None = None
        """Up to when the log is known, while what came in an outage is still read; None once it is known up to now."""
        self._positions = read_cursor(state)
        self._heard = -1
        self._stamp: tuple[int, ...] | None = None
        self._listened = self._reported = float("-inf")
        self._segments = Segments(self._reader, ledger, log_keep)
        self._unread = 0
        self._filed = FiledLabels(state.log)
        self._damages = Damages(ledger.read(kinds=DAMAGES))
        for gap in self._damages.gaps:
            self._positions.setdefault(gap.name, gap.begin)
        self._alerts = FreshnessAlerts(ledger.read(kinds=ALERTS))
        self.hear(now)

    # Declarations -----------------------------------------------------------------------------------------------------

    def hear(self, now: Instant) -> None:
        """Take up declarations that are new in the ledger; the newest of a service counts."""
        stamp, tick = self._ledger.stamp(), time.monotonic()
        if stamp == self._stamp and tick - self._listened < _LISTEN_S:
            return
        self._stamp, self._listened = stamp, tick
        newest: dict[ServiceName, ServiceDeclared] = {}
        for event in self._ledger.read(after=self._heard, kinds={"service.declared"}):
            self._heard = event.sequence
            if isinstance(event.fact, ServiceDeclared):
                newest[event.fact.service] = event.fact
                spec = msgspec.json.decode(self._artifacts.blobs.get(event.fact.declaration), type=ServiceSpec)
                self._specs[event.fact.declaration] = spec
        if not newest:
            return
        if self._services:
            self.commit(now)
        for name, declared in newest.items():
            self._declare(name, declared, now)
        self._open_states()

    def _open_states(self) -> None:
        """Keep the states of every declaration up to date, old ones too: their versions may still answer.

        States that are new, or that were lost with the cache, are filled from the tables.
        """
        specs = [spec for spec in self._specs.values() if all(map(self._is_current, spec.sources))]
        writer, self._online = self._online, OnlineWriter(specs, self._state)
        if writer is not None:
            writer.close()
        self._lacking = {*self._online.lacking}
        for name in self._lacking:
            table = self._sources[name].table
            if table.version() >= 0:
                rows = table.read()
                _log.info("%d rows of source %s are written into the online states", rows.height, name)
                self._online.write(name, rows)

    def _is_current(self, source: SourceSpec) -> bool:
        """Whether rows of the source as it is now are rows of the source as it was declared then."""
        if source.name not in self._sources:  # the newest declaration does without it
            return False
        now = self._sources[source.name].spec
        return (source.columns, source.key, source.event_time) == (now.columns, now.key, now.event_time)

    def _declare(self, name: ServiceName, declared: ServiceDeclared, now: Instant) -> None:
        spec = self._specs[declared.declaration]
        folder = bundle_folder(self._state, self._artifacts.blobs, declared.bundle)
        for source in spec.sources:
            ingest = Ingest(
                source,
                self._feed(source, Path(declared.folder)),
                tables=self._state.tables,
                quarantine=self._state.quarantine(source.name),
                journal=self._state.path / "control" / "arrivals" / f"{source.name}.jsonl",
                resolve=resolver(folder, declared.bundle),
                rules=rules_of(source, folder),
                patience=None if source.sql is not None else self._patience,
                events=self._ledger.read(kinds=KINDS, subject=f"source/{source.name}"),
            )
            self._record(ingest.recover(now))
            if source.name in self._sources:
                self._sources[source.name].close()
            self._sources[source.name] = ingest
            self._begun.discard(source.name)
        self._services[name] = self._serve(name, spec)
        self._patient_until[name] = time.monotonic() + _FIRST_READ_S
        _log.info("service %s is declared, with %d sources", name, len(spec.sources))

    def _feed(self, source: SourceSpec, place: Path) -> Path:
        """Where the files of a source are: its own, or the pages into which its query is read."""
        if source.name in self._feeds:
            self._feeds.pop(source.name).close()
        if source.sql is None:
            return place / source.files
        pages = self._state.path / "control" / "pages" / source.name
        self._feeds[source.name] = Feed(
            source.name, source.sql, place, pages, waits=self._patience is None, booleans=booleans_of(source)
        )
        return pages / "*.parquet"

    def _serve(self, name: ServiceName, spec: ServiceSpec | None) -> TakenService:
        service = TakenService(self._state, name, spec)
        for table in service.tables.all:
            self._record(
                table.recover(self._ledger.read(kinds={"table.committed"}, subject=f"table/{table.table.name}"))
            )
        return service

    # Looking ----------------------------------------------------------------------------------------------------------

    def look(self, now: Instant, tick: float) -> int:
        """Take in what has arrived by now; returns how many rows became visible. tick: monotonic seconds."""
        seen: list[tuple[SourceName, pl.DataFrame]] = []
        for name, ingest in self._sources.items():
            if name in self._feeds and not self._read_on_query(name, ingest, tick):
                continue
            shown, drafts = ingest.take(now, tick, self._tell_progress)
            self._record(drafts)
            seen += [(name, rows) for rows in shown]
        self._show(seen)
        for source, rows in seen:
            for service in [one for one, what in self._services.items() if what.is_told_by(source)]:
                self._filed.keep(service, rows)
        for name, ingest in self._sources.items():
            ingest.rested()
            if ingest.history_taken:
                self._begin(name, ingest, now)
        return sum(rows.height for _, rows in seen)

    def _read_on_query(self, name: SourceName, ingest: Ingest, tick: float) -> bool:
        """Have a source's query read; False while its first reading lasts, since all of that is history."""
        feed = self._feeds[name]
        feed.look(tick)
        return feed.caught_up or ingest.has_begun

    def _begin(self, source: SourceName, ingest: Ingest, now: Instant) -> None:
        """A source's history has been read: its table is made, its states are declared complete."""
        if not ingest.made:
            self._read_on(now)
            if self.more:
                return
            self._tell_filed(now)
            self._record(ingest.commit(now))
        self._begun.add(source)
        if source in self._lacking and self._online is not None:
            self._online.complete(source)
            self._lacking.discard(source)

    def _show(self, rows: Sequence[tuple[SourceName, pl.DataFrame]]) -> None:
        if not rows:
            return
        crash_point("data.before_online")
        if self._online is not None:
            self._online.write_all(rows)
        crash_point("data.after_online")

    def follow(self, now: Instant) -> int:
        """Read on in the log; returns how many records that were. Posted labels become visible online.

        A writer may be at its end when another one logs a label of what it logs just then. Therefore everything is read
        once more before the labels are looked at.
        """
        read = self._read_on(now)
        new = {name: len(service.posted) for name, service in self._services.items() if service.posted}
        if new:
            read += self._read_on(now)
        if self.more:
            return read
        for name, count in new.items():
            self._post(self._services[name], count)
        return read + self._read_on(now) if self._tell_filed(now) else read

    def _tell_filed(self, now: Instant) -> bool:
        """Tell labels that came in files to the log, before their rows are committed: after that nobody would."""
        services = [(name, one.labels) for name, one in self._services.items() if one.labels is not None]
        return sum(self._filed.tell(name, labels, now) for name, labels in services) > 0

    def _read_on(self, now: Instant) -> int:
        """Read a piece of the log, of which there may be more; in a story all of it."""
        read, more = 0, True
        while more:
            found = self._reader.tail(self._positions, limit=_PIECE)
            # Under load there is always one more; what comes now is for the next look.
            self.more, self.known_to = len(found) >= _PIECE, known_to(found, _PIECE, now)
            more = self.more and self._patience is None
            for position, record in found:
                self._positions[position.writer] = position
                if not self._damages.covers(position):
                    self._take(position, record)
            tables = [table.table for service in self._services.values() for table in service.tables.all]
            self._record(self._damages.pass_over(self._reader, self._positions, tables, now))
            read += len(found)
            self._unread += len(found)
            if self._unread >= _COMMIT:
                self._commit_records(now)
        return read

    def _take(self, position: Position, record: Record) -> None:
        service = self._services.get(record.service)
        if service is None:
            service = self._services[record.service] = self._serve(record.service, None)
        service.tables.add(position, record)
        if service.labels is None:
            return
        if isinstance(record, Predicted):
            service.labels.predicted(record)
        elif isinstance(record, Labelled) and not record.filed:
            service.posted.append((position, record))

    def _post(self, service: TakenService, count: int) -> None:
        """The first `count` posted labels become rows of the label's source.

        Until its types are known they wait, and the cursor too.
        """
        if service.spec is None or service.spec.label is None or service.labels is None:
            return
        source = service.spec.label.source
        ingest = self._sources[source]
        if not ingest.columns:
            return
        posted, service.posted = service.posted[:count], service.posted[count:]
        new = [(place, label) for place, label in posted if place_of(place) > ingest.reached(place.writer)]
        if new:
            rows = ingest.post(service.labels.rows(new, ingest.columns))
            self._show([(source, rows)])

    # Committing -------------------------------------------------------------------------------------------------------

    def commit(self, now: Instant) -> None:
        """Everything that waits goes into its table and on record; then the cursor of the log moves."""
        if not self.more:
            self._tell_filed(now)
            for ingest in self._sources.values():
                self._record(ingest.commit(now))
        self._commit_records(now)
        crash_point("data.before_cursor")
        if not any(service.posted for service in self._services.values()):
            move_cursor(self._state, self._positions)
            self._retire(now)
        self._record(self._segments.seal(now))
        self._record(self._damages.judge(self._reader, self._positions, now))
        self.report()

    def _commit_records(self, now: Instant) -> None:
        for service in self._services.values():
            self._record(service.tables.commit(now))
        self._unread = 0

    def _retire(self, now: Instant) -> None:
        for draft, path in self._segments.retire(now, self._positions):
            self._record([draft])
            crash_point("data.before_retirement")
            path.unlink()

    def close(self) -> None:
        """End the readings of databases; one that hangs ends with the process, and what it froze stays."""
        for feed in self._feeds.values():
            feed.close(_FAREWELL_S)
        self._filed.close()

    def has_begun(self, name: ServiceName) -> bool:
        """Whether the files that a service found when it was declared are read, or were waited for long enough.

        Before that, its tables would tell a training that there is nothing to learn from.
        """
        service = self._services.get(name)
        if service is None or service.spec is None:
            return False
        late = time.monotonic() > self._patient_until[name]
        return late or all(source.name in self._begun for source in service.spec.sources)

    def versions(self, name: ServiceName) -> dict[str, int]:
        """The newest version of each table of a service: of its sources, and of its records."""
        service = self._services.get(name)
        if service is None:
            return {}
        tables = [table.table for table in service.tables.all]
        tables += [ingest.table for source, ingest in self._sources.items() if service.reads(source)]
        return {table.name: version for table in tables if (version := table.version()) >= 0}

    def _tell_progress(self) -> None:
        """Let people see how far a long reading is. A story's deliveries are many and small."""
        if self._patience is not None and time.monotonic() - self._reported > _PROGRESS_S:
            self.report()

    def report(self) -> None:
        """How fresh each source is, for the page and `evertrain status`."""
        self._reported = time.monotonic()
        told = [
            msgspec.structs.replace(
                ingest.freshness(), trouble=self._feeds[name].trouble if name in self._feeds else ""
            )
            for name, ingest in self._sources.items()
        ]
        write_atomically(self._state.reports / "sources.json", msgspec.json.encode(told), durable=False)

    @property
    def expects_files(self) -> bool:
        """Whether files were seen that are not taken yet."""
        return any(ingest.expects_files for ingest in self._sources.values())

    def watch(self, now: Instant) -> None:
        """Tell owners of sources that have become stale, or fresh again: by all that is known by `now`.

        After a start nothing is said of a source until the files that waited for it are read.
        """
        read = [ingest.freshness() for ingest in self._sources.values() if ingest.history_taken]
        self._record(self._alerts.judge(read, now))
        self._record(self._damages.judge(self._reader, self._positions, now))

    def note(self) -> str:
        """One line for people."""
        waiting = sum(ingest.freshness().pending for ingest in self._sources.values())
        return f"{len(self._sources)} sources, {waiting} rows wait for their commit"

    def _record(self, drafts: Iterable[Draft]) -> None:
        drafts = list(drafts)
        if drafts:
            crash_point("data.before_ledger")
            self._ledger.append(*drafts)
