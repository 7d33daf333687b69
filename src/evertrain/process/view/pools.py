"""The pools of workers: which one takes connections, which one comes, and which one stands by until when."""

from collections.abc import Iterable, Mapping

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.pool import FIRST, Pool, Pools
from evertrain.core.registry import ServiceRecord
from evertrain.core.routing import RoutingTable
from evertrain.store.process import Heartbeat, at_work
from evertrain.web.overview import WorkerPool

__all__ = ["show_pools", "standby_of"]


def show_pools(
    table: RoutingTable, pools: Pools, records: Mapping[ServiceName, ServiceRecord], beats: Iterable[Heartbeat]
) -> tuple[WorkerPool, ...]:
    """Those that stand by the table; () where there is only the one that everything begins with.

    pools: by the ledger, which says until when.
    """
    if table.pools == (FIRST,):
        return ()
    up = [beat.pool for beat in beats if beat.role == "worker" and at_work(beat)]
    return tuple(_show(pool, table, pools, records, up.count(pool.number)) for pool in table.pools)


def _show(
    pool: Pool, table: RoutingTable, pools: Pools, records: Mapping[ServiceName, ServiceRecord], up: int
) -> WorkerPool:
    shown = WorkerPool(number=pool.number, workers=up, environment=pool.environment)
    if pool.number == table.accepting:
        return shown
    own, is_known = pool.own, pools.other is not None and pools.other.number == pool.number
    record = None if own is None else records.get(own.service)
    version = None if record is None or own is None or own.version is None else record.versions.get(own.version)
    keeps = "" if own is None or version is None else f"version {version.ordinal} of {own.service}"
    stands_by = is_known and pools.until is not None
    return WorkerPool(
        number=pool.number,
        state="stands by" if stands_by else "comes" if is_known else "ends",
        workers=up,
        environment=pool.environment,
        keeps=keeps,
        until=pools.until if stands_by else None,
    )


def standby_of(record: ServiceRecord) -> VersionId | None:
    """The version of a service that a pool of its own is kept warm for."""
    return record.pools.held_by_other(record.service) if record.pools.until is not None else None
