"""Several recipes in one cycle: each is rehearsed, the best is trained, and the ledger says why."""

import msgspec

from evertrain.config.declaration import FunctionRef, TrainingSpec
from evertrain.core.event import CycleMoved, StageFinished, VersionBuilt
from evertrain.core.registry import Registry
from evertrain.testing.simulation import SERVICE, Faults, World, simulated_service


def competing(*names: str, crash: str = "") -> World:
    recipe = TrainingSpec(train=FunctionRef(module="recipe", name="train"))
    spec = msgspec.structs.replace(simulated_service(), recipes=dict.fromkeys(names, recipe))
    world = World(seed=1, faults=Faults(), spec=spec)
    world.planes.crashing = crash
    world.run(2)
    return world


def told(world: World) -> list[str]:
    return [event.reason for event in world.journal.read() if isinstance(event.fact, CycleMoved)]


def test_every_recipe_is_rehearsed_and_the_best_is_built() -> None:
    world = competing("gbm", "linear")
    stages = [event.fact.stage for event in world.journal.read() if isinstance(event.fact, StageFinished)]
    assert stages[:5] == ["snapshot", "assemble", "rehearse-gbm", "rehearse-linear", "train"]
    built = next(event.fact for event in world.journal.read() if isinstance(event.fact, VersionBuilt))
    assert built.recipe == "linear"
    assert Registry(world.journal.read()).service(SERVICE).versions[built.version].recipe == "linear"
    assert any("linear had the best log_loss on 100 newer training rows" in reason for reason in told(world))


def test_one_recipe_is_not_rehearsed() -> None:
    stages = [event.fact.stage for event in competing("gbm").journal.read() if isinstance(event.fact, StageFinished)]
    assert not [stage for stage in stages if stage.startswith("rehearse")]


def test_a_recipe_that_crashes_is_out_and_the_others_go_on() -> None:
    world = competing("gbm", "linear", crash="rehearse-linear")
    built = next(event.fact for event in world.journal.read() if isinstance(event.fact, VersionBuilt))
    assert built.recipe == "gbm"
    assert any("linear is out: a planted crash" in reason for reason in told(world))


def test_a_cycle_whose_every_recipe_crashes_fails_with_each_cause() -> None:
    world = competing("gbm", "linear", crash="rehearse-")
    assert any(reason.startswith("No recipe can be trained. gbm is out") for reason in told(world))
