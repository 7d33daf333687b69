"""A commit of a table, as a fact for the ledger."""

from evertrain.core.event import Draft, TableCommitted
from evertrain.core.identity import ServiceName, SourceName
from evertrain.core.time import Instant
from evertrain.store.table import Committed

__all__ = [
    "ACTOR",
    "failures_table",
    "labels_table",
    "predictions_table",
    "shadows_table",
    "source_table",
    "table_fact",
]

ACTOR = "data"
"""Who writes these facts: the data process."""


def source_table(source: SourceName) -> str:
    """The table that holds a source's rows."""
    return f"source.{source}"


def predictions_table(service: ServiceName) -> str:
    """The table of a service's answered predictions."""
    return f"predictions.{service}"


def failures_table(service: ServiceName) -> str:
    """The table of the failures of a service's versions."""
    return f"failures.{service}"


def labels_table(service: ServiceName) -> str:
    """The table of the labels that clients posted."""
    return f"labels.{service}"


def shadows_table(service: ServiceName) -> str:
    """The table of what versions in shadow said to requests that others had answered."""
    return f"shadows.{service}"


def table_fact(committed: Committed, at: Instant) -> Draft:
    """The ledger vouches for the files of a commit."""
    return Draft(
        id=f"table/{committed.table}/{committed.version}",
        at=at,
        actor=ACTOR,
        subject=f"table/{committed.table}",
        reason=f"Version {committed.version} added {committed.rows} rows.",
        fact=TableCommitted(
            table=committed.table, version=committed.version, rows=committed.rows, files=committed.files
        ),
    )
