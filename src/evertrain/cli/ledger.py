"""`evertrain ledger`: read the audit trail, prove it, take it along."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from evertrain.cli.place import state_in
from evertrain.core.audit import Report
from evertrain.core.event import Event, kind_of
from evertrain.core.identity import canonical
from evertrain.core.merkle import SignedHead
from evertrain.core.time import Instant, say_instant
from evertrain.errors import NotFoundError, UserError
from evertrain.govern.selfaudit import verify
from evertrain.store.file import write_atomically
from evertrain.store.ledger import Ledger
from evertrain.store.signature import Signer

__all__ = ["app"]

app = typer.Typer(name="ledger", help="Read, verify and export the audit trail.", no_args_is_help=True)

_PATIENCE_S = 5.0

Dir = Annotated[Path | None, typer.Option("--dir", help="The state directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command("verify")
def verify_command(
    *,
    folder: Dir = None,
    anchor: Annotated[
        list[Path] | None,
        typer.Option(help="An exported ledger, or a signed head, that the ledger must still contain."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Prove the ledger, and everything that it names, byte for byte. Exits with 1 when something differs."""
    anchors = tuple(_anchor(path) for path in anchor or [])
    report = verify(state_in(folder), anchors=anchors, patience_s=_PATIENCE_S)
    typer.echo(msgspec.json.encode(_plain(report)).decode() if as_json else _told(report))
    if not report.sound:
        raise typer.Exit(1)


@app.command("list")
def list_command(
    *,
    folder: Dir = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only events of this kind; may be repeated.")] = None,
    subject: Annotated[str | None, typer.Option(help='Only events about this, e.g. "service/late-flights".')] = None,
    after: Annotated[int | None, typer.Option(help="Only events after this sequence number, oldest first.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many events.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the newest events, or those after a sequence number."""
    with Ledger.open(state_in(folder).ledger) as ledger:
        if after is None:
            events = ledger.last(kinds=kind, subject=subject, limit=limit)[::-1]
        else:
            events = ledger.read(after=after, kinds=kind, subject=subject, limit=limit)
    for event in events:
        typer.echo(canonical(event).decode() if as_json else _line(event))


@app.command("show")
def show_command(
    sequence: Annotated[int, typer.Argument(min=0, help="The event's sequence number.")],
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Show one event whole, with the proof that the ledger contains it."""
    with Ledger.open(state_in(folder).ledger) as ledger:
        events = ledger.read(after=sequence - 1, limit=1)
        if not events:
            raise NotFoundError(f"There is no event {sequence}.", f"The ledger has {ledger.count()} events.")
        proof = {
            "event": events[0],
            "head": ledger.head(),
            "proof": [node.hex() for node in ledger.prove_inclusion(sequence)],
        }
    encoded = msgspec.json.encode(proof)
    typer.echo((encoded if as_json else msgspec.json.format(encoded)).decode())


@app.command("export")
def export_command(
    to: Annotated[Path, typer.Option("--to", help="The file to write: an event a line, then the signed head.")],
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Write all events and a fresh signed head to a file that proves itself wherever it is kept."""
    state = state_in(folder)
    with Ledger.open(state.ledger) as ledger:
        newest = ledger.last()
        head = ledger.sign_head(Signer.load(state.keys), newest[0].at if newest else Instant(0))
        events = ledger.read(limit=head.size)
    write_atomically(to, b"".join(canonical(line) + b"\n" for line in (*events, head)))
    said = {"file": str(to), "events": head.size, "root": head.root}
    typer.echo(msgspec.json.encode(said).decode() if as_json else f"{head.size} events, root {head.root}, in {to}")


def _anchor(path: Path) -> SignedHead:
    """The signed head on the last line of a file."""
    try:
        return msgspec.json.decode(path.read_bytes().splitlines()[-1], type=SignedHead)
    except (OSError, IndexError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} holds no signed head.", "Name a file that `evertrain ledger export` wrote.") from error


def _line(event: Event) -> str:
    return f"{event.sequence:>6}  {say_instant(event.at)}  {kind_of(event.fact):<22}  {event.subject}: {event.reason}"


def _plain(report: Report) -> dict[str, object]:
    return {"sound": report.sound, **msgspec.to_builtins(report)}


def _told(report: Report) -> str:
    lines = [f"{finding.subject}: {finding.what}" for finding in report.findings]
    checked = ", ".join(f"{count} {kind}" for kind, count in report.checked.items())
    left_out = [f"  {text}" for text in report.left_out]
    verdict = "Everything is as it was recorded." if report.sound else f"{len(lines)} findings."
    return "\n".join([*lines, f"{verdict} Checked: {checked}.", "Left out:", *left_out])
