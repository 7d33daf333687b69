"""`evertrain serve`: a model file behind a safe door, with nothing declared."""

from pathlib import Path
from typing import Annotated

import typer

from evertrain.cli.up import ControlPort, Dir, Host, Json, Port, Toml, Workers, begin, run_in_foreground

__all__ = ["app"]

app = typer.Typer()


@app.command("serve")
def serve(
    model: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A LightGBM, skops or Python model file.")],
    schema: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="JSON: the columns of a request.")],
    *,
    service: Annotated[str | None, typer.Option(help="Its name; default: the file's.")] = None,
    folder: Dir = None,
    host: Host = None,
    port: Port = None,
    control_port: ControlPort = None,
    workers: Workers = None,
    settings: Toml = None,
    as_json: Json = False,
) -> None:
    """Serve a model file: checked in a process of its own first, with a prediction log, canaries and instant revert."""
    state = folder or model.absolute().parent / ".evertrain"
    given = {"dir": state, "host": host, "port": port, "control_port": control_port, "workers": workers}
    with begin(settings, given) as startup:
        startup.take_in(model, schema, service or model.stem)
        run_in_foreground(startup, as_json=as_json)
