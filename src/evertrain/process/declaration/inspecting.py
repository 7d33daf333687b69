"""Looking into a table's files: to close the services that are declared on one, and to say what is in them.

Nothing is written, and none of the user's code runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import polars as pl

from evertrain.config.declaration import ServiceSpec, SourceSpec
from evertrain.config.table import OpenService, complete
from evertrain.core.identity import SourceName
from evertrain.core.schema import Column
from evertrain.data.profile import settle
from evertrain.data.source import Cells, read_cells
from evertrain.errors import DeclarationError, SourceError, UnavailableError
from evertrain.process.declaration.origins import contents_of

__all__ = ["closed", "first_cells"]


def closed(
    services: Iterable[ServiceSpec], folder: Path, fixed: Mapping[SourceName, Sequence[Column]] | None = None
) -> tuple[ServiceSpec, ...]:
    """The services, each with the columns of its table. folder: where the files are looked for.

    fixed: the types of sources that are on record; they hold, whatever the files say now.
    """
    return tuple(_close(spec, folder, fixed or {}) if isinstance(spec, OpenService) else spec for spec in services)


def _close(spec: OpenService, folder: Path, fixed: Mapping[SourceName, Sequence[Column]]) -> ServiceSpec:
    [source] = spec.sources
    if source.name in fixed:
        return complete(spec, fixed[source.name])
    cells = first_cells(source, folder)
    for name in (*spec.table.key, spec.table.at):
        if name not in cells.names:
            # The refusal names the nearest column.
            return complete(spec, [Column(name=one, type="string") for one in cells.names])
    table = spec.table
    columns = settle(cells, table.key, (table.at,), source.zone, label=table.label, declared=table.columns)
    return complete(spec, columns, _values_of(cells, table.label))


def _values_of(cells: Cells, label: str) -> list[str]:
    """What a text column holds, sorted; nothing for a column that is not there, or of another type."""
    if label not in cells.names or cells.frame[label].dtype != pl.String:
        return []
    found: list[str] = cells.frame[label].drop_nulls().unique().sort().to_list()
    return found


def first_cells(source: SourceSpec, folder: Path) -> Cells:
    """The cells of the first file, or page of a query, that can be read; DeclarationError when there is none."""
    faults = []
    try:
        for name, content in contents_of(source, folder):
            try:
                return read_cells(name, content)
            except SourceError as error:
                faults.append(str(error))
    except (SourceError, UnavailableError) as error:
        faults.append(str(error))
    raise DeclarationError(
        f"Source {source.name!r} reads {source.files or 'a query'!r}, and nothing there shows its columns"
        f"{': ' + faults[0] if faults else '.'}",
        "Put a first file there: the columns of a table are those that its first file has.",
    )
