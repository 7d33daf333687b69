"""The routing table as a function of what the ledger says: publish it when the workers' table differs."""

import msgspec

from evertrain.config.declaration import ServiceSpec
from evertrain.control.lodging import entry_for
from evertrain.control.planes import Planes
from evertrain.control.step import NOTHING, Step
from evertrain.core import event as facts
from evertrain.core.event import Draft
from evertrain.core.identity import Digest, VersionId, digest_of, short
from evertrain.core.pool import FIRST, Pools
from evertrain.core.registry import Rollout, ServiceRecord
from evertrain.core.rollout import RolloutState
from evertrain.core.routing import Arm, Route, RoutingTable
from evertrain.core.time import Instant

__all__ = ["STORY_DEADLINE_S", "desired_route", "route_step"]

STORY_DEADLINE_S = 30.0
"""A candidate's deadline on a story's clock, where wall time decides nothing."""


def desired_route(
    record: ServiceRecord, spec: ServiceSpec, *, paced: bool, entering: bool, standby: VersionId | None = None
) -> Route:
    """How the service is to be answered now.

    entering: the open rollout has earned its promotion, so every worker that answers prepares its version. standby:
    the version that they hold beside the champion, so that a revert is one flip.
    """
    rollout = record.open_rollout
    first = rollout is not None and rollout.champion is None
    mirrors = rollout is not None and not first and _is_in_shadow(rollout)
    steps = rollout is not None and not first and rollout.state in (RolloutState.PREPARING, RolloutState.STEPPING)
    arms = steps and not mirrors
    prepare = (rollout.version,) if rollout is not None and entering else ()
    deadline = STORY_DEADLINE_S if paced else spec.rollout.deadline_s
    return Route(
        service=record.service,
        champion=record.champion,
        previous=standby,
        prepare=prepare,
        rollout=rollout.rollout if rollout is not None and (arms or mirrors) else None,
        canary=_arm(rollout.version, rollout.share, deadline) if rollout is not None and arms else None,
        control=_arm(record.champion, _beside(rollout), deadline) if rollout is not None and arms else None,
        shadow=_shadow(rollout, deadline) if rollout is not None and mirrors else None,
        reference=record.anchor if spec.label is not None else None,
        salt=rollout.rollout if rollout is not None and (arms or mirrors) else "",
        refused=tuple(record.refusals),
        enabled=record.enabled,
        notice=record.notice,
        observed=spec.watched is not None,
        output=spec.output if spec.watched is not None else None,
        certain=spec.label.mature_at if spec.label is not None else None,
        personal=spec.hidden,
    )


def _arm(version: VersionId | None, share: float, deadline: float) -> Arm | None:
    return None if version is None else Arm(version=version, share=share, deadline_s=deadline)


def _beside(rollout: Rollout) -> float:
    """The share of the control arm: the canary's, or what that leaves."""
    return min(rollout.share, 1.0 - rollout.share)


def _is_in_shadow(rollout: Rollout) -> bool:
    """Whether its version is in shadow, or made ready for it."""
    begins = rollout.state is RolloutState.PREPARING and rollout.shadow is not None
    return begins or rollout.state is RolloutState.SHADOWING


def _shadow(rollout: Rollout, deadline: float) -> Arm | None:
    """What it sees; nothing before its process is warm."""
    if rollout.shadow is None:
        return None
    share = rollout.shadow.share if rollout.state is RolloutState.SHADOWING else 0.0
    return Arm(version=rollout.version, share=share, deadline_s=deadline)


def route_step(planes: Planes, record: ServiceRecord, spec: ServiceSpec, now: Instant, *, entering: bool) -> Step:
    """Publish the route when it changed, and await the workers that do not follow yet.

    The change is recorded first. After a crash between the two the file still differs, and is published then.
    """
    table = planes.routing()
    standby = _standby(planes, record, spec)
    route = desired_route(record, spec, paced=planes.paced(), entering=entering, standby=standby)
    wanted = _table_with(table, route, record.pools)
    standing = table.routes.get(record.service)
    if wanted == table:
        nobody = route.champion is None and not route.prepare
        if nobody or planes.followed(table.generation):
            return NOTHING
        return Step(awaiting=f"{record.service}: the workers take over routing table {table.generation}")
    mark = _mark_of(wanted, route)
    if record.routed == mark:
        generation = max(table.generation + 1, record.generation)
        planes.publish(msgspec.structs.replace(wanted, generation=generation))
        return Step(awaiting=f"{record.service}: the workers take over routing table {generation}")
    # What was recorded last may never have been published; its number is not given again.
    generation = max(table.generation, record.generation) + 1
    changed = facts.RoutingChanged(
        service=record.service,
        generation=generation,
        route=mark,
        champion=route.champion,
        canary=route.canary.version if route.canary else None,
        share=route.canary.share if route.canary else 0.0,
        pool=wanted.accepting,
        before=standing.champion if standing else None,
    )
    draft = Draft(
        id=f"routing:{record.service}:{generation}:{short(changed.route)}",
        at=now,
        actor="controller",
        subject=f"service/{record.service}",
        reason=_say(route) + _say_pools(wanted),
        fact=changed,
    )
    return Step(drafts=(draft,))


def _standby(planes: Planes, record: ServiceRecord, spec: ServiceSpec) -> VersionId | None:
    """The version before, where the workers that answer can hold it and no others are kept for it."""
    before = record.previous
    if before is None or before == record.champion or record.pools.held_by_other(record.service) == before:
        return None
    way = entry_for(planes, record, spec, before)
    return None if way.by_pool and not spec.rollout.by_pool else before


def _table_with(table: RoutingTable, route: Route, pools: Pools) -> RoutingTable:
    """The table with another route. Pools are moved together with the route of the service that they are moved for."""
    routes = {**table.routes, route.service: route}
    if pools.owner != route.service:
        return msgspec.structs.replace(table, routes=routes)
    return RoutingTable(
        generation=table.generation, routes=routes, pools=pools.standing, accepting=pools.accepting.number
    )


def _mark_of(table: RoutingTable, route: Route) -> Digest:
    """What tells this table from the one before, for the ledger."""
    if table.pools == (FIRST,):
        return digest_of(route)
    return digest_of((route, table.pools, table.accepting))


def _say_pools(table: RoutingTable) -> str:
    if len(table.pools) == 1:
        return ""
    other = next(pool.number for pool in table.pools if pool.number != table.accepting)
    return f" Pool {table.accepting} takes all connections; pool {other} is kept warm beside it."


def _say(route: Route) -> str:
    if not route.enabled:
        return f"Nothing answers. {route.notice}"
    if route.observed:
        return "Somebody else answers; what was answered is taken and watched."
    if route.champion is None:
        return "The first version is being prepared." if route.prepare else "Nothing answers yet."
    text = f"Version {short(route.champion)} answers"
    if route.shadow is not None:
        return f"{text} everything; version {short(route.shadow.version)} sees {route.shadow.share:.0%} in shadow."
    if route.canary is None:
        return f"{text} everything."
    return f"{text}; its canary {short(route.canary.version)} gets {route.canary.share:.0%}."
