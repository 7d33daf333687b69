"""The newest work that came to nothing, where somebody waits for what it was to bring."""

from pathlib import Path

import msgspec

from evertrain.control.schedule import ORDER
from evertrain.core.cycle import CycleState
from evertrain.core.registry import Cycle, ServiceRecord
from evertrain.core.time import Instant

__all__ = ["Fruitless", "fruitless_of"]


class Fruitless(msgspec.Struct, frozen=True, kw_only=True):
    """How the newest cycle ended, where it brought nothing. log: the file of what its last task printed.

    again: the number of the version that it made once more, which had been refused or taken back.
    """

    cycle: str
    state: str
    at: Instant
    why: str
    log: str = ""
    pushed: bool = False
    again: int | None = None


def fruitless_of(record: ServiceRecord, tasks: Path) -> Fruitless | None:
    """The newest cycle, if it failed, made a refused version again, or left a service without a version."""
    newest = record.cycles.get(record.newest_cycle) if record.newest_cycle is not None else None
    if newest is None or newest.open:
        return None
    again = None if record.champion is None else _made_again(record, newest)
    if newest.state is not CycleState.FAILED and record.champion is not None and again is None:
        return None
    logs = list(tasks.glob(f"{newest.cycle.replace('/', '-')}-*/stderr.log"))
    return Fruitless(
        cycle=newest.cycle,
        state=newest.state.replace("_", " "),
        at=newest.since,
        why=newest.why,
        log=str(max(logs, key=lambda log: log.stat().st_mtime_ns)) if logs else "",
        pushed=newest.kind == "external",
        again=again,
    )


def _made_again(record: ServiceRecord, cycle: Cycle) -> int | None:
    """The number of the refused version that an ordered training gave once more, if that is what ended it.

    One that a schedule began changes nothing either, and nobody waits for it.
    """
    if cycle.state is not CycleState.NO_OP or cycle.trigger != ORDER or cycle.version is None:
        return None
    refusal = record.refusal_of(record.versions[cycle.version].fingerprint)
    made = None if refusal is None else record.versions.get(refusal.version)
    return None if made is None else made.ordinal
