"""`evertrain doctor`: what is wrong with an installation, and what to type about it."""

import os
from pathlib import Path

import msgspec
import typer

from evertrain.cli.option import Dir, Json, Toml
from evertrain.config.place import find_place
from evertrain.config.settings import Settings, load
from evertrain.errors import SettingsError
from evertrain.process.examination.examination import examine
from evertrain.process.examination.finding import Finding, fault

__all__ = ["app"]

app = typer.Typer()

_WORDS = {"good": "ok", "watch": "watch", "bad": "WRONG"}


@app.command("doctor")
def doctor(*, folder: Dir = None, settings: Toml = None, as_json: Json = False) -> None:
    """Look for what is wrong with an installation, up or down, and say the remedy. Exits with 1 when something is."""
    found: list[Finding] = []
    flags = {"dir": None if folder is None else str(folder)}
    try:
        stated = load(flags, environment=os.environ, file=settings).settings
    except SettingsError as error:
        why = "`evertrain up` is refused, and every command that needs more of them than where the state lies."
        found.append(fault("settings", error.what, why=why, remedy=error.remedy))
        stated = Settings(dir=str(_folder(folder)))
    found += examine(stated)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        for one in found:
            _show(one)
    if any(one.tone == "bad" for one in found):
        raise typer.Exit(1)


def _folder(named: Path | None) -> Path:
    """Where the state lies, as far as broken settings say it."""
    try:
        return find_place(named, os.environ).dir
    except SettingsError:
        return Path(Settings().dir)


def _show(one: Finding) -> None:
    typer.echo(f"{_WORDS[one.tone]:<6}{one.look:<19}{one.what}")
    if one.why:
        typer.echo(f"{'':<25}{one.why}")
    if one.remedy:
        typer.echo(f"{'':<25}To do: {one.remedy}")
