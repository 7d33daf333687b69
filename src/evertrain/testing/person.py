"""A person before the simulated loop: what stands on record, and what comes of an order."""

from typing import NamedTuple

from evertrain.core.event import Draft, OrderAnswered, OrderGiven
from evertrain.core.identity import VersionId, digest_of
from evertrain.core.order import Verb
from evertrain.core.registry import Registry, ServiceRecord
from evertrain.testing.simulation import SERVICE, World

__all__ = ["Answer", "order", "record_of"]


class Answer(NamedTuple):
    """What the loop said to an order."""

    accepted: bool
    reason: str


def record_of(world: World) -> ServiceRecord:
    """The service as the journal tells it."""
    return Registry(world.journal.read()).service(SERVICE)


def order(
    world: World, verb: Verb, version: VersionId | None = None, *, recipe: str = "default", shadow: bool = False
) -> Answer:
    """Give an order and let the loop look once."""
    fact = OrderGiven(
        service=SERVICE,
        verb=verb,
        role="operator",
        words=digest_of("why"),
        version=version,
        recipe=recipe,
        shadow=shadow,
    )
    [given] = world.journal.append(
        Draft(
            id=f"order:{len(world.journal.events)}",
            at=world.planes.now,
            actor="person",
            subject=f"service/{SERVICE}",
            reason="A person asks.",
            fact=fact,
        )
    )
    world.tick(world.planes.now)
    [answer] = [
        Answer(event.fact.accepted, event.reason)
        for event in world.journal.read()
        if isinstance(event.fact, OrderAnswered) and event.fact.order == given.sequence
    ]
    return answer
