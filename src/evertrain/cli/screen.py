"""Shows a screen of lines: in colour on a terminal, plain in a pipe, once or again and again."""

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

__all__ = ["frames", "show", "show_live"]

_EVERY_S = 1.0
_BAD = (
    r"\b(NOBODY ANSWERS|NOBODY IS SEEN|STANDS STILL|NOT TAKEN|NOT READABLE|TURNED OFF|WANTED|STALE|TROUBLE|"
    r"REFUSED|URGENT|critical|has ended)\b"
)
_WATCH = r"\b(STARTING|on trial|held until|set aside|warning)\b"
_GOOD = r"\b(answers since|answers)\b"


def show(lines: Sequence[str]) -> None:
    """Once; colours only where a person looks."""
    if not sys.stdout.isatty():
        typer.echo("\n".join(lines))
        return
    Console().print(_painted(lines), soft_wrap=True)


def _painted(lines: Sequence[str]) -> Group:
    return Group(*map(_paint, lines))


def _paint(line: str) -> Text:
    text = Text(line)
    if line and not line.startswith(" "):
        text.stylize("bold")
    text.highlight_regex(_GOOD, "green")
    text.highlight_regex(_WATCH, "yellow")
    text.highlight_regex(_BAD, "bold red")
    return text


def frames(look: Callable[[], Sequence[str]], pause: Callable[[], None]) -> Iterator[list[str]]:
    """The screen again and again, each time that it differs from the one before."""
    last: list[str] | None = None
    for number in itertools.count():
        if number:
            pause()
        lines = list(look())
        if lines != last:
            yield lines
        last = lines


def show_live(look: Callable[[], Sequence[str]]) -> None:
    """Until Ctrl-C. On a terminal in place; in a pipe one screen after the other, an empty line between two."""
    every = frames(look, lambda: time.sleep(_EVERY_S))
    if not sys.stdout.isatty():
        for number, lines in enumerate(every):
            typer.echo("\n".join(["", *lines] if number else lines))
            sys.stdout.flush()
        return
    with Live(auto_refresh=False, screen=True, vertical_overflow="crop") as live:
        for lines in every:
            live.update(_painted(lines), refresh=True)
