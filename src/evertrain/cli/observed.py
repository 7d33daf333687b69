"""What `evertrain watch` says of a table: on the terminal, as JSON, as a file and as a page."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Column, Table

from evertrain.core.wording import say_many
from evertrain.errors import UserError
from evertrain.monitor.change import Change
from evertrain.monitor.estimate import Estimate
from evertrain.monitor.report import Report, Segment, to_json
from evertrain.monitor.shift import Shift
from evertrain.process.observation.watching import FollowedReport, WatchedTable, check_port, serving
from evertrain.store.file import write_atomically
from evertrain.web.observation import document, say_metric, say_moved
from evertrain.web.wording import NEXT_DOOR, say_count, say_moment, say_number, say_percent

__all__ = ["print_report", "tell"]

_ROWS_SHOWN = 15
_WIDTH = 120
_LEAST_TEXT = 24
"""So many characters a column of text keeps before numbers beside it go."""
_SPARE = ("mean label", "skill before, now", "skill", "not due yet", "distance", "missing", "p")
"""Columns of numbers that a narrow terminal does without, the first one first; then the others, from the right."""


def tell(asked: WatchedTable, out: Path | None, *, serving_port: int | None, as_json: bool) -> None:
    """Look, and say what was found; serving_port: of the page, None for none."""
    if out is not None and not out.absolute().parent.is_dir():
        raise UserError(f"--out: there is no folder {out.absolute().parent}.", "Make it, or name a file elsewhere.")
    if out is not None and out.is_dir():
        raise UserError(f"--out: {out} is a folder.", f"Name a file, such as --out {out / 'report.html'}.")
    if serving_port is not None:
        check_port(serving_port)
    followed = FollowedReport(asked)
    report = followed()
    if out is not None:
        _write(out, document(report, alone=True))
    if as_json:
        typer.echo(to_json(report).decode())
    else:
        # In a pipe a line is as long as its reader wants it.
        print_report(report, out, Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH))
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


def print_report(report: Report, out: Path | None, console: Console) -> None:
    """Print what was found. out: where it was written. Of a narrow console the tables lose numbers, never names."""
    console.print(f"{report.name}: {say_moment(report.first)} to {say_moment(report.last)} UTC", style="bold")
    for line in _summary(report):
        console.print(line, soft_wrap=True, markup=False)
    for made in (_changes(report), _segments(report), _periods(report), _inputs(report)):
        if made is not None:
            console.print()
            console.print(_fitted(made, console.width))
    if report.notices:
        console.print()
    for notice in report.notices:
        console.print(f"Note: {notice}", soft_wrap=True, markup=False)
    if out is not None:
        console.print()
        console.print(f"Report  {out}", soft_wrap=True, markup=False)
    if console.is_terminal:  # a timer that runs this every day need not be told every day
        console.print()
        console.print(" ".join(NEXT_DOOR), soft_wrap=True, markup=False)


def _summary(report: Report) -> Iterator[str]:
    yield from (f"MIND: {warning}" for warning in report.warnings)
    if report.headline:
        yield report.headline
    if report.changed:
        yield report.changed
    if report.segments:
        yield report.worst
    if report.inputs is not None:
        yield say_moved(report.inputs)
    if not report.has_labels:
        yield f"{say_many(report.rows, 'row')}; no label was named: scores and inputs alone."
        return
    waiting = "" if report.horizon is None else f", {say_count(report.waiting)} not due yet"
    yield (
        f"Labels: {say_count(report.labelled)} of {say_many(report.rows, 'row')}, {say_count(report.missing)} missing"
        f"{waiting}."
    )
    figures = (f"{say_metric(name)} {_figure(one)}" for name, one in report.figures.items())
    yield "; ".join(figures)
    if report.base is not None and report.kind != "classes":
        yield f"mean label {say_number(report.base)}; mean score minus mean label {_figure(report.bias)}"
    yield f"Intervals of {1 - report.alpha:.0%}: {report.dependence}."
    yield report.guarantee


def _figure(one: Estimate) -> str:
    bounds = "" if one.low is None else f" ({say_number(one.low)} to {say_number(one.high)})"
    return f"{say_number(one.value)}{bounds}"


def _mean_name(report: Report) -> str:
    """What the mean of the labels is."""
    return "hits" if report.kind == "classes" else "mean label"


def _changes(report: Report) -> Table | None:
    if not report.changes:
        return None
    title = (
        f"Before and now ({say_metric(report.compared)}; now: {say_moment(report.since)} to {say_moment(report.until)})"
    )
    table = _table(
        title, "rows", "is", "before>", "now>", "p>", "since about", "skill before, now>", f"{_mean_name(report)}>"
    )
    for one in report.changes[:_ROWS_SHOWN]:
        table.add_row(
            one.name,
            _outcome(one),
            say_number(one.figure[0]),
            say_number(one.figure[1]),
            _p(one.p_value),
            "" if one.since is None else say_moment(one.since).partition(",")[0],
            f"{say_number(one.skill[0], 3)}, {say_number(one.skill[1], 3)}",
            f"{say_number(one.base[0], 3)}, {say_number(one.base[1], 3)}",
        )
    return _cut(table, len(report.changes))


def _segments(report: Report) -> Table | None:
    if not report.segments:
        return None
    parts = report.segments[0].avoidable is not None
    table = _table(
        f"Segments, the worst first (Holm over {report.tested})", "segment", "is", "labels>", "missing>",
        f"{_mean_name(report)}>",
        f"{say_metric(report.metric)}>", "skill>", "avoidable>" if parts else "worse by>", "p>",
    )  # fmt: skip
    for one in report.segments[:_ROWS_SHOWN]:
        table.add_row(
            f"{one.column} = {one.value}",
            _outcome(one),
            say_count(one.figure.labels),
            say_count(one.missing),
            say_number(one.base, 3),
            _figure(one.figure),
            say_number(one.skill, 3),
            say_number(one.avoidable if parts else one.worse),
            _p(one.p_value),
        )
    if parts:
        table.caption = (
            "avoidable: what calibration for the segment alone would take off; 0 where probabilities hold, be the "
            "outcome rare or common"
        )
    elif report.kind == "probability":
        table.caption = (
            f"compared by the {say_metric(report.metric)} itself, which also differs where the outcome is rarer; by "
            f"log_loss and brier segments are compared fairly"
        )
    return _cut(table, len(report.segments))


def _outcome(one: Change | Segment) -> str:
    says = {"open": "not shown worse"}.get(one.outcome, one.outcome)
    return f"{says}: {one.words}" if one.words else says


def _periods(report: Report) -> Table | None:
    if not report.has_labels:
        return None
    table = _table(
        "Over time, the newest first", "from", "rows>", "labelled>", "missing>", "not due yet>",
        f"{_mean_name(report)}>",
        f"{say_metric(report.metric)}>", "",
    )  # fmt: skip
    for one in report.periods[: -_ROWS_SHOWN - 1 : -1]:
        table.add_row(
            say_moment(one.start),
            say_count(one.rows),
            say_count(one.figure.labels),
            say_count(one.missing),
            say_count(one.waiting),
            say_number(one.base, 3),
            _figure(one.figure),
            one.words,
        )
    return _cut(table, len(report.periods))


def _inputs(report: Report) -> Table | None:
    if report.inputs is None:
        return None
    title = f"Inputs from {say_moment(report.inputs.start)} on against {report.inputs.reference}"
    table = _table(
        title, "column", "is", "distance>", "p>", "since about", "missing then, now>", "new categories"
    )  # fmt: skip
    for one in report.inputs.columns[:_ROWS_SHOWN]:
        table.add_row(
            one.column,
            _moved(one),
            say_number(one.psi, 3),
            _p(one.p_value),
            _since(one, report),
            f"{say_percent(one.missing[0])}, {say_percent(one.missing[1])}",
            f"{say_percent(one.fresh)}: {', '.join(one.fresh_names)}" if one.fresh else "",
        )
    table.caption = report.inputs.method
    return _cut(table, len(report.inputs.columns))


def _since(one: Shift, report: Report) -> str:
    if one.since is None:
        return ""
    return "the start" if one.since <= report.first else say_moment(one.since).partition(",")[0]


def _moved(one: Shift) -> str:
    says = {"not shown": "not shown moved"}.get(one.outcome, one.outcome)
    return f"{says}: {one.words}" if one.outcome != "moved" and one.words else f"{says} {one.words}".strip()


def _p(p_value: float | None) -> str:
    return "–" if p_value is None else "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _table(title: str, *names: str) -> Table:
    """A table; the columns whose names end in > hold numbers."""
    table = Table(title=title, title_justify="left", caption_justify="left", box=None, pad_edge=False, show_edge=False)
    for name in names:
        is_number = name.endswith(">")
        table.add_column(name.removesuffix(">"), justify="right" if is_number else "left", no_wrap=is_number)
    return table


def _fitted(table: Table, width: int) -> Table:
    """The table without the numbers that have no room beside names and verdicts; the caption says which."""
    kept = list(table.columns)
    while sum(map(_needs, kept)) + 2 * (len(kept) - 1) > width and (spare := _spare(kept)) is not None:
        kept.remove(spare)
    fitted = _table(str(table.title))
    for column in kept:
        least = None if column.no_wrap else _needs(column)
        fitted.add_column(column.header, justify=column.justify, no_wrap=column.no_wrap, min_width=least)
    for row in zip(*(column.cells for column in kept), strict=True):
        fitted.add_row(*row)
    gone = "; ".join(str(column.header) for column in table.columns if column not in kept)
    said = f"No room for: {gone}. A wider terminal, --out and --json have it." if gone else ""
    fitted.caption = " ".join(filter(None, (said, str(table.caption or ""))))
    return fitted


def _spare(columns: Sequence[Column]) -> Column | None:
    """The column of numbers that goes next."""
    numbers = [column for column in reversed(columns) if column.no_wrap]
    return min(numbers, key=lambda one: _SPARE.index(one.header) if one.header in _SPARE else len(_SPARE), default=None)


def _needs(column: Column) -> int:
    """The width of a column: of numbers all of it, of text as much as can be read."""
    widest = max(len(str(cell)) for cell in (column.header, *column.cells))
    return widest if column.no_wrap else min(widest, _LEAST_TEXT)


def _cut(table: Table, rows: int) -> Table:
    if rows > _ROWS_SHOWN:
        more = f"... and {rows - _ROWS_SHOWN} more: --out, --serve and --json show all."
        table.caption = f"{more} {table.caption or ''}".strip()
    return table
