"""`evertrain promote`, `rollback`, `retrain`, `push`: what a person asks of the loop, and its answer."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from evertrain.cli.answer import LATE, NOT_YET, PATIENCE_S, SWITCH_S, Reason, accepted, ordered, says, tell
from evertrain.cli.opening import Opened, Service, opened
from evertrain.cli.option import Dir, Json, is_there
from evertrain.core.event import Event, OrderGiven, RolloutMoved
from evertrain.core.identity import ServiceName, VersionId, short
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.core.time import SECOND, parse_span
from evertrain.errors import UserError
from evertrain.process.steering.importing import Imported, Request, import_file
from evertrain.process.steering.order import (
    await_answer,
    await_entry,
    await_switch,
    find_controller,
    find_service,
    find_version,
    give_order,
)
from evertrain.process.supervision.greeting import await_outcome
from evertrain.process.view.caution import minds_of_rollback
from evertrain.store.artifact import Artifacts
from evertrain.web.wording import say_sentence

__all__ = ["app"]

app = typer.Typer()

_ENTRY_S = 60.0
"""How long `promote` waits for the workers to load the version."""
_UNDER_WAY = "It is under way still: `evertrain status` says what it waits for."


@app.command("promote")
def promote(
    version: Annotated[str, typer.Argument(help="Its number, or the beginning of its id.")],
    reason: Reason,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, even where it was refused.")] = False,
    service: Service = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Put a version into service past its verdict: an override, on record with your reason. Asks first if refused.

    Exit code 0: every worker answers with it. 1: it was refused. 3: not yet.
    """
    with opened(folder) as found:
        record = find_service(found.registry, service)
        chosen = find_version(record, version)
        find_controller(found.state)
        if not yes:
            _confirm(record, chosen)
        order = OrderGiven(
            service=record.service,
            verb="promote",
            role="operator",
            words=found.ledger.keep_words(reason),
            version=chosen,
        )
        given = give_order(found.state, found.ledger, order)
        answer = await_answer(found.ledger, given, PATIENCE_S)
        entry = (
            None if accepted(answer) is not True else await_entry(found.state, found.ledger, given, chosen, _ENTRY_S)
        )
        outcome, said = _fared(record, chosen, entry)
        switched = outcome != "answers" or await_switch(
            found.state, record.service, champion=chosen, gone=record.champion, seconds=SWITCH_S
        )
    lines = [says(answer)]
    if accepted(answer):
        lines += [said] if switched else [said, LATE]
    tell(given, answer, lines, as_json=as_json, outcome=outcome)
    if outcome != "answers" or not switched:
        raise typer.Exit(1 if outcome == "refused" else NOT_YET)


def _confirm(record: ServiceRecord, chosen: VersionId) -> None:
    """Raise UserError unless a person wants a version that was refused all the same."""
    version = record.versions[chosen]
    refusal = record.refusal_of(version.fingerprint)
    if refusal is None:
        return
    what = f"Version {version.ordinal} of {record.service} was refused: {refusal.reason}"
    typer.echo(what, err=True)
    try:
        said = typer.confirm("Put it into service all the same?", err=True)
    except typer.Abort:
        typer.echo(err=True)
        raise UserError(
            f"Nobody answered, and version {version.ordinal} stays refused.",
            "--yes puts it into service without asking.",
        ) from None
    if not said:
        raise UserError(f"Version {version.ordinal} stays refused.", "`evertrain models` lists the others.")


def _fared(record: ServiceRecord, chosen: VersionId, entry: Event | None) -> tuple[str, str]:
    """What became of a version that was ordered into service: in a word, and in a sentence."""
    ordinal = record.versions[chosen].ordinal
    name = f"Version {ordinal} of {record.service}"
    fact = None if entry is None else entry.fact
    if entry is None or not isinstance(fact, RolloutMoved):
        return (
            "loading",
            f"Not yet: the workers are to load version {ordinal}; `evertrain status` shows when it answers.",
        )
    if fact.move == "promote":
        return "answers", f"{name} answers."
    goes_on = "nothing answers" if record.champion is None else "who answered before goes on"
    return "refused", f"{name} does not answer: {entry.reason.rstrip('.')}; {goes_on}."


@app.command("rollback")
def rollback(
    reason: Reason,
    *,
    service: Service = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """End the running canary, or else go back to the version before, which bars the one that is taken back.

    Exit code 3: not every worker has taken that over yet.
    """
    with opened(folder) as found:
        record = find_service(found.registry, service)
        minds = minds_of_rollback(record, Artifacts.at(found.state.artifacts))
        for mind in minds if not as_json else ():
            typer.echo(mind, err=True)
        given, answer = ordered(found, record, "rollback", reason)
        switched = accepted(answer) is not True or _is_back(found, record)
    lines = [says(answer)] if switched else [says(answer), LATE]
    tell(given, answer, lines, as_json=as_json, minds=minds)
    if not switched:
        raise typer.Exit(NOT_YET)


def _is_back(found: Opened, before: ServiceRecord) -> bool:
    """Whether the workers have let go of what a rollback took back."""
    trial, after = before.open_rollout, Registry(found.ledger.read()).service(before.service)
    gone = trial.version if trial is not None and trial.champion is not None else before.champion
    return await_switch(found.state, before.service, champion=after.champion, gone=gone, seconds=SWITCH_S)


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
    """Begin a retraining now: one that only waits gives way to it, one at work is joined, or followed if it differs."""
    with opened(folder) as found:
        record = find_service(found.registry, service)
        given, answer = ordered(found, record, "retrain", reason, recipe)
    lines = [says(answer)]
    if accepted(answer):
        lines.append("`evertrain status --watch` shows how far it is, and `evertrain decisions` what came of it.")
    tell(given, answer, lines, as_json=as_json)


@app.command("push")
def push(
    model: Annotated[Path, typer.Argument(callback=is_there, help="The successor's model file.")],
    *,
    reason: Reason = "pushed",
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Stay until it answers (exit code 0), is refused or ends otherwise (1), or --within is over (3).",
        ),
    ] = False,
    within: Annotated[str, typer.Option(help="How long --wait waits at most.")] = "30m",
    shadow: Annotated[
        bool,
        typer.Option("--shadow", help="Let it see live requests and answer nobody, until you promote it."),
    ] = False,
    environment: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A requirements.lock: the version runs with its packages."),
    ] = None,
    service: Service = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Bring a model file in as the next version: through check server and canary, never straight into service."""
    seconds = parse_span(within) / SECOND
    with opened(folder) as found:
        record = find_service(found.registry, service)
        find_controller(found.state)
        request = Request(environment=environment)
        taken = import_file(found.state, model, ServiceName(record.service), request, reason, again=True, shadow=shadow)
        version, order = taken.version, taken.order
        answer = None if order is None else await_answer(found.ledger, order, PATIENCE_S)
        trial = Registry(found.ledger.read()).service(record.service).open_rollout
    before = record.versions.get(trial.version) if trial is not None and trial.version != version else None
    told: dict[str, object] = {"service": record.service, "version": version, "cautions": taken.cautions}
    told["new"] = order is not None and accepted(answer) is not False
    if told["new"] and before is not None:
        told["waits_for"] = before.ordinal
    if answer is not None:
        told["says"] = answer.reason
    if as_json:
        typer.echo(msgspec.json.encode(told).decode())
    elif order is None:
        typer.echo(f"This file is version {record.versions[version].ordinal} of {record.service} already.")
    else:
        typer.echo("\n".join(_say_pushed(record, taken, answer, waits=before is not None)))
    if accepted(answer) is False:
        raise typer.Exit(1)
    if wait:
        raise typer.Exit(_wait_for(folder, record.service, version, seconds, as_json=as_json))


def _say_pushed(record: ServiceRecord, taken: Imported, answer: Event | None, *, waits: bool) -> list[str]:
    """What happens now to a file that was pushed. waits: another one is on trial before it."""
    if answer is not None and accepted(answer) is False:
        return [answer.reason]
    return [
        f"Version {short(taken.version)} of {record.service} is checked now, and then enters as its service declares.",
        *(f"Mind: {words}." for words in taken.cautions),
        *([answer.reason] if waits and answer is not None else []),
        "`evertrain status` and `evertrain decisions` tell how it fares.",
    ]


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
        because = outcome.why or say_sentence(outcome.asks) or _UNDER_WAY
        typer.echo(f"Version {outcome.ordinal} of {service} is not in service. {because}")
    return {"answers": 0, "refused": 1}.get(outcome.state, 1 if outcome.why else 3)
