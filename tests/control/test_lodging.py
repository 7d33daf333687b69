"""How versions come to the workers: into those that answer, or with a second pool, and how long that one stands."""

import msgspec
import pytest

from evertrain.config.declaration import ServiceSpec
from evertrain.core.aftermath import Aftermath, Served
from evertrain.core.event import (
    ChampionReverted,
    Draft,
    OrderAnswered,
    PoolClosed,
    PoolHeld,
    PoolOpened,
    ProcessExited,
    RoutingChanged,
)
from evertrain.core.identity import ServiceName, digest_of
from evertrain.core.policy import CanarySpec
from evertrain.core.pool import Pool
from evertrain.core.registry import ServiceRecord
from evertrain.core.time import HOUR, Instant
from evertrain.testing.person import order, record_of
from evertrain.testing.simulation import SERVICE, World, simulated_service

LOCK = digest_of("a lock")


def blue_green(back: int = HOUR) -> ServiceSpec:
    rollout = CanarySpec(steps=(1.0,), by_pool=True, back=back)
    return msgspec.structs.replace(simulated_service(), rollout=rollout)


def told(world: World, kind: type[msgspec.Struct]) -> list[str]:
    return [event.reason for event in world.journal.read() if isinstance(event.fact, kind)]


def second(world: World) -> ServiceRecord:
    """Run until a second version answers."""
    while len(record_of(world).served) < 2:
        world.run(1)
    return record_of(world)


def settled(world: World) -> None:
    while record_of(world).open_rollout is not None or record_of(world).open_cycles:
        world.run(1)


def test_the_first_version_enters_the_workers_that_are_there_and_the_next_one_a_pool_of_its_own() -> None:
    world = World(seed=1, spec=blue_green())
    record = second(world)
    assert len(told(world, PoolOpened)) == 1
    assert "enters by new workers: it is declared so." in told(world, PoolOpened)[0]
    assert all(rollout.champion is None for rollout in record.rollouts.values())  # none of them had a canary
    assert record.pools.accepting.number == 1
    assert any("Pool 1 takes all connections; pool 0 is kept warm" in reason for reason in told(world, RoutingChanged))


def test_both_the_champion_and_who_takes_connections_change_in_one_table() -> None:
    world = World(seed=1, spec=blue_green(back=30 * 24 * HOUR))
    record = second(world)
    table = world.planes.table
    assert (table.accepting, [pool.number for pool in table.pools]) == (1, [0, 1])
    assert table.routes[SERVICE].champion == record.champion
    standby = table.pool(0)
    assert standby is not None
    assert standby.own is not None
    assert standby.own.version == record.previous == record.served[0]
    assert table.routes[SERVICE].previous is None  # the other pool has it


def test_a_version_that_fails_more_than_the_one_before_it_is_taken_back_while_that_one_stands_by() -> None:
    world = World(seed=1, spec=blue_green(back=30 * 24 * HOUR))
    before = second(world)
    first, bad = before.served[:2]
    fine = Served(answered=10_000, failed=10)
    world.planes.aftermaths[bad] = Aftermath(before=fine, after=Served(answered=1_000, failed=1))
    world.tick(world.planes.now)
    assert record_of(world).champion == bad
    world.planes.aftermaths[bad] = Aftermath(before=fine, after=Served(answered=1_000, failed=20))
    world.tick(world.planes.now)
    record = record_of(world)
    assert record.champion == world.planes.table.routes[SERVICE].champion == first
    assert world.planes.table.accepting == 0
    refused = record.versions[bad].refused
    assert "Its requests show that version 2 is worse than version 1" in refused
    assert "20 of 1,020 requests failed since the switch, and 10 of 10,010 of the version before it" in refused


def crash(world: World, number: int, pool: int, *, crashed: bool = True) -> None:
    fact = ProcessExited(
        process="w0",
        code=None,
        signal="SIGSEGV" if crashed else "SIGKILL",
        version=None,
        pool=pool,
        crashed=crashed,
    )
    at = Instant(world.planes.now + number)
    world.journal.append(
        Draft(id=f"exit:{number}", at=at, actor="supervisor", subject="process/w0", reason="It ended.", fact=fact)
    )


def test_a_version_that_ends_its_workers_is_taken_back_and_what_others_killed_speaks_against_nobody() -> None:
    world = World(seed=1, spec=blue_green(back=30 * 24 * HOUR))
    before = second(world)
    first, bad = before.served[:2]
    calm = Aftermath(before=Served(answered=10_000), after=Served(answered=50))
    world.planes.aftermaths[bad] = calm
    for number in range(1, 4):
        crash(world, number, 1, crashed=False)
        crash(world, 10 + number, 0)  # of those that stand by
    world.tick(world.planes.now)
    assert record_of(world).champion == bad
    crash(world, 20, 1)
    world.tick(world.planes.now)
    assert record_of(world).champion == bad  # once is chance
    crash(world, 21, 1)
    crash(world, 22, 1)
    world.tick(world.planes.now)
    record = record_of(world)
    assert record.champion == first
    assert world.planes.table.accepting == 0
    assert "3 workers crashed since, and 0 before" in record.versions[bad].refused


def test_a_first_version_that_runs_with_other_libraries_enters_with_workers_that_have_them() -> None:
    world = World(seed=1)
    world.planes.lock = LOCK
    while record_of(world).champion is None:
        world.run(1)
    assert record_of(world).pools.accepting == Pool(number=1, environment=LOCK)
    assert world.planes.table.accepting == 1


def test_a_rollback_within_the_window_goes_back_to_the_other_pool_and_ends_the_new_one() -> None:
    world = World(seed=1, spec=blue_green(back=30 * 24 * HOUR))
    before = second(world)
    order(world, "rollback")
    table = world.planes.table
    assert table.routes[SERVICE].champion == before.served[0]
    assert table.accepting == 0
    assert record_of(world).versions[before.served[1]].refused
    world.tick(world.planes.now)
    assert told(world, PoolClosed)[-1] == "Nobody goes back to it: its version was taken back."
    settled(world)
    assert world.planes.table.accepting != 1


def test_the_pool_that_stands_by_ends_with_its_window_and_its_version_moves_to_the_workers_that_answer() -> None:
    world = World(seed=1, spec=blue_green(back=HOUR))
    record = second(world)
    pools = len(told(world, PoolClosed))
    while not pools:
        world.run(1)
        pools = len(told(world, PoolClosed))
    assert "its time is over" in told(world, PoolClosed)[0]
    table = world.planes.table
    assert [pool.number for pool in table.pools] == [1]
    assert record.previous == table.routes[SERVICE].previous


def test_a_version_that_needs_other_libraries_enters_with_workers_that_have_them_after_its_canary() -> None:
    world = World(seed=1)
    world.run(30)
    settled(world)
    before = record_of(world)
    world.planes.lock = LOCK
    while record_of(world).champion == before.champion:
        world.run(1)
    after = record_of(world)
    newest = list(after.rollouts.values())[-1]
    assert newest.champion == before.champion  # it had a canary
    assert after.pools.accepting.environment == LOCK
    assert "other libraries" in told(world, PoolOpened)[0]
    assert after.pools.lived[after.served[-1]] == LOCK


def test_there_is_no_way_back_within_seconds_to_libraries_that_nobody_has_any_more() -> None:
    world = World(seed=1)
    world.run(30)
    settled(world)
    before = record_of(world)
    world.planes.lock = LOCK
    while record_of(world).champion == before.champion:
        world.run(1)
    while record_of(world).pools.other is not None:
        world.run(1)
    if record_of(world).champion == record_of(world).served[len(before.served)]:
        order(world, "rollback")
        assert not [event for event in world.journal.read() if isinstance(event.fact, ChampionReverted)]
        assert "needs other libraries" in told(world, OrderAnswered)[-1]


@pytest.mark.parametrize("lack", ["memory", "environment"])
def test_what_cannot_be_started_is_held_with_the_reason_once(lack: str) -> None:
    world = World(seed=1, spec=blue_green())
    while record_of(world).champion is None:
        world.run(1)
    first = record_of(world).champion
    if lack == "memory":
        world.planes.no_room = "they need about 900 MiB, as those that answer, and 300 MiB are free"
    else:
        world.planes.others[ServiceName("other")] = LOCK
    while not told(world, PoolHeld):
        world.run(1)
    world.run(3)
    assert record_of(world).champion == first
    assert len(told(world, PoolHeld)) == len(record_of(world).pools.lacks)
    assert ("900 MiB" if lack == "memory" else "the version of service other runs with environment") in told(
        world, PoolHeld
    )[0]
    world.planes.no_room = ""
    world.planes.others.clear()
    second(world)
    assert record_of(world).pools.last >= 1


def test_who_ends_a_rollout_ends_the_workers_that_were_started_for_it() -> None:
    world = World(seed=1, spec=blue_green())
    while record_of(world).champion is None:
        world.run(1)
    first = record_of(world).champion
    world.planes.no_room = "no room"
    while not told(world, PoolHeld):
        world.run(1)
    order(world, "rollback")
    assert record_of(world).champion == first
    assert record_of(world).open_rollout is None
    assert record_of(world).pools.other is None
    assert Instant(0) <= world.planes.now


def test_what_is_lacking_may_change_to_and_fro_and_each_lack_is_told_once() -> None:
    world = World(seed=1, spec=blue_green())
    while record_of(world).champion is None:
        world.run(1)
    world.planes.no_room = "no room"
    while not told(world, PoolHeld):
        world.run(1)
    before = len(told(world, PoolHeld))
    for _ in range(2):
        world.planes.others[ServiceName("other")] = LOCK
        world.tick(world.planes.now)
        world.planes.others.clear()
        world.tick(world.planes.now)
    assert len(told(world, PoolHeld)) == before + 1
