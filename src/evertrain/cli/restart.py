"""`evertrain restart`: replace the processes one by one, so that no request fails."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from evertrain.cli.option import Dir, Json
from evertrain.cli.place import state_in
from evertrain.core.identity import short
from evertrain.core.succession import SuccessionState
from evertrain.core.time import SECOND, parse_span
from evertrain.process.steering.restart import build_environments, follow_restart, give_restart
from evertrain.store.restart import RestartReport, RestartStep

__all__ = ["app"]

app = typer.Typer()


@app.command("restart")
def restart(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the controller and the data process, one after the other.")
    ] = False,
    within: Annotated[str, typer.Option(help="How long to stay and tell, at most; the restart goes on.")] = "10m",
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Replace each worker by one that is warm before the old one leaves: after an upgrade of evertrain or a library.

    No request fails. An environment that is not there for this release is built first. A worker that does not come up
    ends the restart, and those that answered go on. Exit code: 0 when all are replaced, 1 when one does not come up, 3
    when --within is over.
    """
    seconds = parse_span(within) / SECOND
    state = state_in(folder)
    for environment in build_environments(state):
        if not as_json:
            typer.echo(f"environment {short(environment)}: is built for this release first; those that answer go on")
    order = give_restart(state, "all" if everything else "workers")
    before: RestartReport | None = None
    for report in follow_restart(state, order, seconds):
        for line in () if as_json else _news(before, report):
            typer.echo(line)
        before = report
    if as_json:
        typer.echo(msgspec.json.encode(before).decode())
    elif before is None or before.outcome == "under way":
        typer.echo(f"It is still under way after {within}; `evertrain status` lists the processes.")
    if before is None or before.outcome != "done":
        raise typer.Exit(1 if before is not None and before.outcome == "stopped" else 3)


def _news(before: RestartReport | None, report: RestartReport) -> Iterator[str]:
    """A line for each process that has come further, and one for the end."""
    told = {} if before is None else {step.process: step.state for step in before.steps}
    for step in report.steps:
        line = _say(step)
        if line and told.get(step.process) is not step.state:
            yield line
    if report.outcome == "done":
        yield f"{len(report.steps)} processes were replaced."
    elif report.outcome == "stopped":
        yield f"The restart is stopped. {report.reason}"
        yield "What has not been replaced goes on as before."


def _say(step: RestartStep) -> str:
    if step.state is SuccessionState.COMING and step.manner == "beside":
        return f"{step.process}: {step.successor} comes up beside it"
    if step.state is SuccessionState.LEAVING:
        return f"{step.process}: process {step.pid} finishes what it has in hand"
    if step.state is SuccessionState.REPLACED:
        return f"{step.process}: replaced by {step.successor}, process {step.successor_pid}"
    return ""
