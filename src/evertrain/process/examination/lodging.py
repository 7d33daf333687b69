"""Whether the environments can be had that versions need beside the installation's own."""

from collections.abc import Iterator
from typing import Final

from evertrain.core.identity import short
from evertrain.errors import EvertrainError
from evertrain.model.installer import find_uv
from evertrain.process.examination.finding import Finding, fault, fine, watch
from evertrain.store.artifact import Artifacts
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State

__all__ = ["look_at_environments"]

_LOOK: Final = "environments"


def look_at_environments(state: State) -> Iterator[Finding]:
    """Each one that something routed needs; nothing where all runs in the installation's own."""
    for environment, who in _needed(state).items():
        name, standing = f"Environment {short(environment)}", state.environments.standing(environment)
        if standing.state == "there":
            yield fine(_LOOK, f"{name} is there, for {who}.")
        elif find_uv() is None:
            yield fault(
                _LOOK,
                f"{name}, for {who}, is not there, and uv, which would build it, is not installed.",
                why="No process of that version can be started.",
                remedy="pip install 'evertrain[environments]'",
            )
        elif standing.state == "failed":
            yield fault(
                _LOOK,
                f"{name}, for {who}, could not be built.",
                why=standing.says,
                remedy="Mend its lock and bring the version in again; what is routed is tried again by itself.",
            )
        else:
            yield watch(
                _LOOK,
                f"{name}, for {who}, is {standing.state}.",
                why="Its version answers when it is.",
                remedy="evertrain status",
            )


def _needed(state: State) -> dict[str, str]:
    """The environments of versions with a process, each with one of its services. Routing is another look's matter."""
    artifacts, needed = Artifacts.at(state.artifacts), dict[str, str]()
    try:
        routes = RoutingFile(state.routing).read().routes
    except EvertrainError:
        return needed
    for name, route in sorted(routes.items()):
        arms = [arm.version for arm in (route.canary, route.control) if arm is not None]
        for version in (route.champion, route.previous, route.reference, *arms):
            environment = "" if version is None else artifacts.runs_in(version)
            if environment:
                needed.setdefault(environment, name)
    return needed
