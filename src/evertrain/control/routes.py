"""The routing table as a function of what the ledger says: publish it when the workers' table differs."""

from evertrain.config.declaration import ServiceSpec
from evertrain.control.planes import Planes
from evertrain.control.step import NOTHING, Step
from evertrain.core import event as facts
from evertrain.core.event import Draft
from evertrain.core.identity import VersionId, digest_of, short
from evertrain.core.registry import Rollout, ServiceRecord
from evertrain.core.rollout import RolloutState
from evertrain.core.routing import Arm, Route, RoutingTable
from evertrain.core.time import Instant

__all__ = ["STORY_DEADLINE_S", "desired_route", "route_step"]

STORY_DEADLINE_S = 30.0
"""A candidate's deadline on a story's clock, where wall time decides nothing."""


def desired_route(record: ServiceRecord, spec: ServiceSpec, *, paced: bool, entering: bool) -> Route:
    """How the service is to be answered now.

    entering: the open rollout has earned its promotion, so every worker prepares its version.
    """
    rollout = record.open_rollout
    previous = record.previous
    if previous is not None and (record.versions[previous].refused or previous == record.champion):
        previous = None
    first = rollout is not None and rollout.champion is None
    mirrors = rollout is not None and not first and _is_in_shadow(rollout)
    steps = rollout is not None and not first and rollout.state in (RolloutState.PREPARING, RolloutState.STEPPING)
    arms = steps and not mirrors
    prepare = (rollout.version,) if rollout is not None and (entering or first) else ()
    deadline = STORY_DEADLINE_S if paced else spec.rollout.deadline_s
    return Route(
        service=record.service,
        champion=record.champion,
        previous=previous,
        prepare=prepare,
        rollout=rollout.rollout if rollout is not None and (arms or mirrors) else None,
        canary=_arm(rollout, rollout.version, deadline) if rollout is not None and arms else None,
        control=_arm(rollout, record.champion, deadline) if rollout is not None and arms else None,
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


def _arm(rollout: Rollout, version: VersionId | None, deadline: float) -> Arm | None:
    if version is None:
        return None
    # The control arm gets the canary's share, as long as both fit beside the rest.
    return Arm(version=version, share=min(rollout.share, 0.5), deadline_s=deadline)


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
    wanted = desired_route(record, spec, paced=planes.paced(), entering=entering)
    standing = table.routes.get(record.service)
    if standing == wanted:
        nobody = wanted.champion is None and not wanted.prepare
        if nobody or planes.followed(table.generation):
            return NOTHING
        return Step(awaiting=f"{record.service}: the workers take over routing table {table.generation}")
    generation = table.generation + 1
    if record.routed == digest_of(wanted):
        planes.publish(RoutingTable(generation=generation, routes={**table.routes, record.service: wanted}))
        return Step(awaiting=f"{record.service}: the workers take over routing table {generation}")
    changed = facts.RoutingChanged(
        service=record.service,
        generation=generation,
        route=digest_of(wanted),
        champion=wanted.champion,
        canary=wanted.canary.version if wanted.canary else None,
        share=wanted.canary.share if wanted.canary else 0.0,
        before=standing.champion if standing else None,
    )
    draft = Draft(
        id=f"routing:{record.service}:{generation}:{short(changed.route)}",
        at=now,
        actor="controller",
        subject=f"service/{record.service}",
        reason=_say(wanted),
        fact=changed,
    )
    return Step(drafts=(draft,))


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
