"""What `evertrain watch` says of a table: on the terminal, as JSON, as a file and as a page."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from evertrain.errors import UserError
from evertrain.monitor.estimate import Estimate
from evertrain.monitor.report import Report, Segment
from evertrain.monitor.shift import Shift
from evertrain.process.watching import FollowedReport, WatchedTable, serving
from evertrain.store.file import write_atomically
from evertrain.web.observation import document, say_metric, say_moved
from evertrain.web.wording import NEXT_DOOR, say_count, say_moment, say_number, say_percent

__all__ = ["tell"]

_ROWS_SHOWN = 15
_WIDTH = 120


def tell(asked: WatchedTable, out: Path | None, *, serving_port: int | None, as_json: bool) -> None:
    """Look, and say what was found; serving_port: of the page, None for none."""
    if out is not None and not out.absolute().parent.is_dir():
        raise UserError(f"--out: there is no folder {out.absolute().parent}.", "Make it, or name a file elsewhere.")
    followed = FollowedReport(asked)
    report = followed()
    if out is not None:
        _write(out, document(report, alone=True))
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        _print(report, out)
    if serving_port is not None:
        _serve(followed, serving_port)


def _write(out: Path, report: str) -> None:
    try:
        write_atomically(out, report.encode())
    except OSError as error:
        raise UserError(f"--out: {out} cannot be written: {error.strerror}.", "Name another file.") from error


def _serve(followed: FollowedReport, port: int) -> None:
    with serving(followed, port) as served:
        typer.echo(f"Page    {served.address}   (Ctrl-C ends it; a changed file is read anew)")
        sys.stdout.flush()
        served.run()


# Telling --------------------------------------------------------------------------------------------------------------


def _print(report: Report, out: Path | None) -> None:
    # In a pipe a line is as long as its reader wants it.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    console.print(f"{report.name}: {say_moment(report.first)} to {say_moment(report.last)} UTC", style="bold")
    for line in _summary(report):
        console.print(line, soft_wrap=True, markup=False)
    for made in (_segments(report), _periods(report), _inputs(report)):
        if made is not None:
            console.print()
            console.print(made)
    if report.notices:
        console.print()
    for notice in report.notices:
        console.print(f"Note: {notice}", soft_wrap=True, markup=False)
    console.print()
    if out is not None:
        console.print(f"Report  {out}", soft_wrap=True, markup=False)
    console.print(" ".join(NEXT_DOOR), soft_wrap=True, markup=False)


def _summary(report: Report) -> Iterator[str]:
    waiting = "" if report.horizon is None else f", {say_count(report.waiting)} are not due yet"
    yield (
        f"{say_count(report.labelled)} of {say_count(report.rows)} rows have a label, {say_count(report.missing)} are "
        f"missing it{waiting}."
    )
    figures = (f"{say_metric(name)} {_figure(one)}" for name, one in report.figures.items())
    yield "; ".join(figures)
    if report.base is not None:
        yield f"mean label {say_number(report.base)}; mean score minus mean label {_figure(report.bias)}"
    yield f"Intervals of {1 - report.alpha:.0%}: {report.dependence}."
    if report.segments:
        yield report.worst
    if report.inputs is not None:
        yield say_moved(report.inputs)


def _figure(one: Estimate) -> str:
    bounds = "" if one.low is None else f" ({say_number(one.low)} to {say_number(one.high)})"
    return f"{say_number(one.value)}{bounds}"


def _segments(report: Report) -> Table | None:
    if not report.segments:
        return None
    title = f"Segments, the worst first (Holm over {report.tested})"
    table = _table(title, "segment", "is", "labels>", "missing>", f"{say_metric(report.metric)}>", "worse by>", "p>")
    for one in report.segments[:_ROWS_SHOWN]:
        table.add_row(
            f"{one.column} = {one.value}",
            _outcome(one),
            say_count(one.figure.labels),
            say_count(one.missing),
            _figure(one.figure),
            say_number(one.worse),
            _p(one.p_value),
        )
    return _cut(table, len(report.segments))


def _outcome(one: Segment) -> str:
    if one.outcome == "insufficient":
        return f"insufficient: {one.words}"
    return "worse" if one.outcome == "worse" else "not shown worse"


def _periods(report: Report) -> Table:
    table = _table(
        "Over time, the newest first", "from", "rows>", "labelled>", "missing>", "not due yet>",
        f"{say_metric(report.metric)}>",
    )  # fmt: skip
    for one in report.periods[: -_ROWS_SHOWN - 1 : -1]:
        table.add_row(
            say_moment(one.start),
            say_count(one.rows),
            say_count(one.figure.labels),
            say_count(one.missing),
            say_count(one.waiting),
            _figure(one.figure),
        )
    return _cut(table, len(report.periods))


def _inputs(report: Report) -> Table | None:
    if report.inputs is None:
        return None
    table = _table(
        f"Inputs against {report.inputs.reference}", "column", "is", "distance>", "p>", "missing then, now>",
        "new categories",
    )  # fmt: skip
    for one in report.inputs.columns[:_ROWS_SHOWN]:
        table.add_row(
            one.column,
            _moved(one),
            say_number(one.psi, 3),
            _p(one.p_value),
            f"{say_percent(one.missing[0])}, {say_percent(one.missing[1])}",
            f"{say_percent(one.fresh)}: {', '.join(one.fresh_names)}" if one.fresh else "",
        )
    table.caption = report.inputs.method
    return _cut(table, len(report.inputs.columns))


def _moved(one: Shift) -> str:
    says = {"moved": "moved", "not shown": "not shown moved", "not compared": "not compared"}[one.outcome]
    return f"{says}: {one.words}" if one.outcome == "not compared" else f"{says} {one.words}".strip()


def _p(p_value: float | None) -> str:
    return "–" if p_value is None else "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _table(title: str, *names: str) -> Table:
    """A table; the columns whose names end in > hold numbers."""
    table = Table(title=title, title_justify="left", caption_justify="left", box=None, pad_edge=False, show_edge=False)
    for name in names:
        table.add_column(name.removesuffix(">"), justify="right" if name.endswith(">") else "left")
    return table


def _cut(table: Table, rows: int) -> Table:
    if rows > _ROWS_SHOWN:
        more = f"... and {rows - _ROWS_SHOWN} more: --out, --serve and --json show all."
        table.caption = f"{more} {table.caption or ''}".strip()
    return table
