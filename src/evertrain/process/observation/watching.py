"""Watch only: a table of predictions and labels becomes a report; while it is served, a changed file is read anew."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import uvicorn

from evertrain.core.time import SECOND
from evertrain.data.arrival import Mark, Patience, mark_of
from evertrain.errors import EvertrainError
from evertrain.monitor.observed import look
from evertrain.monitor.report import Question, Report, check_metric
from evertrain.process.observation.observations import Named, read_reference, read_table
from evertrain.process.port import claim, require_free
from evertrain.web.application import create_server
from evertrain.web.observation import create_report_app
from evertrain.web.wording import say_moment

__all__ = ["FollowedReport", "ServedReport", "WatchedTable", "check_port", "report_of", "serving"]

_HOST = "127.0.0.1"
_PATIENCE = Patience()
Marks = tuple[Mark | None, ...]


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
    question = msgspec.structs.replace(
        table.question,
        labelled=table.named.label is not None,
        segments=tuple(dict.fromkeys((*table.question.segments, *seen.classes))),
    )
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
    """The report of a file that may be written anew: made again when the file has changed. Any thread may ask.

    A file that is being written is left alone until it stands still (`data.arrival`), and of one that cannot be read
    the last good report stays; both are told first of all. The first report is made at once, and its faults are
    raised.
    """

    def __init__(self, table: WatchedTable, tick: Callable[[], float] = time.monotonic) -> None:
        """tick: seconds that go on."""
        self._table, self._tick = table, tick
        self._lock = threading.Lock()
        self._read = self._seen = self._marks()
        self._since = tick()
        self._report, self._made = report_of(table), time.time()
        self._fault = ""

    def __call__(self) -> Report:
        """The report of the files as they are, or as they were, with a warning that says so."""
        with self._lock:
            marks = self._marks()
            if marks != self._read:
                self._renew(marks)
            if not self._fault:
                return self._report
            return msgspec.structs.replace(self._report, warnings=(self._fault, *self._report.warnings))

    def _renew(self, marks: Marks) -> None:
        """Read what has changed once it is complete. What could not be read is not tried again until it changes."""
        if marks != self._seen:
            self._seen, self._since = marks, self._tick()
        if not self._is_complete(marks):
            self._fault = self._say("is being written")
            return
        try:
            report, fault = report_of(self._table), ""
        except EvertrainError as error:
            report, fault = self._report, self._say(f"could not be read (is it being written?): {error}")
        if marks != self._marks():
            return  # it changed while it was read, and is looked at again
        self._report, self._fault, self._read = report, fault, marks
        if not fault:
            self._made = time.time()

    def _is_complete(self, marks: Marks) -> bool:
        quiet_s = self._tick() - self._since
        return all(
            mark is None or _PATIENCE.is_over(file, mark, quiet_s)
            for file, mark in zip(self._files(), marks, strict=True)
        )

    def _say(self, fault: str) -> str:
        now, then = (say_moment(int(at_s * SECOND)) for at_s in (time.time(), self._made))
        return f"At {now} UTC {self._table.file.name} {fault.rstrip('.')}. Shown is what it held at {then} UTC."

    def _files(self) -> list[Path]:
        return [self._table.file, *([] if self._table.reference is None else [self._table.reference])]

    def _marks(self) -> Marks:
        return tuple(map(mark_of, self._files()))


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


def check_port(port: int) -> None:
    """OccupiedError when it is somebody else's, told before anything is computed."""
    require_free(_HOST, port, what="The port of the page")


@contextlib.contextmanager
def serving(report: FollowedReport, port: int) -> Iterator[ServedReport]:
    """The page of a report, on a port that is ours; 0 takes a free one. OccupiedError when it is somebody else's."""
    check_port(port)
    with claim(_HOST, port) as listener:
        yield ServedReport(listener, create_server(create_report_app(report), _HOST, port))
