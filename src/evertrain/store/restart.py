"""An order to restart the processes, and how far it has come: two files between a command and the supervisor.

They lie in `serving/`, where the supervisor looks anyhow: a restart needs neither the controller nor the ledger, which
may be what is to be restarted. One order stands at a time; the supervisor takes each up once, by its id.
"""

import secrets
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from evertrain.core.succession import Manner, SuccessionState
from evertrain.store.file import write_atomically
from evertrain.store.state import State

__all__ = [
    "RestartOrder",
    "RestartReport",
    "RestartStep",
    "Scope",
    "order_restart",
    "restart_order",
    "restart_report",
    "tell_restart",
]

Scope = Literal["workers", "all"]
Outcome = Literal["under way", "done", "stopped"]
Kind = TypeVar("Kind", bound=msgspec.Struct)


class RestartOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked for. scope: the workers alone, or every process of the tree."""

    id: str
    scope: Scope


class RestartStep(msgspec.Struct, frozen=True, kw_only=True):
    """One process and its successor. why: of an end other than "replaced"."""

    process: str
    pid: int | None
    manner: Manner
    state: SuccessionState = SuccessionState.WAITING
    successor: str = ""
    successor_pid: int | None = None
    why: str = ""


class RestartReport(msgspec.Struct, frozen=True, kw_only=True):
    """How an order fares. "stopped": what is still to be replaced goes on as it is; reason says why."""

    order: str
    scope: Scope
    steps: tuple[RestartStep, ...]
    outcome: Outcome = "under way"
    reason: str = ""


def order_restart(state: State, scope: Scope) -> RestartOrder:
    """Leave an order, in place of the last one."""
    order = RestartOrder(id=secrets.token_hex(8), scope=scope)
    write_atomically(_order(state), msgspec.json.encode(order))
    return order


def restart_order(state: State) -> RestartOrder | None:
    """The last order; None when there never was one. One `stat` where there is none."""
    return _read(_order(state), RestartOrder)


def tell_restart(state: State, report: RestartReport) -> None:
    """Say how an order fares, in place of what was said last."""
    write_atomically(_report(state), msgspec.json.encode(report))


def restart_report(state: State) -> RestartReport | None:
    """What the supervisor said last about an order."""
    return _read(_report(state), RestartReport)


def _order(state: State) -> Path:
    return state.path / "serving" / "restart.json"


def _report(state: State) -> Path:
    return state.path / "serving" / "restarted.json"


def _read(path: Path, kind: type[Kind]) -> Kind | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # cut by a power failure: whoever gave it, or would have obeyed it, is gone
