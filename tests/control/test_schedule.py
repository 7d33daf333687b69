"""Triggers that name a recipe have runs of their own: another recipe's run moves none of their clocks."""

import itertools
from collections import Counter

import msgspec

from evertrain.core.event import TriggerDecided
from evertrain.core.policy import RowsTrigger, ScheduleTrigger
from evertrain.core.time import DAY
from evertrain.testing.simulation import World, simulated_service


def begun(world: World) -> list[TriggerDecided]:
    facts = [event.fact for event in world.journal.read() if isinstance(event.fact, TriggerDecided)]
    return [fact for fact in facts if fact.decision == "run"]


def test_a_frequent_run_by_one_recipe_does_not_put_off_a_rare_one_by_another() -> None:
    spec = simulated_service()
    [recipe] = spec.recipes.values()
    frequent, rare = (ScheduleTrigger(every=days * DAY, recipe=name) for days, name in ((2, "fast"), (7, "deep")))
    spec = msgspec.structs.replace(
        spec, recipes={"deep": recipe, "fast": recipe}, triggers=(frequent, rare), cooldown=DAY
    )
    world = World(seed=3, spec=spec)
    world.run(60)
    first, *later = begun(world)
    assert (first.trigger, first.recipe) == ("first", "default")
    counted = Counter((one.trigger, one.recipe) for one in later)
    assert {*counted} == {("schedule every 2d by fast", "fast"), ("schedule every 7d by deep", "deep")}
    assert min(counted.values()) >= 4
    deep = [event.at for event in world.journal.read() if event.fact in later and event.fact.recipe == "deep"]
    assert all(after - before >= 7 * DAY for before, after in itertools.pairwise(deep))


def test_a_run_of_all_recipes_is_one_of_each() -> None:
    spec = simulated_service()
    [recipe] = spec.recipes.values()
    every, some = RowsTrigger(rows=5_000), RowsTrigger(rows=6_000, recipe="fast")
    spec = msgspec.structs.replace(spec, recipes={"deep": recipe, "fast": recipe}, triggers=(every, some))
    world = World(seed=3, spec=spec)
    world.run(30)
    assert {one.trigger for one in begun(world)} == {"first", "rows 5000"}
