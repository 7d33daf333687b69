"""`evertrain plan`: what a declaration will do, before it does it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from evertrain.cli.option import Dir, Json
from evertrain.cli.place import place_of
from evertrain.core.identity import short
from evertrain.core.time import DAY, HOUR, MINUTE, Span, say_instant, say_span
from evertrain.core.wording import say_many
from evertrain.process.declaration.plan import (
    EnvironmentPlan,
    GatePlan,
    HistoryPlan,
    Plan,
    ServicePlan,
    SourcePlan,
    StepPlan,
    TriggerPlan,
)
from evertrain.process.supervision.errand import run_module

__all__ = ["app"]

app = typer.Typer()


@app.command("plan")
def plan(
    declaration: Annotated[Path | None, typer.Argument(help="A file that declares services.")] = None,
    *,
    folder: Dir = None,
    data: Annotated[Path | None, typer.Option(help="Where the sources' files are; default: beside the file.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a declaration will do before it does it. Without a file: what the services on record will do next."""
    state = place_of(folder)
    words = [] if declaration is None else [str(declaration)]
    if declaration is None or folder is not None or (state / "state.json").exists():
        words += ["--dir", str(state)]
    if data is not None:
        words += ["--data", str(data)]
    said = run_module("declaration.planning", words)
    if as_json:
        typer.echo(said.strip())
        return
    made = msgspec.json.decode(said, type=Plan)
    typer.echo("\n\n".join("\n".join(_lines(service)) for service in made.services) or "No service is on record.")


def _lines(service: ServicePlan) -> Iterator[str]:
    yield f"{service.service}: {_said_changes(service.changes)}"
    yield from _part("Sources", [line for source in service.sources for line in _source(source)])
    if service.history is not None:
        yield from _part("Examples", _history(service.history))
    elif service.sources:
        yield from _part("Examples", ["none yet: a source that they or their labels come from has no rows"])
    if service.recipes:
        yield from _part("Recipes", [f"{', '.join(service.recipes)}; the model takes {service.inputs} inputs"])
    if service.environment is not None:
        yield from _part("With", _environment(service.environment))
    yield from _part("Look at", list(service.cautions))
    yield from _part("Triggers", [_trigger(trigger) for trigger in service.triggers])
    if service.gate is not None:
        yield from _part("Gate", _gate(service.gate))
    if service.back is None:
        yield from _part("Canary", list(_canary(service)))
    else:
        yield from _part("Entry", list(_entry(service.back)))


def _environment(one: EnvironmentPlan) -> list[str]:
    said = [
        f"the {say_many(one.packages, 'package')} of {one.file} ({short(one.lock)}); its environment is {one.standing}"
    ]
    if one.unhashed:
        said.append(f"{one.unhashed} of them have no hash: uv pip compile --generate-hashes writes them")
    return said


def _said_changes(changes: tuple[str, ...] | None) -> str:
    if changes is None:
        return "new; nothing is on record"
    return f"would change {', '.join(changes)}" if changes else "as it is on record"


def _part(title: str, lines: list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"  {'' if number else title:<10}{line}"


def _source(source: SourcePlan) -> Iterator[str]:
    newest = "" if source.newest is None else f", newest of {say_instant(source.newest)}"
    aside = f", {source.aside:,} set aside" if source.aside else ""
    types = "; types are inferred once" if source.inferred else ""
    read = f"{say_many(source.files, source.parts.removesuffix('s'))} of {source.pattern}"
    yield f"{source.name}: {read}, {say_many(source.rows, 'row')}{aside}{newest}{types}"
    for fault in source.faults:
        yield f"  set aside: {fault}"
    for reason in source.reasons:
        yield f"  set aside: {reason}"
    if source.reasons and not source.repaired:
        yield "  a function in repair= keeps rows whose cells do not fit"
    if source.repaired:
        yield "  repair= mends these rows, no requests: one with a value that does not fit gets a 400"
    for name in source.numbers:
        declared = f'columns={{"{name}": "float64?"}}'
        yield f"  look at {name}: text, because of a few cells among numbers; {declared} sets those rows aside"


def _history(history: HistoryPlan) -> list[str]:
    if history.first is None or history.last is None:
        return ["none yet"]
    share = history.labelled / history.mature if history.mature else 0.0
    lines = [
        (
            f"{history.examples:,} from {say_instant(history.first)} to {say_instant(history.last)}, "
            f"{history.per_day:,.0f} a day"
        ),
        f"{history.mature:,} are mature, {share:.1%} of those have a label",
        f"{history.training:,} to train on now, {history.holdout:,} in the holdout",
    ]
    if not history.enough:
        lines.append(f"at least {history.fewest} of each are needed: a training waits for labels")
    return lines


def _trigger(trigger: TriggerPlan) -> str:
    at = "" if trigger.at is None or say_instant(trigger.at) in trigger.says else f" ({say_instant(trigger.at)[:16]}Z)"
    return f"{trigger.name}: {trigger.says}{at}"


def _gate(gate: GatePlan) -> list[str]:
    needed = f", {gate.blocks_needed} are needed" if gate.blocks_needed else ""
    lines = [
        (
            f"{gate.primary} not worse than the champion's by {gate.margin:g}, on the newest {say_span(gate.holdout)} "
            f"({gate.blocks} blocks{needed})"
        )
    ]
    if gate.obstacle:
        lines.append(f"nothing can pass it: {gate.obstacle}")
    if gate.noise is None:
        lines.append("how many labels a verdict needs shows when the first challenger was held against a champion")
    elif gate.labels is not None and gate.span is not None and gate.chance is not None:
        lines.append(
            f"with the measured noise of {gate.noise:.4f} an equal challenger passes with chance {gate.chance:.0%}; "
            f"80% take {gate.labels:,} labels, {say_span(gate.span)}"
        )
    return lines


def _canary(service: ServicePlan) -> Iterator[str]:
    if service.trial is not None:
        yield f"version {service.trial} is in it; from where it stands:"
    for number, step in enumerate(service.canary):
        yield _step(step, " more" if service.trial is not None and not number else "")
    yield "then it answers everything"
    if service.presumed is not None:
        yield f"no request came yet: one for each row of the history is presumed, {service.presumed:,.0f} a day"


def _entry(back: Span) -> Iterator[str]:
    yield "by workers of its own, as many as there are, which take over in one step: there is no canary"
    yield f"the workers before stay warm for {say_span(back)}, and going back within that is one step too"


def _step(step: StepPlan, more: str) -> str:
    share = f"{step.share:.0%} of the requests, as many to the champion in a twin process: "
    if step.requests is None:
        return f"{share}no number of requests would do"
    lasts = "" if step.days is None else f", {_lasting(step.days)}"
    return f"{share}{step.requests:,}{more} without an error{lasts}"


def _lasting(days: float) -> str:
    unit = MINUTE if days < 1 else HOUR
    return f"about {say_span(max(1, round(days * DAY / unit)) * unit)}"
