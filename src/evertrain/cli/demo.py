"""`evertrain demo`: the whole loop on real flights, with a page to look at."""

import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import evertrain
from evertrain.core.time import DAY, HOUR, Instant, say_instant
from evertrain.core.wording import say_many
from evertrain.errors import OccupiedError, UserError
from evertrain.store.access import token
from evertrain.store.ledger import Ledger
from evertrain.store.process import alive, heartbeats
from evertrain.store.state import State
from evertrain.story.demo import Demo, Ending, free_port, load_script
from evertrain.story.script import Script
from evertrain.story.teller import Told

__all__ = ["app"]

app = typer.Typer()

_PORT, _CONTROL_PORT = 8080, 8081
_WEEK = 7 * DAY


@app.command("demo")
def demo(
    *,
    folder: Annotated[Path, typer.Option("--dir", help="Where everything of the demonstration is kept.")] = Path(
        ".demo"
    ),
    days: Annotated[int | None, typer.Option(help="Live days of the story; default: to the end of 2013.")] = None,
    headless: Annotated[bool, typer.Option("--headless", help="End with the story; no page to wait at.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the figures to this file, as JSON.")] = None,
    port: Annotated[int, typer.Option(help="The port that answers predictions, if it is free.")] = _PORT,
    control_port: Annotated[int, typer.Option(help="The port of the page, if it is free.")] = _CONTROL_PORT,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Replay the flights that left New York in 2013 against a service that keeps its model fresh by itself.

    Exits with 1 when any promise of the story is broken.
    """
    console = Console(stderr=as_json)
    _require_writable(report)
    _make_room(folder)
    began = time.monotonic()
    script = load_script(_flights(), days, folder.absolute() / "story")
    ports = free_port([port]), free_port([control_port])
    # The tree is ended by this process, so whoever ends this one must let it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _progress(console) as bars:
        tell = _teller(bars, script)
        with Demo(folder, script, port=ports[0], control_port=ports[1], tell=tell) as running:
            page = f"http://127.0.0.1:{ports[1]}/?token={token('control', running.state.keys)}"
            console.print(f"Watch it live: {page}", soft_wrap=True)
            console.file.flush()
            ending = running.run()
            bars.stop()
            _print(console, ending, time.monotonic() - began)
            if report is not None:
                report.write_bytes(msgspec.json.format(msgspec.json.encode(ending.report), indent=2))
            if as_json:
                typer.echo(msgspec.json.encode(ending).decode())
            if not headless:
                console.print(f"\nThe page stays up until Ctrl-C: {page}", soft_wrap=True)
                running.linger()
    if not ending.kept:
        raise typer.Exit(1)


def _require_writable(report: Path | None) -> None:
    """Say before the story, not after it, that its figures cannot be written down."""
    if report is None:
        return
    try:
        report.touch()
    except OSError as error:
        raise UserError(f"--report {report} cannot be written: {error.strerror}.", "Name a file that can.") from error


def _make_room(folder: Path) -> None:
    """Remove an earlier demonstration, made by this very command and ended; refuse any other installation."""
    if not (folder / "state.json").is_file():
        return
    state = State.open(folder)
    with Ledger.open(state.ledger) as ledger:
        demonstration = all(event.actor == "story" for event in ledger.read(limit=1))
    if not demonstration:
        raise OccupiedError(f"{folder} is an installation of yours, no demonstration.", "Name another --dir.")
    if any(alive(found) for found in heartbeats(state)):
        raise OccupiedError(f"A demonstration runs in {folder}.", "End it with Ctrl-C, or name another --dir.")
    shutil.rmtree(folder)


def _flights() -> Path:
    """The flights example: beside the package when it is installed, else in the repository."""
    home = Path(evertrain.__file__).parent
    for folder in (home / "examples" / "flights", home.parents[1] / "examples" / "flights"):
        if folder.is_dir():
            return folder
    raise UserError("The flights example is not installed.", "Install evertrain from its wheel or its repository.")


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[says]}"), TimeRemainingColumn())
    return Progress(*columns, console=console, refresh_per_second=4, disable=not sys.stderr.isatty())


def _teller(bars: Progress, script: Script) -> Callable[[Instant, Told], None]:
    hours = (script.drained - script.begin) // HOUR
    task = bars.add_task("the year 2013", total=hours, says="history is read in, the first model is trained")

    def tell(now: Instant, told: Told) -> None:
        says = f"{say_instant(now)[:10]}  {told.requests:,} flights asked, {told.failed} failed, {told.labels:,} labels"
        bars.update(task, completed=(now - script.begin) // HOUR, says=says)
        if bars.disable and (now - script.begin) % _WEEK == 0:
            bars.console.print(says)
            bars.console.file.flush()

    return tell


def _print(console: Console, ending: Ending, total_s: float) -> None:
    report = ending.report
    console.print(
        f"\n{report.days:.0f} live days in {report.wall_s:.0f} s ({total_s:.0f} s with the start): "
        f"{report.requests:,} flights asked for, {report.failed} failed; {say_many(report.retrains, 'training')}, "
        f"{say_many(report.promotions, 'promotion')}, {report.refusals} refused, {report.rollbacks} rolled back."
    )
    console.print(
        f"AUC {report.champion_auc:.4f} (never retrained: {report.static_auc:.4f}), "
        f"log loss {report.champion_log_loss:.4f} ({report.static_log_loss:.4f})."
    )
    for promise in ending.promises:
        kept = "[green]kept  [/green]" if promise.kept else "[red]BROKEN[/red]"
        console.print(f"  {kept} {promise.says}{f' ({promise.figure})' if promise.figure else ''}", highlight=False)
