"""Two pools of workers under load: switches there and back, and SIGKILL in between, fail and mix nothing."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from evertrain.testing.arrivals import FAILED, MIXED, Plan
from evertrain.testing.installation import SHOP, Installation
from evertrain.testing.pooling import PoolSwapper
from evertrain.testing.swapping import Models, arriving
from evertrain.testing.tree import Customer, Tree, wait_until

PATH = f"/predict/{SHOP}"
PER_S = 150.0


class Scene:
    """A tree of two workers a pool, two versions, and questions for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.models, self.installation = Models(folder), Installation(folder / "state")
        self.versions = self.models.versions(self.installation, 2)
        self.swapper = PoolSwapper(self.installation, self.versions)
        self.questions = self.models.questions(20)
        self.tree = Tree(self.installation.state)

    def plan(self) -> Plan:
        return Plan(
            port=self.tree.port,
            path=PATH,
            connections=16,
            per_s=PER_S,
            questions=self.questions,
            versions={version: (place, place) for place, version in enumerate(self.versions)},
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("pools"))
    with made.tree as tree:
        tree.up()
        yield made


def test_switches_under_load_fail_nothing_mix_nothing_and_leave_no_old_answer(scene: Scene) -> None:
    swapper = scene.swapper
    with arriving(scene.folder / "load", scene.plan()) as arrived:
        swaps = [swapper.load(1), swapper.revert(), swapper.revert()]
        standby = next(one for one in swapper.workers(0))
        scene.tree.kill(standby.name)  # nobody is connected to it
        scene.tree.wait_for(standby.name, other_than=standby)
        swaps += [swapper.revert(), swapper.load(1), swapper.revert()]
    requests, outcomes = arrived.requests, arrived.requests["outcome"]
    assert len(requests) > 50
    assert np.count_nonzero((outcomes == FAILED) | (outcomes == MIXED)) == 0, arrived.ending.failures
    ends = [*(swap.committed for swap in swaps[1:]), int(requests["done"].max()) + 1]
    for swap, end in zip(swaps, ends, strict=True):
        asked_after = requests[(requests["sent"] > swap.done) & (requests["done"] < end)]
        assert set(asked_after["outcome"].tolist()) <= {swap.after}


def test_whoever_is_killed_the_next_supervisor_has_both_pools_and_the_way_back(scene: Scene) -> None:
    swapper, tree = scene.swapper, scene.tree
    customers = [Customer(tree.port, PATH, msgspec.json.decode(scene.questions[0].body), insists=True) for _ in "abcd"]
    for customer in customers:
        customer.start()
    tree.kill_supervisor()
    orphans = {one.pid for pool in swapper.pools for one in swapper.workers(pool.number)}
    tree.up()
    wait_until(
        lambda: (
            not orphans & {one.pid for one in tree.living().values()}
            and all(len(swapper.workers(pool.number)) == 2 for pool in swapper.pools)
        ),
        "workers of its own in both pools",
    )
    swapper.revert()
    killed = next(one for one in swapper.workers(swapper.accepting))
    tree.kill(killed.name)
    tree.wait_for(killed.name, other_than=killed)
    swapper.revert()
    champion = scene.versions[swapper.champion]
    for customer in customers:
        before = len(customer.answers)
        wait_until(lambda: len(customer.answers) > before + 2, "an answer after the switch")  # noqa: B023
        customer.stop()
        assert customer.failures == []
        assert customer.lost <= 1
        assert customer.answers[-1]["predictions"][0]["version"] == champion
