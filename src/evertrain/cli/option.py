"""Options that several commands have; apart from `up`, so that no other command loads a supervisor for them."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ControlPort", "Dir", "Host", "Json", "Port", "Toml", "Workers"]

Dir = Annotated[Path | None, typer.Option("--dir", help="The state directory.")]
Host = Annotated[str | None, typer.Option(help="The address that answers predictions.")]
Port = Annotated[int | None, typer.Option(help="The port that answers predictions; 0 takes a free one.")]
ControlPort = Annotated[int | None, typer.Option(help="The port of the control API and the page.")]
Workers = Annotated[int | None, typer.Option(help="Processes that answer predictions.")]
Toml = Annotated[Path | None, typer.Option("--settings", help="A TOML file of settings, instead of evertrain.toml.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
