"""What every command that orders something does: put it on record, wait for the loop's answer, and print that."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from evertrain.cli.opening import Opened
from evertrain.core.event import Event, OrderAnswered, OrderGiven
from evertrain.core.identity import VersionId
from evertrain.core.order import Verb
from evertrain.core.registry import ServiceRecord
from evertrain.process.steering.order import await_answer, find_controller, give_order

__all__ = ["LATE", "NOT_YET", "PATIENCE_S", "SWITCH_S", "Reason", "accepted", "ordered", "says", "tell"]

PATIENCE_S = 10.0
SWITCH_S = 30.0
"""How long a command waits for the workers to do as the loop has said."""
NOT_YET = 3
"""The exit code of what was accepted and is not done yet."""
LATE = "Not every worker has taken that over yet; `evertrain status` tells which one."

Reason = Annotated[str, typer.Option(help="Why; it is kept beside the audit trail.")]


def ordered(
    found: Opened,
    record: ServiceRecord,
    verb: Verb,
    reason: str,
    recipe: str = "default",
    *,
    version: VersionId | None = None,
) -> tuple[Event, Event | None]:
    """Put an order on record, and wait for the loop's answer."""
    find_controller(found.state)
    words = found.ledger.keep_words(reason)
    order = OrderGiven(service=record.service, verb=verb, role="operator", words=words, recipe=recipe, version=version)
    given = give_order(found.state, found.ledger, order)
    return given, await_answer(found.ledger, given, PATIENCE_S)


def says(answer: Event | None) -> str:
    """The loop's answer in words."""
    return answer.reason if answer is not None else "The order is on record; no controller has taken it up yet."


def tell(
    order: Event, answer: Event | None, lines: list[str], *, as_json: bool, outcome: str = "", minds: Sequence[str] = ()
) -> None:
    """Print the loop's answer; exit code 1 when it declined. outcome: what came of it by now; minds: what was said
    before; both for machines.
    """
    taken = accepted(answer)
    if as_json:
        told: dict[str, int | str | Sequence[str]] = {"order": order.sequence, "answered": answer is not None}
        told |= {"accepted": taken is True, "says": " ".join(lines)}
        if minds:
            told["minds"] = minds
        if outcome and taken:
            told["outcome"] = outcome
        typer.echo(msgspec.json.encode(told).decode())
    else:
        typer.echo("\n".join(lines))
    if taken is False:
        raise typer.Exit(1)


def accepted(answer: Event | None) -> bool | None:
    """Whether the loop took the order up; None when it has not said yet."""
    return answer.fact.accepted if answer is not None and isinstance(answer.fact, OrderAnswered) else None
