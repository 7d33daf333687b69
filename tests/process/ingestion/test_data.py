"""The data process, for real: files and logged predictions in, tables, ledger facts and answers out."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from evertrain.config.declaration import CheckSpec
from evertrain.config.settings import Settings
from evertrain.core.event import (
    AlertCleared,
    BatchIngested,
    FileQuarantined,
    SegmentDamaged,
    SegmentRetired,
    SegmentSealed,
    TableCommitted,
)
from evertrain.core.identity import SourceName, VersionId, digest_of_bytes
from evertrain.core.prediction import Failed
from evertrain.core.registry import Registry
from evertrain.core.time import DAY, HOUR, Instant
from evertrain.govern.selfaudit import verify
from evertrain.process.examination.examination import examine
from evertrain.store.ledger import Ledger
from evertrain.store.process import heartbeats
from evertrain.store.request import CommitRequest, CommitRequests
from evertrain.testing.intake import DEADLINE_S, SERVICE, START, IntakeHouse, labelled, predicted
from evertrain.testing.tree import wait_until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[IntakeHouse]:
    made = IntakeHouse(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait(DEADLINE_S)


def test_files_and_records_become_tables_and_facts(house: IntakeHouse) -> None:
    house.give("orders/history.csv", "o0,2024-01-01T03:00:00Z,s0", "o1,2024-01-01T04:00:00Z,s1")
    house.start()
    house.advance(1)
    house.give("orders/1.csv", "o2,2024-01-01T13:00:00Z,s2")
    house.give("orders/2.csv", "o3,yesterday,s2")
    house.give("outcomes/1.csv", "o0,2024-01-01T03:00:00Z,s0,1,2024-01-01T11:30:00Z")
    house.give("outcomes/2.csv", "o0,2024-01-01T03:00:00Z,s0,x", "half a")
    with_log = house.log()
    with_log.append(*(predicted(number) for number in range(50)), predicted(99, load=True))
    house.advance(2)
    answer = house.commit()
    assert answer == {"source.orders": 1, "source.outcomes": 1, "predictions.late": 0, "labels.late": 0}
    assert sorted(house.table("source.orders")["id"]) == ["o0", "o1", "o2"]
    assert house.table("source.outcomes")["late"].to_list() == [1]
    predictions = house.table("predictions.late").sort("received")
    assert predictions.height == 51
    assert msgspec.json.decode(predictions["vector"][7]) == [7, None, "s1", 0.1]
    assert msgspec.json.decode(predictions["row"][7]) == ["o7", "s1", START + 2 * HOUR]
    with_log.close()
    assert house.stop() == 0
    (batch,) = [fact for fact in house.facts(BatchIngested) if fact.source == "orders" and fact.version == 1]
    assert (set(batch.files), batch.rows, batch.quarantined) == ({"1.csv", "2.csv"}, 1, 1)
    assert {(fact.writer, fact.sequence) for fact in house.facts(SegmentSealed)} == {("w0", 0), ("filed", 0)}
    for fact in house.facts(TableCommitted):
        for name, digest in fact.files.items():
            assert digest_of_bytes((house.state.tables / fact.table / name).read_bytes()) == digest
    assert house.facts(FileQuarantined) == []
    (beaten,) = heartbeats(house.state)
    assert (beaten.role, beaten.settled) == ("data", START + 2 * HOUR)
    told = msgspec.json.decode((house.state.reports / "sources.json").read_bytes())
    assert [(source["source"], source["rows"], source["quarantined"]) for source in told] == [
        ("orders", 3, 1),
        ("outcomes", 1, 2),
    ]


def test_a_training_that_asks_at_once_waits_for_the_files_that_are_there(house: IntakeHouse) -> None:
    house.state.clock.unlink()  # on the system's clock a file has to stand still for a while
    house.give("orders/history.csv", "o0,2024-01-01T03:00:00Z,s0")
    house.give("outcomes/history.csv", "o0,2024-01-01T03:00:00Z,s0,1,2024-01-01T04:00:00Z")
    house.start()
    answer = house.commit()
    assert min(answer.values()) >= 0
    assert house.table("source.orders")["id"].to_list() == ["o0"]
    assert house.table("source.outcomes")["late"].to_list() == [1]
    assert house.stop() == 0


def test_a_training_that_asks_as_soon_as_rules_have_changed_has_the_rows_that_they_bring_back(
    house: IntakeHouse,
) -> None:
    house.state.clock.unlink()
    orders, outcomes = house.spec.sources
    strict = msgspec.structs.replace(orders, checks=(CheckSpec(rule="one_of", column="shop", values=("s0",)),))
    house.declare(msgspec.structs.replace(house.spec, sources=(strict, outcomes)))
    house.give("orders/history.csv", "o0,2024-01-01T03:00:00Z,s0", "o1,2024-01-01T04:00:00Z,s1")
    house.give("outcomes/history.csv", "o0,2024-01-01T03:00:00Z,s0,1,2024-01-01T04:00:00Z")
    house.start("--scan-s", "600")  # by itself it would not look again in this test
    house.commit()
    assert house.table("source.orders")["id"].to_list() == ["o0"]
    tolerant = msgspec.structs.replace(orders, owner="the desk")
    house.declare(msgspec.structs.replace(house.spec, sources=(tolerant, outcomes)))
    house.commit("c2")
    assert sorted(house.table("source.orders")["id"]) == ["o0", "o1"]
    assert house.stop() == 0


def test_a_source_that_the_newest_declaration_does_without_stops_nothing(house: IntakeHouse) -> None:
    renamed = msgspec.structs.replace(
        house.spec,
        sources=tuple(
            msgspec.structs.replace(source, name=SourceName(f"{source.name}2")) for source in house.spec.sources
        ),
        examples=None,
        label=None,
        features=(),
    )
    house.declare(renamed)
    house.give("orders/1.csv", "o0,2024-01-01T03:00:00Z,s0")
    house.start()
    house.advance(1)
    house.commit()
    assert house.table("source.orders2")["id"].to_list() == ["o0"]
    assert house.stop() == 0


def test_a_posted_label_becomes_a_row_of_its_source(house: IntakeHouse) -> None:
    house.start()
    house.advance(1)
    log = house.log()
    assert house.outcomes_online(START + DAY) == 0
    log.append(*(predicted(number) for number in range(3)))
    log.append(labelled(1, 1.0), labelled(2, 0.5), labelled(77, 1.0), labelled(0, 0.0, known=0))
    log.append(
        Failed(
            id="f",
            service=SERVICE,
            version=VersionId("v1"),
            key="o1",
            at=Instant(START),
            received=Instant(START),
            arm="canary",
            cause="crash",
            detail="",
            latency_us=1,
        )
    )
    house.advance(2)
    assert [house.outcomes_online(START + hours * HOUR) for hours in (0, 1, 2, 3)] == [0, 1, 1, 2]
    answer = house.commit()
    assert answer["failures.late"] == 0
    assert house.table("labels.late").height == 4
    rows = house.table("source.outcomes").sort("id")
    at = datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert rows.select("id", "due", "shop", "late", "certain", "_known_at").rows() == [
        ("o0", at + timedelta(hours=2), "s0", 0, at, at + timedelta(hours=1)),
        ("o1", at + timedelta(hours=2), "s1", 1, at + timedelta(hours=3), at + timedelta(hours=3)),
    ]
    log.close()
    assert house.stop() == 0
    quarantined = [
        msgspec.json.decode(line)["reason"]
        for path in house.state.quarantine(SourceName("outcomes")).glob("*.rows.jsonl")
        for line in path.read_bytes().splitlines()
    ]
    assert sorted(quarantined) == ["No prediction of this id or key is logged.", "late: not int64"]


def test_a_new_day_commits_without_being_asked(house: IntakeHouse) -> None:
    house.give("orders/history.csv", "o0,2024-01-01T03:00:00Z,s0")
    house.start()
    house.advance(1)
    house.give("orders/1.csv", "o2,2024-01-01T13:00:00Z,s2")
    house.advance(2)
    assert house.table("source.orders").height == 1
    house.advance(DAY // HOUR)
    wait_until(lambda: house.table("source.orders").height == 2, "the commit of the day")
    assert house.stop() == 0


def test_a_second_data_process_is_refused(house: IntakeHouse) -> None:
    house.start()
    house.advance(1)
    second = subprocess.run(
        [sys.executable, "-m", "evertrain.process.ingestion.data", "--dir", str(house.state.path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert second.returncode == 1
    assert "data process" in second.stderr
    assert house.stop() == 0


def test_online_states_that_were_lost_are_filled_from_the_tables(house: IntakeHouse) -> None:
    house.give("outcomes/history.csv", "o0,2024-01-01T03:00:00Z,s0,1,2024-01-01T05:00:00Z")
    house.start()
    house.advance(1)
    house.give("outcomes/1.csv", "o1,2024-01-01T03:00:00Z,s0,1,2024-01-01T11:30:00Z")
    house.advance(2)
    house.commit()
    assert house.stop() == 0
    shutil.rmtree(house.state.online)
    house.start()
    house.advance(3)
    assert house.outcomes_online(START + 3 * HOUR) == 2
    assert house.stop() == 0


def test_a_label_is_never_looked_at_before_its_prediction(house: IntakeHouse) -> None:
    """One worker logs the prediction, another one its label right after: both are read in one pass over the writers."""
    house.give("outcomes/1.csv")
    house.start()
    house.advance(1)
    with closing(house.log("w0")) as predictions, closing(house.log("w1")) as labels:
        for number in range(4_000):
            predictions.append(predicted(number))
            labels.append(labelled(number, 1.0))
    house.commit()
    assert house.stop() == 0
    assert house.table("source.outcomes").height == 4_000
    assert [fact.quarantined for fact in house.facts(BatchIngested) if fact.source == "outcomes"] == [0, 0]


def test_after_an_outage_the_log_is_read_in_pieces_and_rows_wait_until_all_is_known(house: IntakeHouse) -> None:
    """Labels, posted and filed, are of predictions that another worker logged, 45,000 records before them."""
    house.state.clock.unlink()
    with closing(house.log("w1")) as predictions, closing(house.log("w0")) as labels:
        for number in range(45_000):
            predictions.append(predicted(number))
        labels.append(*(labelled(number, 1.0) for number in range(44_900, 45_000)))
    house.give("outcomes/1.csv", "o44000,2024-01-01T12:00:00Z,s0,1,2024-01-01T12:30:00Z")
    house.start()
    seen: set[Instant | None] = set()

    def is_settled() -> bool:
        (beaten,) = heartbeats(house.state) or (None,)
        if beaten is not None and not beaten.starting:
            seen.add(beaten.known_to)
        return beaten is not None and beaten.settled > START

    wait_until(is_settled)
    house.commit()
    assert house.stop() == 0
    assert house.table("predictions.late")["id"].n_unique() == house.table("predictions.late").height == 45_000
    told = house.table("labels.late")
    assert told.filter(pl.col("prediction") == f"{44_000:032x}")["value"].to_list() == [1.0]
    assert told.height == house.table("source.outcomes").height == 101
    assert seen - {None} != set()


def test_a_label_that_comes_in_a_file_is_told_of_the_prediction_that_was_logged_before(house: IntakeHouse) -> None:
    house.give("outcomes/history.csv", "o2,2024-01-01T03:00:00Z,s2,0,2024-01-01T05:00:00Z")
    house.start()
    house.advance(1)
    with closing(house.log()) as log:
        log.append(*(predicted(number) for number in range(4)), predicted(7, load=True))
    certain = "2024-01-01T12:30:00Z"
    house.give(
        "outcomes/1.csv", *(f"o{number},2024-01-01T12:00:00Z,s0,{number % 2},{certain}" for number in (0, 1, 7, 99))
    )
    house.advance(2)
    house.commit()
    assert house.stop() == 0
    told = house.table("labels.late").sort("prediction")
    assert told.select("prediction", "key", "value").rows() == [(f"{0:032x}", "", 0.0), (f"{1:032x}", "", 1.0)]
    assert told["known"].to_list() == [datetime.fromisoformat(certain)] * 2
    assert house.table("source.outcomes").height == 5  # nothing that is told comes back as a row
    assert [finding for finding in verify(house.state).findings if "filed" in finding.subject] == []


@pytest.mark.parametrize("crash", ["", "data.before_retirement:2"])
def test_segments_that_are_in_the_tables_are_removed_when_they_were_kept_enough(house: IntakeHouse, crash: str) -> None:
    house.start("--log-keep", "5h", EVERTRAIN_CRASH_AT=crash)
    house.advance(1)
    folder = house.state.log / "w0"
    with closing(house.log()) as log:
        for number in range(3_000):
            log.append(predicted(number))
        house.commit()
        written = sorted(path.name for path in folder.glob("*.seg"))
        assert len(written) > 3
        house.clock.advance(Instant(START + 7 * HOUR))
        if crash:
            assert house.process is not None
            CommitRequests(house.state).ask(CommitRequest(id="lost", service=SERVICE))
            assert house.process.wait(DEADLINE_S) < 0
            house.start("--log-keep", "5h")
        house.commit("again")
        assert sorted(path.name for path in folder.glob("*.seg")) == written[-2:]  # the newest sealed, and the open one
    assert house.stop() == 0
    assert len(house.facts(SegmentRetired)) == len(written) - 1  # the open one was sealed by its writer at its end
    assert house.table("predictions.late").height == 3_000
    assert [finding for finding in verify(house.state).findings if "segment" in finding.subject] == []
    lost = min(folder.glob("*.seg"))
    lost.unlink()
    assert [finding.subject for finding in verify(house.state).findings if lost.name in finding.subject]


def test_a_damaged_segment_costs_what_is_lost_alone_and_a_restored_one_comes_in_once(house: IntakeHouse) -> None:
    with closing(house.log()) as log:
        log.append(*map(predicted, range(30)))
    [path] = (house.state.log / "w0").glob("*.seg")
    whole = path.read_bytes()
    path.write_bytes(whole[:2_000])
    house.start()
    house.advance(1)
    house.commit()
    with closing(house.log()) as log:
        log.append(predicted(100))
    house.commit("goes on")
    there = house.table("predictions.late").height
    assert 1 < there < 30
    [damaged] = house.facts(SegmentDamaged)
    assert (damaged.writer, damaged.sequence, damaged.until) == ("w0", 0, len(whole))
    assert damaged.offset <= 2_000
    assert damaged.records is not None
    assert damaged.records >= 31 - there
    with Ledger.open(house.state.ledger) as ledger:
        registry = Registry(ledger.read())
    assert damaged.alert in registry.alerts
    assert "w0/000000000000.seg is damaged from byte" in registry.alerts[damaged.alert].reason
    [finding] = [one for one in examine(Settings(dir=str(house.state.path))) if one.look == "prediction log"]
    assert (finding.tone, finding.what in registry.alerts[damaged.alert].reason) == ("bad", True)
    assert house.stop() == 0
    # Even where it is forgotten how far the log was read, each record comes in once.
    (house.state.path / "control" / "log.json").unlink()
    path.write_bytes(whole)
    house.start()
    house.commit("restored")
    assert house.stop() == 0
    assert sorted(house.table("predictions.late")["key"].to_list()) == sorted(f"o{n}" for n in (*range(30), 100))
    assert [fact.alert for fact in house.facts(AlertCleared)] == [damaged.alert]
    assert len(house.facts(SegmentDamaged)) == 1
    assert [finding for finding in verify(house.state).findings if "segment" in finding.subject] == []
