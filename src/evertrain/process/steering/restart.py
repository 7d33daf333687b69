"""How a person's order to restart reaches the supervisor, and how it fares."""

import time
from collections.abc import Iterator

from evertrain.errors import UnavailableError, UserError
from evertrain.model.environment import furnish
from evertrain.store.process import alive, heartbeat_at
from evertrain.store.restart import RestartReport, Scope, order_restart, restart_report
from evertrain.store.routing import RoutingFile
from evertrain.store.state import State

__all__ = ["build_environments", "follow_restart", "give_restart"]

_LOOK_S = 0.05
_HEED_S = 10.0
"""How soon a supervisor takes an order up, and how long there may be none before nobody is waited for."""


def build_environments(state: State) -> Iterator[str]:
    """Build each environment that workers run in and that is not there for this release; gives its lock before.

    After an upgrade that is all of them. It may take longer than a worker that comes up is waited for. UserError where
    nobody runs, PackageError where one cannot be built.
    """
    _require_supervisor(state)
    pools = RoutingFile(state.routing).read().pools
    for environment in dict.fromkeys(pool.environment for pool in pools):
        if environment and state.environments.built(environment) is None:
            yield environment
            furnish(state, environment)


def give_restart(state: State, scope: Scope) -> str:
    """Leave the order; returns its id. UserError where nobody runs who could carry it out, or another is under way."""
    _require_supervisor(state)
    report = restart_report(state)
    if report is not None and report.outcome == "under way":
        raise UserError("A restart is under way already. Nothing was ordered.", "Order it again when it is over.")
    return order_restart(state, scope).id


def follow_restart(state: State, order: str, seconds: float) -> Iterator[RestartReport]:
    """Each report on the order that differs from the one before, until it is over, at most for so many seconds.

    UnavailableError when there is no supervisor any more, or none that takes the order up.
    """
    begun = supervised = time.monotonic()
    last = None
    while (now := time.monotonic()) - begun < seconds:
        report = restart_report(state)
        if report is not None and report.order == order and report != last:
            last = report
            yield report
            if report.outcome != "under way":
                return
        if _is_supervised(state) and (last is not None or now - begun < _HEED_S):
            supervised = now
        if now - supervised > _HEED_S:
            raise UnavailableError(
                "The supervisor has not taken the order up yet: it does when all workers answer."
                if last is None
                else "The supervisor ended meanwhile.",
                "See what `evertrain status` says; `evertrain up` starts a supervisor that takes the workers over.",
            )
        time.sleep(_LOOK_S)


def _require_supervisor(state: State) -> None:
    if not _is_supervised(state):
        raise UserError(
            f"Nobody runs who could carry that out: {state.path} has no supervisor. Nothing was ordered.",
            "Start it with `evertrain up`.",
        )


def _is_supervised(state: State) -> bool:
    found = heartbeat_at(state, "supervisor")
    return found is not None and alive(found)
