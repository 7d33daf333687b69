"""`evertrain up`: start everything in the foreground."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from evertrain.config.settings import PREFIX, load
from evertrain.process.entry import ask_to_stop_at_signals, log_to_stderr
from evertrain.process.startup import Startup, look_at_declaration
from evertrain.store.access import token

__all__ = ["app", "run_in_foreground"]

app = typer.Typer()

Dir = Annotated[Path | None, typer.Option("--dir", help="The state directory.")]
Host = Annotated[str | None, typer.Option(help="The address that answers predictions.")]
Port = Annotated[int | None, typer.Option(help="The port that answers predictions; 0 takes a free one.")]
ControlPort = Annotated[int | None, typer.Option(help="The port of the control API and the page.")]
Workers = Annotated[int | None, typer.Option(help="Processes that answer predictions.")]
Toml = Annotated[Path | None, typer.Option("--settings", help="A TOML file of settings, instead of evertrain.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("up")
def up(
    declarations: Annotated[list[Path] | None, typer.Argument(help="Files that declare services.")] = None,
    *,
    folder: Dir = None,
    host: Host = None,
    port: Port = None,
    control_port: ControlPort = None,
    workers: Workers = None,
    data: Annotated[Path | None, typer.Option(help="Where the sources' files are; default: beside the file.")] = None,
    settings: Toml = None,
    as_json: Json = False,
) -> None:
    """Start the services and keep them running until Ctrl-C. Without a file: those that are on record."""
    files = declarations or []

    def look_first() -> None:
        for file in files:
            look_at_declaration(file, data)

    given = {"dir": folder, "host": host, "port": port, "control_port": control_port, "workers": workers}
    with begin(settings, given, look_first) as startup:
        for file in files:
            startup.declare(file, data)
        run_in_foreground(startup, as_json=as_json)


def begin(file: Path | None, flags: Mapping[str, object], look_first: Callable[[], None] = lambda: None) -> Startup:
    """Settings from flags, environment and file; then the installation and its ports, or a refusal."""
    given = {name: str(flag) for name, flag in flags.items() if flag is not None}
    settings = load(given, environment=os.environ, file=file).settings
    environment = {f"{PREFIX}{name.upper()}": value for name, value in given.items() if name != "dir"}
    return Startup.begin(settings, environment, look_first)


def run_in_foreground(startup: Startup, *, as_json: bool) -> None:
    """Run until SIGTERM, Ctrl-C or the end of the terminal; a second one does not wait for the drain."""
    log_to_stderr("supervisor")
    stopping, hurry = threading.Event(), threading.Event()

    def stop() -> None:
        (hurry if stopping.is_set() else stopping).set()

    ask_to_stop_at_signals(stop, signal.SIGHUP)
    startup.run(stopping, hurry, lambda: _tell(startup, as_json))


def _tell(startup: Startup, as_json: bool) -> None:
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
