"""What is there of a source, for a plan: by its files, read as ingestion would, or by the ledger."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from evertrain.config.declaration import SourceSpec
from evertrain.core.event import BatchIngested, Event, FileQuarantined
from evertrain.core.identity import digest_of_bytes
from evertrain.core.schema import Column
from evertrain.core.time import Instant
from evertrain.data.batch import Resolve, Taken, check_file, schema_of
from evertrain.data.checks import refuse_columns
from evertrain.data.column import fix_columns
from evertrain.data.profile import as_numbers
from evertrain.data.repair import repaired
from evertrain.data.source import Cells, read_cells
from evertrain.errors import SourceError, UnavailableError
from evertrain.process.declaration.origins import contents_of
from evertrain.process.declaration.plan import SourcePlan

__all__ = ["read_source", "recorded_source"]

_REASONS: Final = 5


def read_source(
    source: SourceSpec, folder: Path, find: Resolve, now: Instant
) -> tuple[SourcePlan, pl.DataFrame | None]:
    """What ingestion would make of the files that are there; no rows where no type is known."""
    columns: tuple[Column, ...] = source.columns
    frames: list[pl.DataFrame] = []
    faults: list[str] = []
    numbers: tuple[str, ...] = ()
    aside: Counter[str] = Counter()
    files = 0
    for name, content in _told(contents_of(source, folder), faults):
        files += 1
        file = Taken(name=name, digest=digest_of_bytes(content), arrived=now, history=True)
        try:
            cells = read_cells(name, content)
            columns = columns or fix_columns(
                cells, source.key, (source.event_time, source.known_at.column), source.zone
            )
            refuse_columns(source, columns)
            batch = check_file(source, columns, file, cells, find)
            numbers = numbers or _text_of_numbers(source, repaired(source, cells, find), columns)
        except SourceError as error:
            faults.append(f"{name}: {error}")
            continue
        frames.append(batch.rows)
        aside.update(broken.reason for broken in batch.aside)
    rows = pl.concat([pl.DataFrame(schema=schema_of(columns)), *frames]) if columns else None
    plan = SourcePlan(
        name=source.name,
        pattern=_said_origin(source, folder),
        files=files,
        rows=0 if rows is None else rows.height,
        aside=aside.total(),
        reasons=tuple(f"{count:,}: {reason}" for reason, count in aside.most_common(_REASONS)),
        repaired=source.repair is not None,
        newest=None if rows is None else _newest(rows[source.event_time]),
        inferred=not source.columns,
        faults=tuple(faults),
        parts="files" if source.sql is None else "pages",
        numbers=numbers,
    )
    return plan, rows


def _text_of_numbers(source: SourceSpec, cells: Cells, columns: Sequence[Column]) -> tuple[str, ...]:
    """Columns of a file that a person would call numbers, though a few of their cells are none."""
    told = as_numbers(cells, columns, source.zone)
    return tuple(one.name for one in told if one not in columns and one.name not in source.key)


def _told(contents: Iterator[tuple[str, bytes]], faults: list[str]) -> Iterator[tuple[str, bytes]]:
    """What can be read of a source; why no more can is added to the faults."""
    try:
        yield from contents
    except (SourceError, UnavailableError) as error:
        faults.append(str(error))


def _said_origin(source: SourceSpec, folder: Path) -> str:
    return str(folder / source.files) if source.sql is None else f"the query on {source.sql.url}"


def _newest(times: pl.Series) -> Instant | None:
    newest = times.dt.epoch("us").max()
    return Instant(newest) if isinstance(newest, int) else None


def recorded_source(source: SourceSpec, events: Iterable[Event]) -> SourcePlan:
    """What the ledger says of a source."""
    facts = [event.fact for event in events if event.subject == f"source/{source.name}"]
    batches = [fact for fact in facts if isinstance(fact, BatchIngested)]
    faults = [fact for fact in facts if isinstance(fact, FileQuarantined)]
    return SourcePlan(
        name=source.name,
        pattern=_said_origin(source, Path()),
        files=len({name for batch in batches for name in batch.files}) + len(faults),
        rows=sum(batch.rows for batch in batches),
        aside=sum(batch.quarantined for batch in batches),
        newest=max((batch.newest for batch in batches if batch.newest is not None), default=None),
        inferred=not source.columns,
        faults=tuple(f"{fault.file}: {fault.because}" for fault in faults),
        parts="files" if source.sql is None else "pages",
    )
