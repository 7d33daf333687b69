"""`evertrain apply`: put a changed declaration into force while everything runs."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from evertrain.cli.option import Dir, Json
from evertrain.cli.place import state_in
from evertrain.core.wording import say_many
from evertrain.process.declaration.applying import Applied, AppliedService
from evertrain.process.declaration.change import Change
from evertrain.process.supervision.errand import run_module

__all__ = ["app", "lines_of"]

app = typer.Typer()


@app.command("apply")
def apply(
    declaration: Annotated[Path, typer.Argument(help="The file that declares the services.")],
    *,
    folder: Dir = None,
    data: Annotated[Path | None, typer.Option(help="Where the sources' files are; default: beside the file.")] = None,
    as_json: Json = False,
) -> None:
    """Put a changed declaration into force without a failed request, and show what changes and from when it holds.

    The file is checked whole first: a broken one changes nothing. `evertrain plan FILE --dir DIR` only looks.
    """
    state = state_in(folder)
    words = ["--dir", str(state.path), *([] if data is None else ["--data", str(data)]), str(declaration)]
    said = run_module("declaration.applying", words)
    if as_json:
        typer.echo(said.strip())
        return
    typer.echo("\n".join(lines_of(msgspec.json.decode(said, type=Applied))))


def lines_of(applied: Applied) -> Iterator[str]:
    """What is said of what was applied, line by line."""
    for one in applied.services:
        yield from _service(one)
    for again in applied.again:
        aside = f"{say_many(again.rows, 'row')} and {say_many(again.files, 'file')}"
        yield f"{again.source}: {aside} were set aside by the old rules; they are read again by these, and what fits"
        yield "  comes in, once. `evertrain status` shows what remains."
    for name in applied.others:
        yield f"{name}: not in this file, goes on as it is"
    if any(one.new or one.changes for one in applied.services):
        yield {
            True: "In force: the controller has taken it up. No request was interrupted.",
            False: "On record; the controller has not looked yet. `evertrain status` shows when it does.",
            None: "On record; no controller runs. It is taken up at the next `evertrain up`.",
        }[applied.taken_up]
    for name in applied.trains:
        yield f"{name}: a training begins now: evertrain status --watch"


def _service(one: AppliedService) -> Iterator[str]:
    yield from _what_changes(one)
    yield from (f"  Look at: {words}" for words in one.cautions)


def _what_changes(one: AppliedService) -> Iterator[str]:
    if one.new:
        yield f"{one.service}: new; its first training begins when there are rows and labels enough"
        return
    yield f"{one.service}: {say_many(len(one.changes), 'change') if one.changes else 'nothing changes'}"
    for change in one.changes:
        yield f"  {change.part}: {_said(change)}"
    for holds in dict.fromkeys(change.holds for change in one.changes):
        parts = dict.fromkeys(_head(change, one.changes) for change in one.changes if change.holds == holds)
        yield f"  {', '.join(parts)}: {holds}"


def _head(change: Change, among: Iterable[Change]) -> str:
    """What a part is called: by its beginning, where all that begins so holds alike."""
    head = _beginning(change)
    alike = all(other.holds == change.holds for other in among if _beginning(other) == head)
    return head if alike else change.part


def _beginning(change: Change) -> str:
    return re.split(r"[. ]", change.part)[0]


def _said(change: Change) -> str:
    if not change.before:
        return f"added {change.after}"
    if not change.after:
        return f"removed, it was {change.before}"
    return f"{change.before} becomes {change.after}"
