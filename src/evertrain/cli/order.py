"""`evertrain promote`, `rollback`, `retrain`, `push`: what a person asks of the loop, and its answer."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from evertrain.cli.opening import Service, opened
from evertrain.cli.up import Dir, Json
from evertrain.core.event import Event, OrderAnswered, OrderGiven
from evertrain.core.identity import ServiceName, VersionId, short
from evertrain.core.time import SECOND, parse_span
from evertrain.process.greeting import await_outcome
from evertrain.process.importing import Request, import_file
from evertrain.process.order import await_answer, find_service, find_version, give_order
from evertrain.store.ledger import Ledger

__all__ = ["app"]

app = typer.Typer()

_PATIENCE_S = 10.0

Reason = Annotated[str, typer.Option(help="Why; it is kept beside the audit trail.")]


@app.command("promote")
def promote(
    version: Annotated[str, typer.Argument(help="Its number, or the beginning of its id.")],
    reason: Reason,
    *,
    service: Service = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Put a version into service past its verdict: an override, on record with your reason."""
    _order(folder, service, "promote", reason, version=version, as_json=as_json)


@app.command("rollback")
def rollback(
    reason: Reason,
    *,
    service: Service = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """End the running canary, or else go back to the version before; what is taken back never returns by itself."""
    _order(folder, service, "rollback", reason, as_json=as_json)


@app.command("retrain")
def retrain(
    reason: Reason,
    *,
    recipe: Annotated[
        str, typer.Option(help="A declared recipe, or several joined by commas, of which the best is taken.")
    ] = "default",
    service: Service = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Begin a retraining now, or join the one that is under way."""
    _order(folder, service, "retrain", reason, recipe=recipe, as_json=as_json)


@app.command("push")
def push(
    model: Annotated[Path, typer.Argument(exists=True, help="The successor's model file.")],
    *,
    reason: Reason = "pushed",
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Stay until it answers (exit code 0), is refused (1), or --within is over (3)."),
    ] = False,
    within: Annotated[str, typer.Option(help="How long --wait waits at most.")] = "30m",
    service: Service = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Bring a model file in as the next version: through check server and canary, never straight into service."""
    seconds = parse_span(within) / SECOND
    with opened(folder) as found:
        record = find_service(found.registry, service)
        version, order = import_file(found.state, model, ServiceName(record.service), Request(), reason)
        answer = None if order is None else await_answer(found.ledger, order, _PATIENCE_S)
    told = {"service": record.service, "version": version, "new": order is not None and _accepted(answer) is not False}
    if answer is not None:
        told["says"] = answer.reason
    if as_json:
        typer.echo(msgspec.json.encode(told).decode())
    elif order is None:
        typer.echo(f"This file is version {record.versions[version].ordinal} of {record.service} already.")
    elif told["new"]:
        typer.echo(f"Version {short(version)} of {record.service} goes through check server and canary.")
        typer.echo("`evertrain status` and `evertrain decisions` tell how it fares.")
    elif answer is not None:
        typer.echo(answer.reason)
    if _accepted(answer) is False:
        raise typer.Exit(1)
    if wait:
        raise typer.Exit(_wait_for(folder, record.service, version, seconds, as_json=as_json))


def _wait_for(folder: Path | None, service: ServiceName, version: VersionId, seconds: float, *, as_json: bool) -> int:
    """Say what became of a version; returns the exit code."""
    with opened(folder) as found:
        outcome = await_outcome(found.state, service, version, seconds)
    if as_json:
        typer.echo(msgspec.json.encode(outcome).decode())
    elif outcome.state == "answers":
        typer.echo(f"Version {outcome.ordinal} of {service} answers.")
    elif outcome.state == "refused" or (outcome.state == "another" and outcome.why):
        typer.echo(f"Version {outcome.ordinal} of {service} was refused: {outcome.why}")
    else:
        typer.echo(f"Version {outcome.ordinal} of {service} is not in service. {outcome.why}".rstrip())
    return {"answers": 0, "refused": 1}.get(outcome.state, 1 if outcome.why else 3)


def _order(
    folder: Path | None,
    service: str | None,
    verb: Literal["promote", "rollback", "retrain"],
    reason: str,
    *,
    as_json: bool,
    version: str | None = None,
    recipe: str = "default",
) -> None:
    """Put an order on record and print the loop's answer."""
    with opened(folder) as found:
        record = find_service(found.registry, service)
        chosen = None if version is None else find_version(record, version)
        words = found.ledger.keep_words(reason)
        order = OrderGiven(
            service=record.service, verb=verb, role="operator", words=words, version=chosen, recipe=recipe
        )
        _tell(found.ledger, give_order(found.state, found.ledger, order), as_json)


def _tell(ledger: Ledger, order: Event, as_json: bool) -> None:
    """Print the loop's answer; exit code 1 when it declined."""
    answer = await_answer(ledger, order, _PATIENCE_S)
    accepted = _accepted(answer)
    says = answer.reason if answer is not None else "The order is on record; no controller has taken it up yet."
    if as_json:
        told = {"order": order.sequence, "answered": answer is not None, "accepted": accepted is True, "says": says}
        typer.echo(msgspec.json.encode(told).decode())
    else:
        typer.echo(says)
    if accepted is False:
        raise typer.Exit(1)


def _accepted(answer: Event | None) -> bool | None:
    """Whether the loop took the order up; None when it has not said yet."""
    return answer.fact.accepted if answer is not None and isinstance(answer.fact, OrderAnswered) else None
