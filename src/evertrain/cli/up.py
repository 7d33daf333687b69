"""`evertrain up`: start everything in the foreground."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from evertrain.cli.flags import given_flags, takes_settings, words_of
from evertrain.cli.greeting import greet
from evertrain.cli.option import Json, Toml
from evertrain.cli.progress import ProgressLine
from evertrain.config.settings import load, stated_settings
from evertrain.errors import UsageError
from evertrain.process.entry import ask_to_stop_at_signals, log_to_stderr
from evertrain.process.supervision.errand import Submission
from evertrain.process.supervision.startup import Startup, declaration
from evertrain.store.access import token

__all__ = ["BEYOND_ONE_TABLE", "app", "run_in_foreground"]

app = typer.Typer()

BEYOND_ONE_TABLE = (
    "Beyond one table: several sources, windows over the past and a label with a clock of its own stand in "
    "`evertrain demo`."
)


@app.command("up")
@takes_settings
def up(
    declarations: Annotated[list[Path] | None, typer.Argument(help="Files that declare services.")] = None,
    *,
    data: Annotated[Path | None, typer.Option(help="Where the sources' files are; default: beside the file.")] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Apply the file whenever it changes: for development.")
    ] = False,
    settings: Toml = None,
    as_json: Json = False,
    **flags: str | None,
) -> None:
    """Start the services and keep them running until Ctrl-C. Without a file: those that are on record."""
    files = declarations or []
    if reload and not files:
        raise UsageError("There is nothing to reload.", "Name the file: evertrain up service.py --reload")
    followers: list[subprocess.Popen[bytes]] = []

    submissions = [declaration(file, data) for file in files]
    with ProgressLine() as line, begin(settings, flags, submissions) as startup:
        declared = {
            service: file
            for file, submission in zip(files, submissions, strict=True)
            for service in submission.answer.splitlines()
        }

        def when_it_is_up() -> None:
            followers.extend(startup.follow(file, data) for file in files if reload)
            for service, file in declared.items() if not as_json else ():
                is_table = b".from_table(" in file.read_bytes()
                said = (startup, service, None, BEYOND_ONE_TABLE if is_table else "", line)
                threading.Thread(target=greet, args=said, name=f"greet {service}", daemon=True).start()

        try:
            run_in_foreground(startup, as_json=as_json, then=when_it_is_up)
        finally:
            for follower in followers:
                follower.terminate()


def begin(file: Path | None, flags: Mapping[str, object], submissions: Sequence[Submission] = ()) -> Startup:
    """Settings from flags, environment and file; then the installation, its ports and its record, or a refusal."""
    stated = load(given_flags(flags), environment=os.environ, file=file)
    # All of them: the tree's processes have the same settings as this one, whatever file was named here.
    told = {one.environment: one.value for one in stated_settings(stated) if one.name != "dir"}
    return Startup.begin(stated.settings, told, submissions, words_of(stated, file))


def run_in_foreground(startup: Startup, *, as_json: bool, then: Callable[[], None] = lambda: None) -> None:
    """Run until SIGTERM, Ctrl-C or the end of the terminal; a second one does not wait for the drain.

    then: is called beside it, in a thread of its own, when the addresses are told.
    """
    log_to_stderr("supervisor")
    if startup.lack:
        logging.getLogger("supervisor").error("%s", startup.lack)
    stopping, hurry = threading.Event(), threading.Event()

    def stop() -> None:
        (hurry if stopping.is_set() else stopping).set()

    ask_to_stop_at_signals(stop, signal.SIGHUP)

    def ready() -> None:
        _tell(startup, as_json)
        threading.Thread(target=then, name="then", daemon=True).start()

    startup.run(stopping, hurry, ready)


def _tell(startup: Startup, as_json: bool) -> None:
    if startup.moved:
        typer.secho(startup.moved, bold=True, err=True)
    settings = startup.settings
    page = f"http://{settings.control_host}:{settings.control_port}/"
    if as_json:
        told = {"predictions": startup.address, "page": page, "dir": str(startup.state.path)}
        typer.echo(msgspec.json.encode(told).decode())
        return
    typer.echo(f"Predictions  {startup.address}")
    if startup.is_new or sys.stdout.isatty():
        typer.echo(f"Page         {page}?token={token('control', startup.state.keys)}")
    else:
        typer.echo(f"Page         {page}   (token: {startup.state.keys / 'token-control'})")
