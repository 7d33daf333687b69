"""A source from its folder into its table: exactly once, in time, with everything that was set aside told."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from polars import col as cells_of

from evertrain.config.declaration import CheckSpec, FunctionRef, SourceSpec
from evertrain.core.event import BatchIngested, Draft, Event, FileQuarantined, SourceTypesFixed
from evertrain.core.identity import SourceName
from evertrain.core.schema import Column
from evertrain.core.time import HOUR, Instant, Moment, from_datetime
from evertrain.data.arrival import Patience
from evertrain.data.ingest import Ingest
from evertrain.data.label import Posted
from evertrain.data.quarantine import Quarantine
from evertrain.data.source import Broken
from evertrain.data.standing import rules_of
from evertrain.store.table import Table

TEN = datetime(2024, 1, 1, 10, tzinfo=UTC)
NOW = from_datetime(TEN)

AMOUNTS = (
    Column(name="id", type="int64"),
    Column(name="t", type="timestamp"),
    Column(name="amount", type="float64", nullable=True),
)


class World:
    """One source's folders, its ledger, and as many starts of its ingestion as a test likes."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.files.mkdir()
        self.events: list[Event] = []
        self.functions: dict[str, Callable[..., Any]] = {}
        self.patience: Patience | None = None
        self.spec = SourceSpec(
            **{
                "name": SourceName("orders"),
                "files": "files/*",
                "key": ("id",),
                "event_time": "t",
                "known_at": Moment(column="t"),
                **changes,
            }
        )
        self.ingest = self.start()

    def start(self) -> Ingest:
        self.ingest = Ingest(
            self.spec,
            self.folder / self.spec.files,
            tables=self.folder / "tables",
            quarantine=self.folder / "quarantine",
            journal=self.folder / "arrivals" / "orders.jsonl",
            resolve=lambda reference: self.functions[reference.name],
            rules=rules_of(self.spec, None),
            patience=self.patience,
            events=self.events,
        )
        self.record(self.ingest.recover(NOW))
        return self.ingest

    def declare_repair(self, function: Callable[..., Any]) -> None:
        """The source is declared anew, with this function, and its ingestion begins again."""
        name = f"repair{len(self.functions)}"
        self.functions[name] = function
        self.spec = msgspec.structs.replace(self.spec, repair=FunctionRef(module="service", name=name))
        self.start()

    def record(self, drafts: list[Draft]) -> None:
        standing = {event.id for event in self.events}
        for draft in drafts:
            if draft.id not in standing:
                self.events.append(
                    Event(sequence=len(self.events), **{name: getattr(draft, name) for name in draft.__struct_fields__})
                )

    def csv(self, name: str, *rows: str, header: str = "id,t,amount") -> None:
        (self.files / name).write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")

    def take(self, now: int = NOW, tick: float = 0.0) -> pl.DataFrame:
        shown, drafts = self.ingest.take(Instant(now), tick)
        self.record(drafts)
        return pl.concat(shown) if shown else pl.DataFrame()

    def commit(self, now: int = NOW) -> None:
        self.record(self.ingest.commit(Instant(now)))

    @property
    def rows(self) -> pl.DataFrame:
        return Table(self.folder / "tables", "source.orders").read().sort("t", "id")

    @property
    def aside(self) -> list[tuple[str, int, str]]:
        return [(row.file, row.row, row.reason) for row in Quarantine(self.folder / "quarantine").standing()]

    def facts(self, kind: type) -> list[Any]:
        return [event.fact for event in self.events if isinstance(event.fact, kind)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_file_becomes_rows_with_their_provenance(world: World) -> None:
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,100", "2,2024-01-01T09:30:00+01:00,")
    shown = world.take()
    assert shown["amount"].to_list() == [100, None]
    world.commit()
    rows = world.rows
    assert rows["id"].to_list() == [2, 1]
    assert rows["_row"].to_list() == [3, 2]
    assert rows["_batch"].to_list() == ["orders/0"] * 2
    assert rows["_arrived_at"].to_list() == [TEN] * 2
    (ingested,) = world.facts(BatchIngested)
    assert (ingested.rows, ingested.quarantined, ingested.version) == (2, 0, 0)
    assert rows["_file"].unique().to_list() == [ingested.files["a.csv"]]
    assert [column.type for column in world.facts(SourceTypesFixed)[0].columns] == ["int64", "timestamp", "int64"]


def test_history_keeps_its_declared_times_and_a_late_live_row_is_known_at_its_arrival(tmp_path: Path) -> None:
    world = World(tmp_path, known_at=Moment(column="t", offset=2 * HOUR))
    world.csv("history.csv", "1,2024-01-01T01:00:00Z,1")
    world.take()
    world.commit()
    world.csv("late.csv", "2,2024-01-01T02:00:00Z,1", "3,2024-01-01T09:00:00Z,1")
    world.take()
    world.commit()
    known = dict(zip(world.rows["id"], world.rows["_known_at"], strict=True))
    assert known == {1: TEN - timedelta(hours=7), 2: TEN, 3: TEN + timedelta(hours=1)}
    assert world.ingest.freshness().newest == NOW - HOUR


def test_a_restart_reads_what_was_not_committed_and_dates_it_as_before(world: World) -> None:
    world.take()
    world.commit()
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,1")
    before = world.take(NOW)
    world.start()
    again = world.take(NOW + 5 * HOUR)
    assert again.equals(before)
    world.commit(NOW + 5 * HOUR)
    world.start()
    assert world.take(NOW + 6 * HOUR).is_empty()
    world.commit(NOW + 6 * HOUR)
    assert world.rows.height == 1
    assert world.facts(BatchIngested)[0].rows == 1


def test_a_commit_that_the_ledger_never_heard_of_is_made_good(world: World) -> None:
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,1")
    world.take()
    world.ingest.commit(NOW)
    world.events = [event for event in world.events if isinstance(event.fact, SourceTypesFixed)]
    world.start()
    assert [fact.files.keys() for fact in world.facts(BatchIngested)] == [{"a.csv"}]
    assert world.take().is_empty()
    world.commit()
    assert world.rows.height == 1


def test_rows_that_do_not_fit_are_set_aside_and_the_others_stand(tmp_path: Path) -> None:
    world = World(tmp_path, checks=(CheckSpec(rule="between", column="amount", low=0, high=1000),))
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,1")
    world.take()
    world.csv(
        "b.csv",
        "2,2024-01-01T09:00:00Z,12.75",
        "3,2024-01-01T09:00:00,1",
        ",2024-01-01T09:00:00Z,1",
        "5,2024-01-01T09:00:00Z",
        "6,2024-01-01T09:00:00.000000001Z,1",
        "7,2024-01-01T09:00:00Z,5000",
        "8,2024-01-01T09:00:00.000001Z,8",
    )
    assert world.take()["id"].to_list() == [8]
    world.commit()
    assert world.aside == [
        ("b.csv", 2, "amount: not a 64-bit integer in plain digits"),
        ("b.csv", 3, "t: no offset, and the source has no zone"),
        ("b.csv", 4, "id: missing"),
        ("b.csv", 5, "2 fields where the header has 3"),
        ("b.csv", 6, "t: finer than a microsecond"),
        ("b.csv", 7, "amount: not between 0 and 1000"),
    ]
    assert [(fact.rows, fact.quarantined) for fact in world.facts(BatchIngested)] == [(2, 6)]


def waits(world: World) -> tuple[int, int]:
    told = world.ingest.freshness()
    return told.quarantined, told.files_quarantined


def settled(world: World, tick: float) -> None:
    """Look for as long as a file has to stand still."""
    for later in (0.0, 30.0, 60.0):
        world.take(tick=tick + later)


def test_what_was_mended_where_it_lies_waits_no_longer(tmp_path: Path) -> None:
    world = World(tmp_path, columns=AMOUNTS)
    world.patience = Patience()
    world.start()
    bad, good = "2,2024-01-01T09:00:00Z,much", "1,2024-01-01T09:00:00Z,1"
    world.csv("a.csv", good, bad, "3,yesterday,1")
    world.csv("b.csv", "4,2024-01-01T09:00:00Z", header="id,t")
    settled(world, 0)
    assert waits(world) == (2, 1)
    world.commit()
    world.start()
    settled(world, 100)
    assert waits(world) == (2, 1), "a restart knows it"
    world.csv("a.csv", good, bad.replace("much", "2"), "3,yesterday,1")
    world.csv("b.csv", "4,2024-01-01T09:00:00Z,4")
    settled(world, 200)
    assert waits(world) == (1, 0)
    world.commit()
    assert world.rows["id"].to_list() == [1, 2, 4]
    world.start()
    assert waits(world) == (1, 0)
    assert len(world.aside) == 4, "the papers of every reading are kept"


def test_posted_rows_that_fit_nothing_wait_through_a_restart(world: World) -> None:
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,1")
    world.take()
    broken = Broken(7, {"prediction": "nobody"}, "No prediction of this id or key is logged.")
    world.ingest.post(Posted(pl.DataFrame(), (broken,), {}))
    assert waits(world) == (1, 0)
    world.start()
    assert waits(world) == (1, 0)


def test_codes_stay_codes_on_every_day(tmp_path: Path) -> None:
    world = World(tmp_path)
    header = "id,t,country,zip,account"
    world.csv(
        "1.csv", "1,2024-01-01T10:00:00Z,NA,02138,9007199254740993", "2,2024-01-01T10:01:00Z,,00502,", header=header
    )
    world.take()
    world.csv("2.csv", '3,2024-01-02T10:00:00Z,NO,"K1A 0B2",9007199254740997', header=header)
    world.take()
    world.commit()
    assert world.rows["country"].to_list() == ["NA", None, "NO"]
    assert world.rows["zip"].to_list() == ["02138", "00502", "K1A 0B2"]
    assert world.rows["account"].to_list() == [9007199254740993, None, 9007199254740997]
    assert world.aside == []


@pytest.mark.parametrize(
    ("header", "because"),
    [
        ("id,t", "'amount' is missing"),
        ("id,t,amount,extra", "'extra' is unknown"),
        ("id,t,Amount", "'amount' is missing, 'Amount' is unknown"),
        ("id,t,t", "stands twice"),
    ],
)
def test_a_file_with_other_columns_is_set_aside_whole(world: World, header: str, because: str) -> None:
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,1")
    world.take()
    world.csv("b.csv", ",".join(["2", "2024-01-01T09:00:00Z", "3", "4"][: header.count(",") + 1]), header=header)
    world.csv("c.csv", "3,2024-01-01T09:00:00Z,1")
    assert world.take()["id"].to_list() == [3]
    world.commit()
    (fact,) = world.facts(FileQuarantined)
    assert fact.file == "b.csv"
    assert because in fact.because
    assert (tmp := world.folder / "quarantine" / f"{fact.digest}.bytes").read_bytes() == (
        world.files / "b.csv"
    ).read_bytes(), tmp
    world.start()
    assert world.take().is_empty()


def test_a_file_that_grows_is_left_alone_until_it_stands_still(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.patience = Patience(quiet_s=2, unfinished_s=60, recheck_s=5)
    world.start()
    path = world.files / "grows.csv"
    path.write_text("id,t,amount\n1,2024-01-01T10:00:00Z,100\n2,2024-01-01T10:01:00Z,12")
    for tick in range(10):
        assert world.take(tick=tick).is_empty()
    with path.open("a") as file:
        file.write("50\n3,2024-01-01T10:02:00Z,7\n")
    assert world.take(tick=11).is_empty()
    assert world.take(tick=14)["amount"].to_list() == [100, 1250, 7]
    with path.open("a") as file:
        file.write("4,2024-01-01T10:03:00Z,8\n1,2024-01-01T10:00:00Z,100\n")
    for tick in range(20, 30):
        grown = world.take(tick=tick)
        if not grown.is_empty():
            break
    assert grown["id"].to_list() == [4, 1]
    world.commit()
    assert sorted(world.rows["id"]) == [1, 1, 2, 3, 4]


def test_half_a_parquet_file_is_left_alone_and_a_broken_one_is_set_aside_after_a_while(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.patience = Patience(quiet_s=2, unfinished_s=60, recheck_s=5)
    world.start()
    whole = tmp_path / "whole.parquet"
    pl.DataFrame({"id": [1, 2], "t": [TEN, TEN], "amount": [1, 2]}).write_parquet(whole)
    content = whole.read_bytes()
    (world.files / "a.parquet").write_bytes(content[: len(content) // 2])
    (world.files / "b.parquet").write_bytes(content[: len(content) // 2])
    for tick in range(10):
        assert world.take(tick=tick).is_empty()
    (world.files / "a.parquet").write_bytes(content)
    world.take(tick=20)
    assert world.take(tick=23)["id"].to_list() == [1, 2]
    assert world.facts(FileQuarantined) == []
    world.take(tick=100)
    assert [fact.file for fact in world.facts(FileQuarantined)] == ["b.parquet"]


def test_the_same_bytes_under_another_name_are_set_aside(world: World) -> None:
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,1")
    world.csv("copy.csv", "1,2024-01-01T09:00:00Z,1")
    world.csv("empty.csv")
    world.csv("empty-too.csv")
    assert world.take().height == 1
    assert [fact.file for fact in world.facts(FileQuarantined)] == ["copy.csv"]


def test_the_cleaning_function_changes_rows_and_can_lose_none_silently(tmp_path: Path) -> None:
    world = World(tmp_path, clean=FunctionRef(module="service", name="clean"))
    world.functions["clean"] = lambda rows: rows.with_columns(
        amount=pl.when(pl.col("amount") <= 150).then("amount")
    ).filter(pl.col("id") != 2)
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,999", "2,2024-01-01T09:00:00Z,1", "3,2024-01-01T09:00:00Z,7")
    assert world.take().select("id", "amount").rows() == [(1, None), (3, 7)]
    assert world.aside == [("a.csv", 3, "left out by the cleaning function")]


def test_a_repair_makes_numbers_of_cells_and_what_it_cannot_mend_stands_aside_as_it_stood(tmp_path: Path) -> None:
    world = World(tmp_path, repair=FunctionRef(module="service", name="repair"), columns=AMOUNTS)
    world.functions["repair"] = lambda rows: rows.with_columns(
        amount=pl.col("amount").replace("n/a", None).str.replace(",", ".").cast(pl.Float64, strict=False),
        id=pl.col("id").str.strip_prefix("#"),
    )
    world.csv("a.csv", '1,2024-01-01T09:00:00Z,"12,50"', "#2,2024-01-01T09:00:00Z,n/a", "x,2024-01-01T09:00:00Z,7")
    assert world.take().select("id", "amount").rows() == [(1, 12.5), (2, None)]
    assert world.aside == [("a.csv", 4, "id: not a 64-bit integer in plain digits")]
    [row] = Quarantine(world.folder / "quarantine").standing()
    assert row.raw["amount"] == "7"


def test_an_empty_text_of_the_users_functions_is_missing_as_an_empty_cell_is(tmp_path: Path) -> None:
    world = World(
        tmp_path,
        repair=FunctionRef(module="service", name="repair"),
        clean=FunctionRef(module="service", name="clean"),
        columns=(*AMOUNTS, Column(name="shop", type="string", nullable=True), Column(name="till", type="string")),
    )
    world.functions["repair"] = lambda rows: rows.with_columns(cells_of("amount", "shop").str.replace("n/a", ""))
    world.functions["clean"] = lambda rows: rows.with_columns(cells_of("shop", "till").str.replace("none", ""))
    world.csv(
        "a.csv",
        "1,2024-01-01T09:00:00Z,n/a,n/a,a",
        "2,2024-01-01T09:00:00Z,2.5,none,a",
        "3,2024-01-01T09:00:00Z,,b,none",
        header="id,t,amount,shop,till",
    )
    assert world.take().select("id", "amount", "shop").rows() == [(1, None, None), (2, 2.5, None)]
    assert world.aside == [("a.csv", 4, "till: missing")]


@pytest.mark.parametrize(
    ("function", "because"),
    [
        (lambda rows: 1 / 0, "The repair service:repair of source 'orders' raised ZeroDivisionError"),
        (lambda rows: None, "returned NoneType"),
        (lambda rows: rows.head(1), "returned 1 rows of id, t, amount; it was given 2"),
        (lambda rows: rows.drop("amount"), "returned 2 rows of id, t; it was given 2 of id, t, amount"),
    ],
)
def test_a_repair_that_does_more_than_mend_cells_sets_the_file_aside(
    tmp_path: Path, function: Callable[..., Any], because: str
) -> None:
    world = World(tmp_path, repair=FunctionRef(module="service", name="repair"))
    world.functions["repair"] = function
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,9", "2,2024-01-01T09:00:00Z,9")
    assert world.take().is_empty()
    (fact,) = world.facts(FileQuarantined)
    assert because in fact.because


def _raises(rows: pl.LazyFrame) -> pl.LazyFrame:
    raise ZeroDivisionError("in the user's code")


@pytest.mark.parametrize(
    ("function", "because"),
    [
        (_raises, "raised ZeroDivisionError"),
        (lambda rows: rows.with_columns(pl.col("amount").cast(pl.String)), "'amount' as String"),
        (lambda rows: rows.select("id"), "'t' as nothing"),
        (lambda rows: 7, "returned int"),
        (lambda rows: pl.concat([rows, rows]), "rows that were not in the file"),
    ],
)
def test_a_broken_cleaning_function_sets_the_file_aside(
    tmp_path: Path, function: Callable[..., Any], because: str
) -> None:
    world = World(tmp_path, clean=FunctionRef(module="service", name="clean"))
    world.functions["clean"] = function
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,9")
    assert world.take().is_empty()
    (fact,) = world.facts(FileQuarantined)
    assert because in fact.because


def test_local_times_that_the_clocks_show_twice_or_never_are_set_aside(tmp_path: Path) -> None:
    world = World(tmp_path, zone="America/New_York")
    world.csv(
        "a.csv",
        "1,2024-03-10 01:59:59,1",
        "2,2024-03-10 02:30:00,1",
        "3,2024-11-03T01:30:00,1",
        "4,2024-11-03T01:30:00-05:00,1",
    )
    rows = world.take()
    assert rows["t"].to_list() == [
        datetime(2024, 3, 10, 6, 59, 59, tzinfo=UTC),
        datetime(2024, 11, 3, 6, 30, tzinfo=UTC),
    ]
    said = "t: the clocks of America/New_York show this time twice or never"
    assert [(row, reason) for _, row, reason in world.aside] == [(3, said), (4, said)]


def test_a_journal_line_that_was_cut_counts_as_never_written(world: World) -> None:
    world.take()
    world.commit()
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,1")
    world.take()
    journal = world.folder / "arrivals" / "orders.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    world.start()
    assert world.take(NOW + HOUR)["_arrived_at"].to_list() == [TEN + timedelta(hours=1)]


def test_a_reading_that_takes_a_while_says_how_far_it_is(world: World) -> None:
    told: list[tuple[int, int]] = []

    def tell() -> None:
        reading = world.ingest.freshness().reading
        assert reading is not None
        assert reading.began <= reading.reached
        told.append((reading.files, reading.of))

    for name in ("a.csv", "b.csv"):
        world.csv(name, f"{name},2024-01-01T09:00:00Z,1")
    world.ingest.take(NOW, 0.0, tell)
    assert told == [(0, 2), (1, 2), (2, 2)]
    world.ingest.rested()
    assert world.ingest.freshness().reading is None
    world.ingest.take(NOW, 1.0, tell)
    assert len(told) == 3


def test_what_was_set_aside_is_read_again_by_a_new_declaration_once_and_nothing_else(world: World) -> None:
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,1", "2,2024-01-01T09:00:00Z,2", "3,2024-01-01T09:00:00Z,3")
    world.take()
    world.csv("b.csv", "4,2024-01-01T09:00:00Z,n/a", "5,2024-01-01T09:00:00Z,5", "x,2024-01-01T09:00:00Z,6")
    world.take()
    world.commit()
    assert (world.rows.height, world.ingest.freshness().quarantined, world.ingest.freshness().again) == (4, 2, 0)

    world.declare_repair(lambda cells: cells.with_columns(amount=cells_of("amount").str.replace("n/a", "7")))
    assert world.ingest.freshness().again == 1
    shown = world.take(NOW + HOUR)
    assert shown.select("id", "amount").rows() == [(4, 7)]
    assert shown["_arrived_at"].to_list() == [TEN + timedelta(hours=1)], "it came live, and is known only now"
    world.start()
    assert world.take(NOW + 2 * HOUR).equals(shown), "killed before its commit: read again, and dated as before"
    world.commit()
    assert world.rows["id"].to_list() == [1, 2, 3, 4, 5]
    assert (world.ingest.freshness().quarantined, world.ingest.freshness().again) == (1, 0)

    world.start()
    assert world.take().is_empty()
    world.declare_repair(lambda cells: cells.with_columns(cells_of("id").str.replace("x", "6"), amount=pl.lit("9")))
    assert world.take()["id"].to_list() == [6], "rows that are in stay as they are, whatever the rules make of them now"
    world.commit()
    assert world.rows["amount"].to_list() == [1, 2, 3, 7, 5, 9]
    assert world.ingest.freshness().quarantined == 0


def test_a_file_that_was_set_aside_whole_is_read_again_by_a_new_declaration(tmp_path: Path) -> None:
    world = World(tmp_path, columns=AMOUNTS)
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,1", "2,2024-01-01T09:00:00Z,n/a")
    world.take()
    world.csv("b.csv", "3,2024-01-01T09:00:00Z,3")
    world.take()
    world.commit()
    world.declare_repair(lambda cells: 1 / 0)
    assert world.take().is_empty(), "only the file of which a row waits is read"
    (fact,) = world.facts(FileQuarantined)
    assert "ZeroDivisionError" in fact.because
    assert world.ingest.freshness().files_quarantined == 1
    world.declare_repair(lambda cells: cells.with_columns(amount=cells_of("amount").str.replace("n/a", "7")))
    assert world.take()["id"].to_list() == [2]
    world.commit()
    assert (world.rows["id"].to_list(), world.ingest.freshness().files_quarantined) == ([1, 2, 3], 0)


def test_a_row_that_was_corrected_meanwhile_does_not_come_back_as_it_was(tmp_path: Path) -> None:
    world = World(tmp_path, columns=AMOUNTS)
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,n/a", "2,2024-01-01T09:00:00Z,n/a", "3,2024-01-01T09:00:00Z,3")
    world.take()
    world.csv("b.csv", "1,2024-01-01T09:00:00Z,1")
    world.take(NOW + HOUR)
    world.commit()
    world.declare_repair(lambda cells: cells.with_columns(amount=cells_of("amount").str.replace("n/a", "7")))
    assert world.take(NOW + 2 * HOUR)["id"].to_list() == [2]
    world.commit()
    assert world.rows["amount"].to_list() == [1, 7, 3]
    assert world.ingest.freshness().quarantined == 1


def test_the_rows_of_history_stay_history_when_they_are_read_again(tmp_path: Path) -> None:
    world = World(tmp_path, columns=AMOUNTS)
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,1", "2,2024-01-01T09:00:00Z,n/a")
    world.take()
    world.commit()
    world.declare_repair(lambda cells: cells.with_columns(amount=cells_of("amount").str.replace("n/a", "7")))
    assert not world.ingest.history_taken, "a training waits for it"
    assert world.take(NOW + HOUR)["_known_at"].to_list() == [TEN - timedelta(hours=1)]


def test_a_file_that_is_gone_keeps_nobody_waiting(tmp_path: Path) -> None:
    world = World(tmp_path, columns=AMOUNTS)
    world.csv("a.csv", "1,2024-01-01T09:00:00Z,1", "2,2024-01-01T09:00:00Z,n/a")
    world.take()
    world.commit()
    (world.files / "a.csv").unlink()
    world.declare_repair(lambda cells: cells)
    assert world.take().is_empty()
    assert world.ingest.history_taken
    assert world.ingest.freshness().quarantined == 1
