"""What status and page say of the pools: nothing of one alone, and of two which is which."""

from pathlib import Path

import msgspec

from evertrain.core import event as facts
from evertrain.core.identity import RolloutId
from evertrain.core.pool import FIRST, Pool, PoolMember
from evertrain.core.registry import Registry
from evertrain.core.routing import Route, RoutingTable
from evertrain.process.view.pools import show_pools, standby_of
from evertrain.store.ledger import Ledger
from evertrain.store.process import heartbeat_of
from evertrain.testing.installation import SHOP
from evertrain.testing.record import ShopRecord
from evertrain.web.wording import say_pool


def registry_of(record: ShopRecord) -> Registry:
    with Ledger.open(record.state.ledger) as ledger:
        return Registry(ledger.read())


def test_of_two_pools_it_is_said_which_accepts_and_what_the_other_is_for(tmp_path: Path) -> None:
    record = ShopRecord.with_two_versions(tmp_path)
    third = record.build("def predict(rows):\n    return [0.75 for _ in rows]\n")
    routes = {SHOP: Route(service=SHOP, champion=record.versions[1])}
    alone = RoutingTable(generation=1, routes=routes)
    registry = registry_of(record)
    assert show_pools(alone, registry.pools, registry.services, ()) == ()

    rollout = RolloutId(f"{SHOP}/r3")
    record.tell(
        "It enters by new workers.",
        facts.RolloutBegun(service=SHOP, rollout=rollout, version=third, champion=None, steps=(1.0,), cycle=None),
        facts.PoolOpened(service=SHOP, rollout=rollout, version=third, pool=1, environment="abc", back=60_000_000),
    )
    registry = registry_of(record)
    green = Pool(number=1, environment="abc", own=PoolMember(service=SHOP, version=third))
    table = msgspec.structs.replace(alone, pools=(FIRST, green))
    up = msgspec.structs.replace(heartbeat_of("w0", "worker"), pool=0)
    coming = msgspec.structs.replace(up, pool=1, starting=True)
    assert [say_pool(one) for one in show_pools(table, registry.pools, registry.services, (up, coming))] == [
        "pool 0 takes all connections; 1 worker up",
        "pool 1 comes up for version 3 of shop; 0 workers up, in environment abc",
    ]
    assert standby_of(registry.service(SHOP)) is None

    moves = (
        ("prepare", "pending", "preparing"),
        ("start", "preparing", "stepping"),
        ("promote", "stepping", "promoted"),
    )
    record.tell(
        "It answers.",
        *(
            facts.RolloutMoved(
                service=SHOP, rollout=rollout, version=third, move=move, before=before, after=after, step=0, share=1.0
            )
            for move, before, after in moves
        ),
    )
    registry = registry_of(record)
    pools = registry.pools
    table = msgspec.structs.replace(table, pools=pools.standing, accepting=pools.accepting.number)
    blue, green_now = (say_pool(one) for one in show_pools(table, pools, registry.services, (up,)))
    assert blue.startswith("pool 0 stands by with version 2 of shop until ")
    assert green_now == "pool 1 takes all connections; 0 workers up, in environment abc"
    assert standby_of(registry.service(SHOP)) == record.versions[1]
