"""What a look at one thing comes to: events to record, something awaited, or a time to look again."""

import math
from collections.abc import Mapping

import msgspec

from evertrain.core.event import Draft, Fact, RolloutMoved
from evertrain.core.identity import ServiceName
from evertrain.core.record import Rollout
from evertrain.core.rollout import RolloutMove, advance
from evertrain.core.time import Instant

__all__ = ["NOTHING", "Step", "moved", "recorded"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of reconciling one thing once.

    drafts: facts to append, together or not at all; they change the state, so the loop looks again at once.
    awaiting: in words, what is under way now and must be waited for ("" when nothing is).
    until: nothing will happen before this instant of business time, as far as is known.
    """

    drafts: tuple[Draft, ...] = ()
    awaiting: str = ""
    until: Instant | None = None


NOTHING = Step()


def moved(
    service: ServiceName,
    rollout: Rollout,
    move: RolloutMove,
    figures: Mapping[str, float] | None = None,
    *,
    step: int | None = None,
    share: float = 0.0,
) -> RolloutMoved:
    """A move of a rollout as a fact; TransitionError where it is not legal. step: None leaves it where it is."""
    return RolloutMoved(
        service=service,
        rollout=rollout.rollout,
        version=rollout.version,
        move=move,
        before=rollout.state,
        after=advance(rollout.state, move, rollout.rollout),
        step=rollout.step if step is None else step,
        share=share,
        evidence={name: value for name, value in (figures or {}).items() if math.isfinite(value)},
    )


def recorded(stem: str, now: Instant, subject: str, reason: str, *told: Fact) -> Step:
    """What the controller puts on record, whole, for one reason. stem: what no other look at this state is called."""
    return Step(
        drafts=tuple(
            Draft(id=f"{stem}:{place}", at=now, actor="controller", subject=subject, reason=reason, fact=fact)
            for place, fact in enumerate(told)
        )
    )
