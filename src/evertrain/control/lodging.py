"""How a version gets to the workers that are to answer with it: into those that answer, or with a pool of new ones."""

from typing import Literal

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.control.planes import Planes
from evertrain.control.review import back_to
from evertrain.control.step import NOTHING, Step
from evertrain.core import event as facts
from evertrain.core.event import Draft
from evertrain.core.identity import VersionId, short
from evertrain.core.pool import Entry, Lack, Pool, entry_of
from evertrain.core.registry import Rollout, ServiceRecord
from evertrain.core.time import DAY, MINUTE, Instant

__all__ = ["Lodged", "Lodging", "PoolDesk", "closed", "entry_for", "say_entry"]

_COMES_UP = 10 * MINUTE
"""So long new workers may take to start, to load and to warm up what is routed."""


class Lodged(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version stands with the workers. prepare: those that answer are to load it. failed: why they cannot."""

    state: Literal["held", "coming", "failed"]
    entry: Entry
    prepare: bool = False
    failed: str = ""
    step: Step = NOTHING


def entry_for(planes: Planes, record: ServiceRecord, spec: ServiceSpec, version: VersionId) -> Entry:
    """The way in of a version of this service, as things are now."""
    known = record.versions.get(version)
    return entry_of(
        environment=planes.manifest(version).runs_in,
        accepting=record.pools.accepting.environment,
        stall_ms=None if known is None else known.evidence.get("stall_ms"),
        declared=spec.rollout.by_pool,
        answering=record.champion is not None,
    )


def say_entry(begun: facts.RolloutBegun, *, first: bool) -> str:
    """How a version begins to enter."""
    if first:
        return "It is the first version."
    if begun.champion is None:
        return "It enters by new workers."
    return "It is put in shadow." if begun.shadow is not None else "It goes through its canary."


def closed(record: ServiceRecord, pool: Pool, now: Instant, reason: str) -> Draft:
    """The end of the pool that does not accept."""
    return _draft(
        record, f"pool:{pool.number}:closed", now, reason, facts.PoolClosed(service=record.service, pool=pool.number)
    )


class Lodging:
    """The workers of the version that a rollout brings, at one instant of business time."""

    def __init__(self, planes: Planes, record: ServiceRecord, spec: ServiceSpec, now: Instant) -> None:
        self._planes = planes
        self._record = record
        self._spec = spec
        self._now = now

    def of(self, rollout: Rollout) -> Lodged:
        """Where its version stands, and the step that brings it further."""
        entry = entry_for(self._planes, self._record, self._spec, rollout.version)
        other = self._record.pools.other
        comes = other is not None and self._record.pools.held_by_other(self._record.service) == rollout.version
        if other is not None and not (entry.by_pool and comes):
            gives_way = "It gives way to another version: there is no way back to it within seconds any more."
            step = Step(drafts=(closed(self._record, other, self._now, gives_way),))
            return Lodged(state="coming", entry=entry, step=step)
        if not entry.by_pool:
            return self._in_place(rollout, entry)
        return self._open(rollout, entry) if other is None else self._in_pool(rollout, entry, other)

    def _in_place(self, rollout: Rollout, entry: Entry) -> Lodged:
        held = self._planes.held(rollout.version, self._record.pools.accepting.number)
        state: Literal["held", "coming", "failed"] = "failed" if held.failed else "held" if held.ready else "coming"
        step = Step(awaiting=f"{rollout.rollout}: the workers load the version")
        return Lodged(state=state, entry=entry, prepare=True, failed=held.failed, step=step)

    def _in_pool(self, rollout: Rollout, entry: Entry, other: Pool) -> Lodged:
        held = self._planes.held(rollout.version, other.number)
        late = self._now - self._record.pools.opened > _COMES_UP
        failed = held.failed or ("its new workers do not come up" if late and not held.ready else "")
        if failed:
            gone = closed(self._record, other, self._now, f"Its workers cannot answer: {failed}")
            return Lodged(state="failed", entry=entry, failed=failed, step=Step(drafts=(gone,)))
        step = Step(awaiting=f"{rollout.rollout}: new workers come up")
        return Lodged(state="held" if held.ready else "coming", entry=entry, step=step)

    def _open(self, rollout: Rollout, entry: Entry) -> Lodged:
        """Start the new workers, if there is room for them and they can answer for all services."""
        lack = self._lack(rollout.version)
        if lack is not None:
            return Lodged(state="coming", entry=entry, step=self._hold(rollout, entry, *lack))
        number = self._record.pools.last + 1
        opened = facts.PoolOpened(
            service=self._record.service,
            rollout=rollout.rollout,
            version=rollout.version,
            pool=number,
            environment=self._planes.manifest(rollout.version).runs_in,
            back=self._spec.rollout.back,
        )
        ordinal = self._record.versions[rollout.version].ordinal
        reason = f"Version {ordinal} enters by new workers: {entry.reason}."
        step = Step(drafts=(_draft(self._record, f"pool:{number}:opened", self._now, reason, opened),))
        return Lodged(state="coming", entry=entry, step=step)

    def _lack(self, version: VersionId) -> tuple[Lack, str] | None:
        """What keeps a second pool from being started, and why."""
        environment = self._planes.manifest(version).runs_in
        for service, other in self._planes.environments(self._record.service).items():
            if other != environment:
                which = f"environment {short(other)}" if other else "the installation's own libraries"
                return "environment", f"the version of service {service} runs with {which}, and all share the workers"
        lack = self._planes.room_for_pool()
        return ("memory", lack) if lack else None

    def _hold(self, rollout: Rollout, entry: Entry, lack: Lack, why: str) -> Step:
        if lack in self._record.pools.lacks.get(rollout.rollout, ()):
            return Step(until=Instant(self._now + MINUTE))
        fact = facts.PoolHeld(service=self._record.service, rollout=rollout.rollout, version=rollout.version, lack=lack)
        reason = f"It would enter by new workers ({entry.reason}), which cannot be started: {why}."
        return Step(drafts=(_draft(self._record, f"pool-held:{rollout.rollout}:{lack}", self._now, reason, fact),))


class PoolDesk:
    """Ends the pool that does not accept, when its time is over or nobody needs it, and goes back to it in need."""

    def __init__(self, planes: Planes, record: ServiceRecord, spec: ServiceSpec, now: Instant) -> None:
        self._planes = planes
        self._record = record
        self._spec = spec
        self._now = now

    def step(self) -> Step:
        """Look at the pool that is kept for a version of this service."""
        pools = self._record.pools
        other = pools.other
        if other is None or other.own is None or other.own.service != self._record.service:
            return NOTHING
        if pools.until is None:
            rollout = self._record.open_rollout
            if rollout is not None and rollout.version == other.own.version:
                return NOTHING
            return self._close(other, "The rollout that it was started for has ended.")
        return self._standing_by(other, other.own.version, pools.until)

    def _standing_by(self, other: Pool, before: VersionId | None, until: Instant) -> Step:
        """The pool before: gone back to, ended when its time is over, or left as it is."""
        table = self._planes.routing()
        if table.accepting != self._record.pools.accepting.number or not self._planes.followed(table.generation):
            return NOTHING  # connections may still be with it
        if self._now >= until or before is None:
            return self._close(other, f"Nobody goes back to it: {self._why_over(before)}.")
        return self._back(other, before, until) or Step(until=until)

    def _why_over(self, before: VersionId | None) -> str:
        if before is None:
            return "nothing answered before"
        return "its version was taken back" if self._record.versions[before].refused else "its time is over"

    def _back(self, other: Pool, before: VersionId, until: Instant) -> Step | None:
        """Go back where the version that took over fails more requests, or ends more workers, than the one before."""
        champion, limit = self._record.champion, 1.0 / self._spec.rollout.alpha
        if champion is None or self._record.versions[champion].overruled:
            return None
        since = Instant(until - self._record.pools.back)
        pools = self._record.pools
        seen = self._planes.aftermath(self._record.service, champion, before, since).with_crashes(
            before=pools.crashes_of(other.number, Instant(since - DAY), since),
            after=pools.crashes_of(pools.accepting.number, since),
        )
        if seen.e_value < limit:
            return None
        words = f"{seen.says()}; e-value {seen.e_value:,.0f}, and {limit:,.0f} is enough."
        reverted, refused = back_to(self._record, champion, before, words, shown_by="Its requests show")
        name = f"aftermath:{champion}:{since}"
        return Step(
            drafts=(
                _draft(self._record, f"{name}:0", self._now, refused.because, reverted),
                _draft(self._record, f"{name}:1", self._now, refused.because, refused),
            )
        )

    def _close(self, pool: Pool, reason: str) -> Step:
        return Step(drafts=(closed(self._record, pool, self._now, reason),))


def _draft(record: ServiceRecord, name: str, now: Instant, reason: str, fact: facts.Fact) -> Draft:
    return Draft(id=name, at=now, actor="controller", subject=f"service/{record.service}", reason=reason, fact=fact)
