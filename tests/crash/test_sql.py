"""SIGKILL of the data process while it reads a database: every state of a row is in the table once."""

import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from evertrain.config.declaration import SqlSpec
from evertrain.core.event import BatchIngested, TableCommitted
from evertrain.core.time import HOUR, Instant
from evertrain.store.request import CommitRequest, CommitRequests
from evertrain.testing.intake import DEADLINE_S, SERVICE, START, IntakeHouse

POINTS = ("sql.before_page:2", "sql.after_page:2", "ingest.after_journal", "ingest.after_commit")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[IntakeHouse]:
    made = IntakeHouse(tmp_path)
    query = SqlSpec(
        url="sqlite:///shop.db", query="SELECT id, due, shop FROM orders", cursor="due", page_rows=4, overlap=2 * HOUR
    )
    orders, *others = made.spec.sources
    asked = msgspec.structs.replace(orders, files="", sql=query, zone="UTC")
    made.declare(msgspec.structs.replace(made.spec, sources=(asked, *others)))
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait(DEADLINE_S)


def test_a_kill_at_each_named_point_changes_nothing(house: IntakeHouse) -> None:
    database = sqlite3.connect(house.data / "shop.db")
    database.execute("CREATE TABLE orders (id text, due text, shop text)")
    for hour, point in enumerate(POINTS, start=1):
        # Ten orders an hour; half of them are written down later than those of the next hour.
        rows = [(f"o{hour}-{number}", f"2024-01-01 {hour - number % 2:02}:30:00", "s0") for number in range(10)]
        database.executemany("INSERT INTO orders VALUES (?, ?, ?)", rows)
        database.commit()
        house.clock.advance(Instant(START + hour * HOUR))
        CommitRequests(house.state).ask(CommitRequest(id=f"hour-{hour}", service=SERVICE))
        assert house.start(EVERTRAIN_CRASH_AT=point).wait(DEADLINE_S) == -signal.SIGKILL, point
    database.close()
    house.start()
    house.advance(len(POINTS) + 1)
    house.commit("the end")
    assert house.stop() == 0
    wanted = sorted(f"o{hour}-{number}" for hour in range(1, len(POINTS) + 1) for number in range(10))
    assert sorted(house.table("source.orders")["id"]) == wanted
    batches = [fact for fact in house.facts(BatchIngested) if fact.source == "orders"]
    pages = {path.name for path in (house.state.path / "control" / "pages" / "orders").glob("*.parquet")}
    assert sorted(file for fact in batches for file in fact.files) == sorted(pages)
    committed = [fact for fact in house.facts(TableCommitted) if fact.table == "source.orders"]
    assert sum(fact.rows for fact in committed) == len(wanted)
