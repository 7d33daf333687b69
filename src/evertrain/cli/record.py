"""`evertrain models` and `evertrain decisions`: what the ledger says became of each version, and why."""

from collections.abc import Set
from typing import Annotated

import msgspec
import typer

from evertrain.cli.opening import Service, opened
from evertrain.cli.option import Dir, Json
from evertrain.core.identity import short
from evertrain.core.registry import Decision, ServiceRecord, Version
from evertrain.core.time import say_instant
from evertrain.process.steering.order import find_service

__all__ = ["app"]

app = typer.Typer()


@app.command("models")
def models(*, service: Service = None, folder: Dir = None, as_json: Json = False) -> None:
    """List the versions of a service: what each was judged, and what became of it."""
    with opened(folder) as found:
        record = find_service(found.registry, service)
    versions = list(record.versions.values())
    if as_json:
        told = [{**msgspec.to_builtins(version), "state": _state(record, version)} for version in versions]
        typer.echo(msgspec.json.encode(told).decode())
        return
    for version in versions:
        built = say_instant(version.built)
        typer.echo(f"{version.ordinal:>4}  {short(version.version)}  built {built}  {_state(record, version)}")
        if why := version.refused or version.why or _why_nothing(record, version):
            typer.echo(f"      {why}")
        if version.overruled:
            typer.echo(f"      a person put it into service past its refusal: {version.overruled}")
    if not versions:
        typer.echo(f"{record.service} has no version yet.")


@app.command("decisions")
def decisions(
    *,
    service: Service = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 30,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """List what was decided, newest first, each with its reason."""
    with opened(folder) as found:
        record = find_service(found.registry, service)
    newest = record.decisions[::-1][:limit]
    if as_json:
        typer.echo(msgspec.json.encode(newest).decode())
        return
    told: set[str] = set()
    for decision in newest:
        typer.echo("\n".join(_lines(decision, told)))
        told.add(decision.reason)
    if not newest:
        typer.echo(f"Nothing was decided about {record.service} yet.")


def _lines(decision: Decision, told: Set[str]) -> list[str]:
    """told: reasons that were listed already, which are said once."""
    head = f"{say_instant(decision.at)}  {decision.subject}  {decision.kind}: {decision.outcome}"
    return [head, f"      {'as above' if decision.reason in told else decision.reason}"]


def _state(record: ServiceRecord, version: Version) -> str:
    if version.version == record.champion:
        return "champion"
    if version.refused:
        return "refused"
    rollout = record.open_rollout
    if rollout is not None and rollout.version == version.version:
        return f"on trial ({rollout.state.value}, {rollout.share:.0%})"
    if version.version == record.previous:
        return "standby"
    same = _same_as(record, version)
    again = "built" if same is None else f"version {same} again"
    return "retired" if version.championed is not None else version.verdict or again


def _same_as(record: ServiceRecord, version: Version) -> int | None:
    """The number of the refused version that a training made once more; None where it made another."""
    refusal = record.refusal_of(version.fingerprint)
    if refusal is None or refusal.version == version.version:
        return None
    return record.versions[refusal.version].ordinal


def _why_nothing(record: ServiceRecord, version: Version) -> str:
    """Why the cycle that made a version ended there, where nobody judged it."""
    cycle = record.cycles.get(version.cycle) if version.cycle is not None else None
    return "" if cycle is None or cycle.open else cycle.why
