"""Where the loop's work runs: a trainer in the environment that its declaration names; who is waited for."""

from pathlib import Path

import msgspec
import pytest

from evertrain.config.settings import Settings
from evertrain.control.planes import Done, Running
from evertrain.core.pool import FIRST, Pool
from evertrain.core.registry import Registry
from evertrain.core.routing import RoutingTable
from evertrain.core.stage import Assembled, StageTask, Train, Trained
from evertrain.model.package import environment_of
from evertrain.process.steering.planes import InstalledPlanes
from evertrain.store.clock import business_clock
from evertrain.store.process import beat, heartbeat_of
from evertrain.store.routing import RoutingFile
from evertrain.testing.installation import Installation
from evertrain.testing.older import LOCK, Older
from evertrain.testing.shop import DECLARATION, Shop
from evertrain.testing.tree import wait_until

DECLARED = DECLARATION.replace('"late-orders",', '"late-orders",\n    environment="requirements.lock",')


def done(planes: InstalledPlanes, name: str, task: StageTask) -> bytes:
    planes.submit(name, task, memory_mb=4096, timeout_s=400)
    wait_until(lambda: not isinstance(planes.poll(name), Running), name, 420)
    outcome = planes.poll(name)
    assert isinstance(outcome, Done), outcome
    return outcome.result


def test_a_declared_lock_is_what_its_versions_are_trained_with_and_say_they_run_in(
    older: Older, tmp_path: Path
) -> None:
    shop = Shop(tmp_path, text=DECLARED, beside={"requirements.lock": LOCK})
    lock = older.lend(shop.state)
    assert shop.spec.runs_in == lock
    planes = InstalledPlanes(shop.state, business_clock(shop.state.clock), Registry(), Settings(trainer_nice=0))
    work = msgspec.json.decode(done(planes, "assemble", shop.assembling()), type=Assembled)
    task = Train(service=shop.spec.name, cycle=shop.assembling().cycle, assembled=work)
    made = msgspec.json.decode(done(planes, "train", task), type=Trained)
    manifest = shop.artifacts.manifest(made.version)
    assert manifest.runs_in == lock
    assert manifest.environment["lightgbm"] == "4.6.0"
    assert environment_of("lightgbm")["lightgbm"] != "4.6.0"
    bundle = (tmp_path / "project" / "requirements.lock").read_text()
    assert shop.artifacts.blobs.get(shop.bundle).find(bundle.encode()) > 0


def follows(tmp_path: Path, *, answering: int, standing_by: int) -> bool:
    """Whether table 7 is obeyed, when the workers of both pools say that they obey these."""
    state = Installation(tmp_path / "state").state
    table = RoutingTable(generation=7, routes={}, pools=(FIRST, Pool(number=1)), accepting=0)
    RoutingFile(state.routing).publish(table)
    for name, pool, generation in (("w0", 0, answering), ("w1", 1, standing_by)):
        beat(state, msgspec.structs.replace(heartbeat_of(name, "worker"), pool=pool, generation=generation))
    return InstalledPlanes(state, business_clock(state.clock), Registry(), Settings()).followed(7)


@pytest.mark.parametrize(
    ("answering", "standing_by", "expected"), [(7, 7, True), (7, 6, False), (6, 7, False), (0, 7, False), (7, 0, True)]
)
def test_a_worker_that_stands_by_and_never_obeyed_anything_is_not_waited_for(
    tmp_path: Path, answering: int, standing_by: int, *, expected: bool
) -> None:
    """It was started again after its version was refused, and cannot load it: its pool is to be ended all the same."""
    assert follows(tmp_path, answering=answering, standing_by=standing_by) is expected
