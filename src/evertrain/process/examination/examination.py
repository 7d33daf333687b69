"""All looks of `evertrain doctor` at one installation, up or down, there or not yet.

No look hides another: where something cannot be read, that is a finding, and the others are still made. Nothing is
written and no process is asked.
"""

from collections.abc import Iterator
from pathlib import Path

import psutil

from evertrain.config.settings import Settings
from evertrain.core.event import Event
from evertrain.data.damage import DAMAGES, Damages
from evertrain.errors import EvertrainError
from evertrain.process.examination.condition import (
    look_at_clock,
    look_at_leftovers,
    look_at_libraries,
    look_at_permissions,
    look_at_processes,
    look_at_sockets,
)
from evertrain.process.examination.finding import Finding, fault, fine, watch
from evertrain.process.examination.lodging import look_at_environments
from evertrain.process.examination.machine import (
    limits_of,
    look_at_disk,
    look_at_handles,
    look_at_limits,
    look_at_ports,
)
from evertrain.store.clock import StoryClock, SystemClock, business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.process import alive, heartbeats
from evertrain.store.state import State

__all__ = ["examine"]

_RECENT = 500
_SHARED = frozenset({"nfs", "nfs4", "cifs", "smbfs", "smb3", "fuse.sshfs", "9p"})


def examine(settings: Settings) -> tuple[Finding, ...]:
    """Everything that was found, look by look."""
    path = Path(settings.dir).absolute()
    return tuple(_examine(path, settings))


def _examine(path: Path, settings: Settings) -> Iterator[Finding]:
    state = None
    if not path.exists():
        yield fine("state", f"{path} is not there yet; `evertrain up` makes it.")
    else:
        try:
            state = State.open(path)
        except EvertrainError as error:
            yield fault("state", error.what, why="Nothing can be started from it.", remedy=error.remedy)
        else:
            yield fine("state", f"{path} is a state directory of this version.")
    beats = [] if state is None else heartbeats(state)
    living = [one for one in beats if alive(one)]
    own = {one.pid for one in living}
    yield from look_at_ports(settings, own, up=any(one.role == "supervisor" for one in living))
    yield look_at_disk(path, settings)
    yield _file_system(path)
    yield from look_at_limits(settings, limits_of(), own)
    yield look_at_handles(settings)
    if state is not None:
        yield from look_at_permissions(state)
        yield from _ledger(state)
        yield from look_at_processes(beats)
        yield look_at_leftovers(state)
        yield from look_at_sockets(state)
        yield from look_at_libraries(state)
        yield from look_at_environments(state)


def _file_system(path: Path) -> Finding:
    """Whether locks and the write-ahead log can be trusted where the state lies."""
    place = next(folder for folder in (path, *path.parents) if folder.exists()).resolve()
    mounts = [part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)]
    kind = max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"
    if kind in _SHARED:
        return watch(
            "file system",
            f"{place} lies on {kind}, over a network.",
            why="The ledger and the leases rely on locks, which such file systems do not always keep.",
            remedy="Keep the state on a local disk: set dir, or --dir.",
        )
    return fine("file system", f"{place} lies on {kind}.")


def _log(damages: Damages) -> Iterator[Finding]:
    for gap in damages.open:
        yield fault(
            "prediction log",
            gap.says,
            why="Everything else in the log is read. What is lost is in no table, and nothing is judged by it.",
            remedy=f"Restore serving/log/{gap.file} from a backup: what it brings back is taken in by itself, once.",
        )
    if not damages.open:
        yield fine("prediction log", "No damage was met in it.")


def _ledger(state: State) -> Iterator[Finding]:
    newest: list[Event] = []
    if not state.ledger.exists():
        yield fault(
            "ledger", f"There is no ledger at {state.ledger}.", why="It is what everything recovers from.",
            remedy="Restore it from a backup; if nothing was ever in it, `evertrain up` makes it.",
        )  # fmt: skip
    else:
        try:
            with Ledger.open(state.ledger) as ledger:
                count, newest = ledger.count(), ledger.last(limit=_RECENT)
                damages = Damages(ledger.read(kinds=DAMAGES))
        except EvertrainError as error:
            yield fault("ledger", error.what, why="It is what everything recovers from.", remedy=error.remedy)
        else:
            yield fine("ledger", f"It holds {count:,} events; `evertrain ledger verify` proves them.")
            yield from _log(damages)
    if isinstance(business_clock(state.clock), StoryClock):
        yield fine("clock", "A story's clock rules here.")
    else:
        yield from look_at_clock(newest, sorted(state.processes.glob("*.json")), SystemClock().now())
