"""`evertrain explain CODE`: what a code of an error stands for, and what to do about it."""

import inspect
from typing import Annotated

import msgspec
import typer

from evertrain.cli.option import Json
from evertrain.config.wording import suggestion
from evertrain.errors import EvertrainError, NotFoundError, codes

__all__ = ["app", "explanation", "summary"]

app = typer.Typer()


@app.command("explain")
def explain(
    code: Annotated[str | None, typer.Argument(help="A code such as ET-D01; without one all are listed.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Say what a code of an error stands for: what happened, why evertrain does so, and what to do."""
    known = codes()
    if code is None:
        listed = {one: summary(kind) for one, kind in known.items()}
        said = msgspec.json.encode(listed).decode() if as_json else "\n".join(map("  ".join, listed.items()))
        typer.echo(said)
        return
    asked = code.strip().upper()
    if asked not in known:
        raise NotFoundError(f"There is no code {code!r}.", suggestion(asked, known))
    kind = known[asked]
    if as_json:
        told = {"code": asked, "error": kind.__name__, "retry": kind.retry, "says": explanation(kind)}
        typer.echo(msgspec.json.encode(told).decode())
        return
    typer.echo(f"{asked} ({kind.__name__})\n\n{explanation(kind)}")


def explanation(kind: type[EvertrainError]) -> str:
    """What stands in the docstring of the class: what, why, and what to do."""
    return inspect.getdoc(kind) or ""


def summary(kind: type[EvertrainError]) -> str:
    """The first sentence of the explanation."""
    return explanation(kind).partition("\n\n")[0].replace("\n", " ")
