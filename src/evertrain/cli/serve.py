"""`evertrain serve`: a model file behind a safe door, with nothing declared."""

import enum
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from evertrain.cli.up import ControlPort, Dir, Host, Json, Port, Toml, Workers, begin, run_in_foreground
from evertrain.errors import EvertrainError, UserError
from evertrain.process.startup import Startup, look_at_file, run_module

__all__ = ["app"]

app = typer.Typer()


class Kind(enum.StrEnum):
    """What a score is."""

    probability = "probability"
    value = "value"


@app.command("serve")
def serve(
    model: Annotated[
        Path,
        typer.Argument(
            exists=True,
            help="A LightGBM, XGBoost, ONNX, skops or Python model file, a folder of MLflow's, a trusted pickle.",
        ),
    ],
    *,
    sample: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A CSV or Parquet file of example rows: columns and types."),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="JSON: the columns of a request.")
    ] = None,
    output: Annotated[
        Kind | None, typer.Option(help="What a score is; default: what the model says, else probability.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Names of its classes, in its own order: a,b,c; default: as the file has them.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="Its name; default: the file's.")] = None,
    folder: Dir = None,
    host: Host = None,
    port: Port = None,
    control_port: ControlPort = None,
    workers: Workers = None,
    settings: Toml = None,
    as_json: Json = False,
) -> None:
    """Serve a model file: checked in a process of its own first, with a prediction log, canaries and instant revert.

    The columns of a request are those that the model names; a sample says their types, or a schema all of it.
    """
    if sample is not None and schema is not None:
        raise UserError("Both --sample and --schema say which columns there are.", "Give one of them.")
    if output is not None and classes is not None:
        raise UserError("Both --output and --classes say what the model gives.", "Give one of them.")
    name = service or _name_of(model)
    words = ["--service", name, str(model)]
    for option, value in (("--schema", schema), ("--sample", sample), ("--output", output), ("--classes", classes)):
        words += [] if value is None else [option, str(value)]
    given = {
        "dir": folder or Path(".evertrain").absolute(),
        "host": host,
        "port": port,
        "control_port": control_port,
        "workers": workers,
    }
    with begin(settings, given, lambda: look_at_file(words)) as startup:
        version = startup.take_in(words)
        run_in_foreground(startup, as_json=as_json, then=_greeting(startup, name, version, as_json))


def _name_of(model: Path) -> str:
    """A service's name from a file's: what may stand in a path of a URL.

    >>> _name_of(Path("My model (v2).ubj"))
    'my-model-v2'
    """
    return re.sub(r"[^a-z0-9_]+", "-", model.stem.lower()).strip("-") or "model"


class _Outcome(msgspec.Struct):
    state: str
    ordinal: int = 0
    why: str = ""
    example: dict[str, msgspec.Raw] = {}


def _greeting(startup: Startup, service: str, version: str, as_json: bool) -> Callable[[], None]:
    """What is said when the model answers, or when it was refused; machines ask for the status instead."""

    def greet() -> None:
        words = ["--dir", str(startup.state.path), "--service", service, "--version", version]
        try:
            found = msgspec.json.decode(run_module("greeting", words), type=_Outcome)
        except (EvertrainError, msgspec.DecodeError, OSError, subprocess.SubprocessError):
            return  # the installation is being stopped
        for line in _lines(found, service, startup.address, startup.state.keys / "token-data"):
            typer.echo(line)
        sys.stdout.flush()

    return (lambda: None) if as_json else greet


def _lines(found: _Outcome, service: str, address: str, token: Path) -> list[str]:
    if found.state == "refused":
        return [
            f"Version {found.ordinal} of {service} does not answer: {found.why}",
            "Mend the model and bring it in with `evertrain push FILE`; or end this with Ctrl-C.",
        ]
    if found.state == "waits":
        return [f"The model of {service} does not answer yet. {found.why}".strip(), "`evertrain status` tells more."]
    body = msgspec.json.encode(found.example).decode()
    return [
        f"Version {found.ordinal} of {service} answers. Try it:",
        f"  curl -H 'Content-Type: application/json' -d '{body}' {address}/predict/{service}",
        f"What came of it, posted to {address}/labels/{service} (token: {token}),",
        "lets a successor be judged on it: `evertrain push FILE`.",
        "Next door: retraining from a table, by `evertrain init NAME --data FILE.csv --key ... --at ... --label ...`.",
    ]
