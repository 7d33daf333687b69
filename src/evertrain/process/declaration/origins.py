"""Where the rows of declared sources come from: looked at before anything is put on record, and read for a plan."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evertrain.config.declaration import SourceSpec, SqlSpec
from evertrain.config.wording import suggestion
from evertrain.core.identity import ServiceName, digest_of_bytes
from evertrain.data.arrival import Arrivals
from evertrain.data.frame import content_of
from evertrain.data.page import frames_of
from evertrain.data.sql import booleans_of, check_query, database_of
from evertrain.errors import DeclarationError, SourceError, UnavailableError
from evertrain.store.file import write_atomically

__all__ = ["contents_of", "keep_tables", "look_at_source"]

_WILD = frozenset("*?[")


def look_at_source(source: SourceSpec, service: ServiceName, place: Path) -> None:
    """Refuse a source whose folder, database file or query is not there. place: where relative paths begin.

    A database that does not answer is no reason to refuse: the reading is tried again until it does.
    """
    if source.sql is not None:
        _look_at_query(source, source.sql, service, place)
        return
    folder = _folder_of(place / source.files)
    if not folder.is_dir():
        raise DeclarationError(
            f"Source {source.name!r} of service {service!r} reads {source.files!r}, and there is no folder {folder}.",
            "Make the folder, or say with --data where the sources' folders are.",
        )


def _look_at_query(source: SourceSpec, spec: SqlSpec, service: ServiceName, place: Path) -> None:
    path = spec.url.partition("sqlite:///")[2].partition("?")[0]
    if path and "${" not in path and not (place / path).is_file():
        known = [file.name for file in (place / path).parent.glob("*")]
        raise DeclarationError(
            f"Source {source.name!r} of service {service!r} reads {spec.url!r}, and there is no file {place / path}.",
            suggestion(Path(path).name, known, otherwise="Name a SQLite file that is there."),
        )
    try:
        check_query(source, spec, place)
    except SourceError as error:
        raise DeclarationError(f"Source {source.name!r} of service {service!r}: {error.what}", error.remedy) from None
    except UnavailableError:
        return


def _folder_of(pattern: Path) -> Path:
    """The part of a glob that names a folder.

    >>> str(_folder_of(Path("/data/landings/2013-*/*.parquet")))
    '/data/landings'
    """
    folder = pattern.parent
    while _WILD & set(str(folder)):
        folder = folder.parent
    return folder


def keep_tables(tables: Mapping[Path, Any], place: Path) -> None:
    """Write tables that a declaration holds in memory as files below `place`; those that stand are not touched."""
    for name, table in tables.items():
        content, path = content_of(table), place / name
        if not path.exists() or digest_of_bytes(path.read_bytes()) != digest_of_bytes(content):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, content)
            except OSError as error:
                raise DeclarationError(
                    f"The table of et.frame cannot be written to {path}: {error.strerror}.",
                    "Name with --data a folder that may be written to.",
                ) from None


def contents_of(source: SourceSpec, place: Path) -> Iterator[tuple[str, bytes]]:
    """What ingestion would read now, as files: their names and bytes. UnavailableError, SourceError by a database."""
    if source.sql is not None:
        yield from _pages_of(source.sql, booleans_of(source), place)
        return
    arrivals = Arrivals(place / source.files, None)
    for name in arrivals.ready(0.0):
        yield name, (arrivals.folder / name).read_bytes()


def _pages_of(spec: SqlSpec, booleans: frozenset[str], place: Path) -> Iterator[tuple[str, bytes]]:
    number = 0
    for names, rows in database_of(spec, place).pages(spec.query, spec.cursor, None, spec.page_rows):
        for frame in frames_of(names, rows, booleans):
            number += 1
            buffer = io.BytesIO()
            frame.write_parquet(buffer)
            yield f"page {number}.parquet", buffer.getvalue()
