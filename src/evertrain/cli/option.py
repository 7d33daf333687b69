"""Options that several commands have; apart from `up`, so that no other command loads a supervisor for them."""

import difflib
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ControlPort", "Dir", "Host", "Json", "Port", "Toml", "Workers", "is_there"]

Dir = Annotated[Path | None, typer.Option("--dir", help="The state directory.")]
Host = Annotated[str | None, typer.Option(help="The address that answers predictions.")]
Port = Annotated[int | None, typer.Option(help="The port that answers predictions; 0 takes a free one.")]
ControlPort = Annotated[int | None, typer.Option(help="The port of the control API and the page.")]
Workers = Annotated[int | None, typer.Option(help="Processes that answer predictions.")]
Toml = Annotated[Path | None, typer.Option("--settings", help="A TOML file of settings, instead of evertrain.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def is_there(path: Path) -> Path:
    """A file or folder that was named, as the callback of its argument; of one that is not there, what is like it."""
    if path.exists():
        return path
    beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    like = difflib.get_close_matches(path.name, beside, 1)
    hint = f" Did you mean {path.parent / like[0]}?" if like else ""
    raise typer.BadParameter(f"{path} does not exist.{hint}")
