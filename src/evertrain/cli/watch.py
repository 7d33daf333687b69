"""`evertrain watch`: a table of somebody else's predictions and labels, looked at."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from evertrain.cli.up import Json
from evertrain.core.policy import MetricName
from evertrain.core.time import Instant, parse_instant, parse_span
from evertrain.errors import UserError
from evertrain.monitor.estimate import Estimate
from evertrain.monitor.report import Question, Report, Segment
from evertrain.monitor.shift import Shift
from evertrain.process.observations import Named
from evertrain.process.watching import FollowedReport, WatchedTable, serving
from evertrain.store.file import write_atomically
from evertrain.web.observation import NEXT_DOOR, document, say_metric, say_moved
from evertrain.web.wording import say_count, say_moment, say_number, say_percent

__all__ = ["app"]

app = typer.Typer()

_ROWS_SHOWN = 15
_WIDTH = 120


@app.command("watch")
def watch(
    table: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Predictions: CSV, Parquet, JSON lines.")],
    *,
    score: Annotated[str, typer.Option(help="The column of the prediction: a probability or a number.")],
    label: Annotated[str, typer.Option(help="The column of the outcome; empty where it is not known yet.")],
    time: Annotated[str, typer.Option(help="The column of the time of the prediction.")],
    key: Annotated[str | None, typer.Option(help="The column that names an example; its first row counts.")] = None,
    segments: Annotated[str, typer.Option(help="Columns whose values are looked at one by one: region,plan.")] = "",
    reference: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="What inputs are held against; default: the first half."),
    ] = None,
    horizon: Annotated[str | None, typer.Option(help="How long after its time a label is due, such as 30d.")] = None,
    now: Annotated[str | None, typer.Option(help="The time of the look; default: the newest in the table.")] = None,
    metric: Annotated[MetricName | None, typer.Option(help="What segments are compared by.")] = None,
    kind: Annotated[
        Literal["probability", "value"] | None, typer.Option(help="What the score is; default: told by the labels.")
    ] = None,
    positive: Annotated[str | None, typer.Option(help="The value of a label in words that counts as 1.")] = None,
    zone: Annotated[str | None, typer.Option(help="The zone of times that name none; default: UTC.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the report as an HTML file that needs no network.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Show the page on 127.0.0.1 until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="The port of the page; 0 takes a free one.")] = 0,
    as_json: Json = False,
) -> None:
    """Look at a table of somebody else's predictions: quality by segment and over time, and whether inputs moved."""
    if out is not None and not out.absolute().parent.is_dir():
        raise UserError(f"--out: there is no folder {out.absolute().parent}.", "Make it, or name a file elsewhere.")
    named = Named(
        score=score,
        label=label,
        time=time,
        key=key,
        segments=tuple(name.strip() for name in segments.split(",") if name.strip()),
        zone=zone,
        positive=positive,
        kind=kind,
    )
    question = Question(
        segments=named.segments,
        metric=metric,
        horizon=None if horizon is None else parse_span(horizon),
        now=None if now is None else _instant(now),
    )
    asked = WatchedTable(file=table, named=named, question=question, reference=reference)
    followed = FollowedReport(asked)
    report = followed()
    if out is not None:
        _write(out, document(report, alone=True))
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        _print(report, out)
    if serve:
        _serve(followed, port)


def _instant(text: str) -> Instant:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise UserError(f"--now: {error}.", "Write ISO 8601 with an offset, such as 2024-05-01T00:00:00Z.") from error


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
