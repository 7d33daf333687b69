"""Watch only: a table of predictions and labels becomes a report; while it is served, a changed file is read anew."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import uvicorn

from evertrain.monitor.observed import look
from evertrain.monitor.report import Question, Report, check_metric
from evertrain.process.observation.observations import Named, read_reference, read_table
from evertrain.process.port import claim, require_free
from evertrain.web.application import create_server
from evertrain.web.observation import create_report_app

__all__ = ["FollowedReport", "ServedReport", "WatchedTable", "report_of", "serving"]

_HOST = "127.0.0.1"


class WatchedTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table, what its columns mean, what is asked of it, and the table that its inputs are compared with."""

    file: Path
    named: Named
    question: Question
    reference: Path | None = None


def report_of(table: WatchedTable) -> Report:
    """Read and look. SourceError or UserError with a remedy where the table is not what it was said to be."""
    seen = read_table(table.file, table.named)
    check_metric(table.question.metric, seen.kind)
    notices, inputs, reference, reference_name = list(seen.notices), seen.inputs, None, ""
    if table.reference is not None:
        against = read_reference(table.reference, table.named, seen)
        reference, reference_name, inputs = against.observations, against.name, against.inputs
        notices += against.notices
    question = msgspec.structs.replace(table.question, labelled=table.named.label is not None)
    if question.labelled and question.horizon is None and bool(np.isnan(seen.observations.label).any()):
        notices.append(
            "No horizon is stated, so every row without a label counts as missing one. Where labels come late, state "
            "it (--horizon 30d): then only rows count whose label is due, and early labels do not push ahead."
        )
    return look(
        table.file.name,
        seen.observations,
        question,
        kind=seen.kind,
        reference=reference,
        reference_name=reference_name,
        inputs=inputs,
        warnings=seen.warnings,
        notices=tuple(notices),
    )


class FollowedReport:
    """The report of a file that may be written anew: made again when the file has changed. Any thread may ask."""

    def __init__(self, table: WatchedTable) -> None:
        self._table = table
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._report = report_of(table)

    def __call__(self) -> Report:
        """The report of the files as they are. A file that cannot be read is told, not hidden behind the old report."""
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp:
                self._report, self._stamp = report_of(self._table), stamp
            return self._report

    def _look(self) -> tuple[tuple[int, int], ...]:
        files = [self._table.file, *([] if self._table.reference is None else [self._table.reference])]
        stats = [file.stat() for file in files if file.exists()]
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)


class ServedReport:
    """A report on a port of 127.0.0.1."""

    def __init__(self, listener: socket.socket, server: uvicorn.Server) -> None:
        self._listener, self._server = listener, server

    @property
    def address(self) -> str:
        return f"http://{_HOST}:{self._listener.getsockname()[1]}/"

    def run(self) -> None:
        """Answer until Ctrl-C or SIGTERM."""
        with contextlib.suppress(KeyboardInterrupt):
            self._server.run(sockets=[self._listener])


@contextlib.contextmanager
def serving(report: FollowedReport, port: int) -> Iterator[ServedReport]:
    """The page of a report, on a port that is ours; 0 takes a free one. OccupiedError when it is somebody else's."""
    require_free(_HOST, port, what="The port of the page")
    with claim(_HOST, port) as listener:
        yield ServedReport(listener, create_server(create_report_app(report), _HOST, port))
