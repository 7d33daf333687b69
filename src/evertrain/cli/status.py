"""`evertrain status`: what runs, and what answers."""

import os
from pathlib import Path

import msgspec
import typer

from evertrain.cli.up import Dir, Json
from evertrain.config.settings import load
from evertrain.core.identity import short
from evertrain.core.routing import Route, RoutingTable
from evertrain.store.process import Heartbeat, alive, heartbeats
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State

__all__ = ["app"]

app = typer.Typer()


@app.command("status")
def status(*, folder: Dir = None, as_json: Json = False) -> None:
    """Show which processes run, and which version answers for each service. Exits with 1 when nobody answers."""
    stated = load({"dir": None if folder is None else str(folder)}, environment=os.environ)
    state = State.open(Path(stated.settings.dir))
    table, found = RoutingFile(state.routing).read(), heartbeats(state)
    answering = any(one.role == "worker" and alive(one) for one in found)
    typer.echo(_encoded(table, found) if as_json else "\n".join(_lines(table, found)))
    if not answering:
        raise typer.Exit(1)


def _encoded(table: RoutingTable, found: list[Heartbeat]) -> str:
    processes = [{**msgspec.to_builtins(one), "alive": alive(one)} for one in found]
    return msgspec.json.encode({"routing": table, "processes": processes}).decode()


def _lines(table: RoutingTable, found: list[Heartbeat]) -> list[str]:
    services = [line for _, route in sorted(table.routes.items()) for line in _service_lines(route)]
    processes = [_process_line(one) for one in found]
    return [*(services or ["No service has a route yet."]), "", *(processes or ["No process runs."])]


def _service_lines(route: Route) -> list[str]:
    champion = "nobody answers" if route.champion is None else f"version {short(route.champion)} answers"
    lines = [f"{route.service}: {champion if route.enabled else f'turned off: {route.notice}'}"]
    if route.canary is not None:
        lines.append(f"  version {short(route.canary.version)} is on trial, {route.canary.share:.0%} of the requests")
    lines += [f"  version {short(refusal.version)} is refused: {refusal.reason}" for refusal in route.refused]
    return lines


def _process_line(one: Heartbeat) -> str:
    if not alive(one):
        return f"{one.name:<24} has ended"
    failed = "".join(f"; cannot load {short(version)}: {why}" for version, why in one.failed.items())
    note = f"; {one.note}" if one.note else ""
    return f"{one.name:<24} process {one.pid}{note}{failed}"
