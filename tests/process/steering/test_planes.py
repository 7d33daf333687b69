"""Where the loop's work runs: a trainer in the environment that its declaration names."""

from pathlib import Path

import msgspec

from evertrain.config.settings import Settings
from evertrain.control.planes import Done, Running
from evertrain.core.registry import Registry
from evertrain.core.stage import Assembled, StageTask, Train, Trained
from evertrain.model.package import environment_of
from evertrain.process.steering.planes import InstalledPlanes
from evertrain.store.clock import business_clock
from evertrain.testing.older import LOCK, Older
from evertrain.testing.shop import DECLARATION, Shop
from evertrain.testing.tree import wait_until

DECLARED = DECLARATION.replace('"late-orders",', '"late-orders",\n    environment="requirements.lock",')


def done(planes: InstalledPlanes, name: str, task: StageTask) -> bytes:
    planes.submit(name, task, memory_mb=4096, timeout_s=120)
    wait_until(lambda: not isinstance(planes.poll(name), Running), name, 120)
    outcome = planes.poll(name)
    assert isinstance(outcome, Done), outcome
    return outcome.result


def test_a_declared_lock_is_what_its_versions_are_trained_with_and_say_they_run_in(
    older: Older, tmp_path: Path
) -> None:
    shop = Shop(tmp_path, text=DECLARED, beside={"requirements.lock": LOCK})
    lock = older.lend(shop.state)
    assert shop.spec.runs_in == lock
    planes = InstalledPlanes(shop.state, business_clock(shop.state.clock), Registry(), Settings())
    work = msgspec.json.decode(done(planes, "assemble", shop.assembling()), type=Assembled)
    task = Train(service=shop.spec.name, cycle=shop.assembling().cycle, assembled=work)
    made = msgspec.json.decode(done(planes, "train", task), type=Trained)
    manifest = shop.artifacts.manifest(made.version)
    assert manifest.runs_in == lock
    assert manifest.environment["lightgbm"] == "4.6.0"
    assert environment_of("lightgbm")["lightgbm"] != "4.6.0"
    bundle = (tmp_path / "project" / "requirements.lock").read_text()
    assert shop.artifacts.blobs.get(shop.bundle).find(bundle.encode()) > 0
