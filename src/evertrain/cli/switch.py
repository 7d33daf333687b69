"""`evertrain off`, `on`, `approve`, `deny`: a person switches a model or its rollout, or lets a version go on."""

from typing import Annotated

import typer

from evertrain.cli.answer import LATE, SWITCH_S, Reason, accepted, ordered, says, tell
from evertrain.cli.opening import opened
from evertrain.cli.option import Dir, Json
from evertrain.core.order import Verb
from evertrain.core.routing import Route
from evertrain.process.steering.order import await_route, find_service, find_version

__all__ = ["app"]

app = typer.Typer()

Named = Annotated[str | None, typer.Argument(help="The service; may be left out when there is only one.")]
OfVersion = Annotated[
    str | None,
    typer.Option("--version", help="Which one you mean, by number or id: refused if another one waits by then."),
]
OfRollout = Annotated[bool, typer.Option("--rollout", help="The rollout that is under way, not the service.")]


@app.command("off")
def off(
    service: Named = None, *, reason: Reason, rollout: OfRollout = False, folder: Dir = None, as_json: Json = False
) -> None:
    """Turn a service off within a second: it answers 503 with the cause. --rollout: the champion answers everything."""
    _switch(service, "pause" if rollout else "off", reason, folder, as_json=as_json)


@app.command("on")
def on(
    service: Named = None,
    *,
    reason: Reason = "turned on again",
    rollout: OfRollout = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Let a service that was turned off answer again; --rollout: the version on trial goes on at the step it was in."""
    _switch(service, "resume" if rollout else "on", reason, folder, as_json=as_json)


@app.command("approve")
def approve(
    service: Named = None, *, reason: Reason, version: OfVersion = None, folder: Dir = None, as_json: Json = False
) -> None:
    """Allow what the version on trial waits for, in the place of whoever was asked."""
    _switch(service, "approve", reason, folder, as_json=as_json, version=version)


@app.command("deny")
def deny(
    service: Named = None, *, reason: Reason, version: OfVersion = None, folder: Dir = None, as_json: Json = False
) -> None:
    """Deny what the version on trial waits for: its rollout ends, and who answered before goes on."""
    _switch(service, "deny", reason, folder, as_json=as_json, version=version)


def _switch(
    service: str | None, verb: Verb, reason: str, folder: Dir, *, as_json: bool, version: str | None = None
) -> None:
    with opened(folder) as found:
        record = find_service(found.registry, service)
        meant = None if version is None else find_version(record, version)
        given, answer = ordered(found, record, verb, reason, version=meant)
        switched = accepted(answer) is not True or await_route(
            found.state, record.service, lambda route: _stands(route, verb), SWITCH_S
        )
    tell(given, answer, [says(answer)] if switched else [says(answer), LATE], as_json=as_json)


def _stands(route: Route, verb: Verb) -> bool:
    """Whether a route is as a switch wants it. One that is resumed warms up first, which is not waited for."""
    match verb:
        case "off" | "on":
            return route.enabled is (verb == "on")
        case "pause":
            return route.canary is None
        case _:
            return True
