"""`evertrain settings`: every setting, with its value and where that comes from."""

import os

import msgspec
import typer

from evertrain.cli.flags import given_flags, takes_settings
from evertrain.cli.option import Json, Toml
from evertrain.config.settings import Setting, load, stated_settings

__all__ = ["app"]

app = typer.Typer()

_ORIGINS = {"default": "default", "file": "from the file", "environment": "from {}", "flag": "from {}"}


@app.command("settings")
@takes_settings
def settings(*, settings: Toml = None, as_json: Json = False, **flags: str | None) -> None:
    """Show every setting with its value and origin, as a command that is typed here would have it."""
    stated = load(given_flags(flags), environment=os.environ, file=settings)
    listed = stated_settings(stated)
    if as_json:
        typer.echo(msgspec.json.encode(listed).decode())
        return
    wide = max(len(one.name) for one in listed)
    far = max(len(one.value) for one in listed)
    for one in listed:
        typer.echo(f"{one.name:<{wide}}  {one.value:<{far}}  {_origin(one):<32}  {one.meaning}")


def _origin(one: Setting) -> str:
    source = {"environment": one.environment, "flag": one.flag}.get(one.origin, "")
    return _ORIGINS[one.origin].format(source)
