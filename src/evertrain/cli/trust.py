"""`evertrain trust`: what a pickle would do when it is loaded, and a person's signature under exactly these bytes."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from evertrain.cli.option import Dir, Json, is_there
from evertrain.core.event import Draft, ModelVouched
from evertrain.core.identity import digest_of_bytes
from evertrain.core.model import Vouched
from evertrain.errors import UserError
from evertrain.process.steering.importing import look_into_folder
from evertrain.runtime.pickle_file import Contents, look_into
from evertrain.store.artifact import Artifacts
from evertrain.store.clock import business_clock
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger
from evertrain.store.signature import Signer
from evertrain.store.state import State

__all__ = ["app"]

app = typer.Typer()

_SHOWN = 12


@app.command("trust")
def trust(
    file: Annotated[Path, typer.Argument(callback=is_there, help="A pickle, a joblib file, or a folder of MLflow's.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Name everything that it imports.")] = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Let a pickle in: says what is in it and signs it, so that `serve` and `push` take exactly these bytes."""
    found = look_into_folder(file)
    if found.kind != "pickle":
        raise UserError(f"{file} is a {found.kind} model, which needs no trust.", f"`evertrain serve {file}`.")
    content = found.path.read_bytes()
    digest = digest_of_bytes(content)
    contents = look_into(content)
    if not as_json:
        for line in _told(found.path, digest, contents, None if every else _SHOWN):
            typer.echo(line)
    if not yes:
        _ask(found.path, file, contents)
    path = folder or Path(".evertrain").absolute()
    at = business_clock(path / "serving" / "clock").now()
    _sign(path, Vouched(model=digest, at=at, role="operator"), contents)
    if as_json:
        told = {"file": str(found.path), "digest": digest, "imports": _by_danger(contents), "whole": contents.whole}
        told |= {"dangerous": contents.dangerous, "strange": contents.strange}
        typer.echo(msgspec.json.encode(told).decode())
    else:
        typer.echo(
            f"Signed. `evertrain serve {file}`, or `evertrain push {file}` where a service runs, takes it now; "
            "a file that differs in one bit is refused."
        )


def _ask(pickle: Path, file: Path, contents: Contents) -> None:
    """Raise UserError unless a person says yes. file: as it was typed."""
    plain = contents.whole and not contents.dangerous
    try:
        said = typer.confirm("Do you know who made this file, and trust them and the way it came to you?", err=True)
    except typer.Abort:
        typer.echo(err=True)
        raise UserError(
            f"Nobody answered, and {pickle} stays untrusted.",
            f"`evertrain trust {file} --yes` trusts it without asking, "
            + ("where you know who made it." if plain else "and what was said of it above speaks against that."),
        ) from None
    if not said:
        raise UserError(f"{pickle} stays untrusted.", "Save the model in a format that runs no code.")


def _sign(path: Path, vouched: Vouched, contents: Contents) -> None:
    """On record first: what is signed and not on record would be nobody's word."""
    if not (path / "state.json").exists():
        install(path, vouched.at)
    state = State.open(path)
    signer = Signer.create(state.keys, state.trusted)
    with Ledger.open(state.ledger) as ledger:
        ledger.append(
            Draft(
                id=f"vouched/{vouched.model}",
                at=vouched.at,
                actor=vouched.role,
                subject=f"model/{vouched.model[:10]}",
                reason="A person trusts this pickle; workers may load exactly these bytes.",
                fact=ModelVouched(model=vouched.model, role=vouched.role, names=contents.names, whole=contents.whole),
            )
        )
    Artifacts.at(state.artifacts).vouch(signer.sign(vouched))


def _told(path: Path, digest: str, contents: Contents, most: int | None) -> list[str]:
    """What a person reads before they sign. most: of harmless imports; what is dangerous or strange is named whole."""
    lines = [
        f"{path}",
        f"  SHA-256 {digest}",
        "  A pickle is a program: loading it can run any command as you, read and change your files, and open",
        "  connections. It is loaded by the check server and by every worker.",
        f"  It imports {_list(_by_danger(contents), most)}.",
    ]
    if not contents.whole:
        lines.append(
            "  NOT ALL OF IT COULD BE READ: it is damaged, or something in it is hidden. More than this may happen."
        )
    if contents.dangerous:
        lines.append(f"  DANGEROUS: {', '.join(contents.dangerous)}. No model needs this.")
    if contents.strange:
        lines.append(f"  Not of a library that models are made with: {', '.join(contents.strange)}.")
    return lines


def _by_danger(contents: Contents) -> tuple[str, ...]:
    """Everything that it imports: what is dangerous first, then what is strange, then the rest."""
    return tuple(dict.fromkeys((*contents.dangerous, *contents.strange, *contents.names)))


def _list(names: tuple[str, ...], most: int | None) -> str:
    if not names:
        return "nothing that could be read"
    more = 0 if most is None else len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more (--all names them)" if more > 0 else "")
