"""SIGKILL of the data process, at every named point and at random: no row is lost, none counts twice."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evertrain.core.event import BatchIngested, TableCommitted
from evertrain.core.time import HOUR, Instant
from evertrain.store.log import LogWriter
from evertrain.store.request import CommitRequest, CommitRequests
from evertrain.testing.intake import DEADLINE_S, SERVICE, START, IntakeHouse, labelled, predicted

POINTS = (
    "ingest.after_journal",
    "data.before_online",
    "online.before_commit",
    "online.after_commit:2",
    "data.after_online",
    "ingest.before_commit",
    "table.before_commit",
    "table.after_commit",
    "table.after_commit:2",
    "table.after_commit:3",
    "table.after_commit:4",
    "ingest.after_commit",
    "data.before_ledger:2",
    "log.before_commit",
    "log.after_commit",
    "data.before_cursor",
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[IntakeHouse]:
    made = IntakeHouse(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait(DEADLINE_S)


class Traffic:
    """Files and records of one hour after the other; each order comes in a file, is asked for, and gets a label."""

    def __init__(self, house: IntakeHouse) -> None:
        self.house, self.hours = house, 0
        self.log: LogWriter = house.log()

    def hour(self) -> None:
        """The next hour: a file of each source, predictions, and labels for half of them."""
        self.hours += 1
        number, due = 10 * self.hours, f"2024-01-01T{self.hours % 9:02d}:00:00Z"
        orders = range(number, number + 10)
        self.house.give(f"orders/{self.hours:04d}.csv", *(f"o{order},{due},s{order % 3}" for order in orders))
        self.house.give(
            f"outcomes/{self.hours:04d}.csv", *(f"o{order},{due},s0,1,2024-01-01T11:00:00Z" for order in orders[:5])
        )
        self.log.append(*(predicted(order) for order in orders))
        self.log.append(*(labelled(order, 1.0) for order in orders[5:]))
        self.house.clock.advance(Instant(START + self.hours * HOUR))
        CommitRequests(self.house.state).ask(CommitRequest(id=f"hour-{self.hours}", service=SERVICE))

    def check(self) -> None:
        """Every row is in its table once, dated by the hour in which it came, and the ledger says the same."""
        house, wanted = self.house, [f"o{order}" for order in range(10, 10 * (self.hours + 1))]
        for name, column in (
            ("source.orders", "id"),
            ("source.outcomes", "id"),
            ("predictions.late", "key"),
        ):
            assert sorted(house.table(name)[column]) == sorted(wanted), name
        labels = house.table("labels.late")
        numbers = range(10, 10 * (self.hours + 1))
        assert sorted(filter(None, labels["key"])) == sorted(f"o{one}" for one in numbers if one % 10 >= 5)
        # One that came in a file names its prediction; it may be told again, and counts once.
        assert {*filter(None, labels["prediction"])} == {f"{one:032x}" for one in numbers if one % 10 < 5}
        arrived = house.table("source.orders").select("_file", "_arrived_at").unique()
        assert arrived.height == arrived["_file"].n_unique() == self.hours
        committed = house.facts(TableCommitted)
        for name in ("source.orders", "source.outcomes", "predictions.late", "labels.late"):
            facts = [fact for fact in committed if fact.table == name]
            assert [fact.version for fact in facts] == list(range(len(facts))), name
            assert sum(fact.rows for fact in facts) == house.table(name).height, name
            vouched = {file for fact in facts for file in fact.files}
            folder = house.state.tables / name
            assert vouched == {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}, name
        assert house.outcomes_online(START + 1000 * HOUR) == 10 * self.hours
        batches = [fact for fact in house.facts(BatchIngested) if fact.source == "orders"]
        assert sorted(file for fact in batches for file in fact.files) == [
            f"{hour:04d}.csv" for hour in range(1, self.hours + 1)
        ]


def test_a_kill_at_each_named_point_changes_nothing(house: IntakeHouse) -> None:
    traffic = Traffic(house)
    for point in POINTS:
        traffic.hour()
        process = house.start(EVERTRAIN_CRASH_AT=point)
        assert process.wait(DEADLINE_S) == -signal.SIGKILL, point
    house.start()
    house.advance(traffic.hours)
    house.commit("the end")
    traffic.log.close()
    assert house.stop() == 0
    traffic.check()


def test_kills_at_random_change_nothing(house: IntakeHouse) -> None:
    traffic, chance = Traffic(house), random.Random(7)
    for _ in range(5):
        process = house.start()
        for _ in range(3):
            traffic.hour()
            house.advance(traffic.hours)
        time.sleep(chance.uniform(0.0, 0.06))
        process.kill()
        process.wait(DEADLINE_S)
    house.start()
    house.commit("the end")
    traffic.log.close()
    assert house.stop() == 0
    traffic.check()


def test_rows_that_are_read_again_keep_the_hour_in_which_they_came(house: IntakeHouse) -> None:
    house.give("orders/history.csv", "o0,2024-01-01T03:00:00Z,s0")
    process = house.start()
    house.advance(1)
    house.give("orders/live.csv", "o1,2024-01-01T03:00:00Z,s0")
    house.advance(2)
    process.kill()
    process.wait(DEADLINE_S)
    house.clock.advance(Instant(START + 7 * HOUR))
    house.start()
    house.commit()
    assert house.stop() == 0
    known = {
        name: (at.timestamp() * 1_000_000 - START) / HOUR
        for name, at in house.table("source.orders").select("id", "_known_at").rows()
    }
    assert known == {"o0": -9.0, "o1": 2.0}
