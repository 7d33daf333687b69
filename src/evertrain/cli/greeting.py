"""What `evertrain serve` and `evertrain up` say when a model answers, or why it does not."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import typer

from evertrain.errors import EvertrainError
from evertrain.process.supervision.errand import run_module
from evertrain.process.supervision.startup import Startup
from evertrain.store.process import PARENT

__all__ = ["Outcome", "greet", "lines_of"]

_FIRST_S = 86_400
"""How long the first model of a declaration is waited for; `evertrain status` tells of what takes longer."""


class Outcome(msgspec.Struct):
    """What became of a version, as `evertrain.process.supervision.greeting` prints it."""

    state: str
    ordinal: int = 0
    champion: int = 0
    why: str = ""
    example: dict[str, msgspec.Raw] = {}


def greet(startup: Startup, service: str, version: str | None, afterwards: str) -> None:
    """Wait for this version, or for the first of a service, and say how to ask it; to be run beside the supervisor.

    afterwards: what a person may want to do next.
    """
    words = ["--dir", str(startup.state.path), "--service", service]
    words += ["--seconds", str(_FIRST_S)] if version is None else ["--version", version]
    doing = (
        "its model is looked for, or trained" if version is None else "its file is checked, and loaded by the workers"
    )
    typer.echo(f"{service}: {doing}; this says when it answers.")
    while True:
        try:
            found = msgspec.json.decode(
                run_module("supervision.greeting", words, {PARENT: str(os.getpid())}), type=Outcome
            )
        except (EvertrainError, msgspec.DecodeError, OSError, subprocess.SubprocessError):
            return  # the installation is being stopped
        for line in lines_of(found, service, startup.address, startup.state.keys / "token-data", afterwards):
            typer.echo(line)
        if version is not None or found.state == "answers" or "--patient" in words:
            break
        typer.echo("Mend the declaration and `evertrain apply` it, or deliver what is missing; then this says more.")
        words += ["--patient"]
    sys.stdout.flush()


def lines_of(found: Outcome, service: str, address: str, token: Path, afterwards: str) -> list[str]:
    """What is said of an outcome, line by line."""
    if found.state == "another":
        because = f": it was refused: {found.why}" if found.why else "."
        return [
            f"Version {found.champion} of {service} answers at {address}/predict/{service}.",
            f"The file given is version {found.ordinal}, which does not{because}",
        ]
    if found.state == "refused":
        return [
            f"Version {found.ordinal} of {service} does not answer: {found.why}",
            "A better one may follow: `evertrain push FILE`, or a retraining. Ctrl-C ends this.",
        ]
    if found.state == "waits":
        return [f"The model of {service} does not answer yet. {found.why}".strip(), "`evertrain status` tells more."]
    body = msgspec.json.encode(found.example).decode()
    return [
        f"Version {found.ordinal} of {service} answers. Try it:",
        f"  curl -H 'Content-Type: application/json' -d {shlex.quote(body)} {address}/predict/{service}",
        f"What came of it, posted to {address}/labels/{service} (token: {token}),",
        "lets a successor be judged on it: `evertrain push FILE`.",
        *([afterwards] if afterwards else []),
    ]
