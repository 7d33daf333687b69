"""The environments that something needs now: also one that no version has yet, but a training that is under way."""

from pathlib import Path

from evertrain.config.declaration import LockSpec, ServiceSpec
from evertrain.core import event as facts
from evertrain.core.identity import CycleId, canonical
from evertrain.core.routing import RoutingTable
from evertrain.process.view.lodging import look_at_environments
from evertrain.testing.installation import SHOP, SHOP_SCHEMA
from evertrain.testing.record import ShopRecord


def test_a_training_that_is_under_way_names_the_environment_that_is_built_for_it(tmp_path: Path) -> None:
    record = ShopRecord(tmp_path)
    blobs = record.installation.artifacts.blobs
    lock = blobs.put(b"lightgbm==4.6.0\n")
    spec = ServiceSpec(name=SHOP, inputs=SHOP_SCHEMA, environment=LockSpec(name="requirements.lock", content=lock))
    record.tell(
        "The first training begins.",
        facts.ServiceDeclared(service=SHOP, declaration=blobs.put(canonical(spec)), bundle=None),
        facts.TriggerDecided(service=SHOP, trigger="first", decision="run", cycle=CycleId("shop/c1")),
    )
    [found] = look_at_environments(
        record.state, {SHOP: record.stands}, record.installation.artifacts, RoutingTable(generation=0, routes={})
    )
    assert found.who == ("the training of shop",)
    assert (found.standing.lock, found.says) == (lock, "not built yet")
