"""A query on a database into its source's table: late rows, equal cursors, changed rows; with real servers."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from evertrain.config.declaration import SourceSpec, SqlSpec
from evertrain.config.origin import sql
from evertrain.core.event import Draft, Event
from evertrain.core.identity import SourceName
from evertrain.core.time import Instant, Moment, from_datetime
from evertrain.data.ingest import Ingest
from evertrain.data.page import frames_of
from evertrain.data.quarantine import Quarantine
from evertrain.data.revision import physical, revise
from evertrain.data.sql import Feed, SqlReader, check_query, database_of
from evertrain.data.standing import rules_of
from evertrain.errors import DeclarationError, SourceError, UnavailableError
from evertrain.store.table import Table
from evertrain.testing.postgres import Postgres
from evertrain.testing.tree import free_port, wait_until

NOW = from_datetime(datetime(2024, 1, 1, 12, tzinfo=UTC))
QUERY = "SELECT id, t, amount, updated_at FROM orders -- all of them"
URL = "sqlite:///shop.db"


class World:
    """One source that reads a query, its pages and its table; as many starts as a test likes."""

    def __init__(self, folder: Path, url: str = URL, **changes: Any) -> None:
        self.folder = folder
        declared = sql(url, changes.pop("query", QUERY), cursor=changes.pop("cursor", "updated_at"), **changes)
        self.query = msgspec.structs.replace(declared.spec, cursor=declared.cursor or "")
        self.spec = SourceSpec(
            name=SourceName("orders"),
            files="",
            key=("id",),
            event_time="t",
            known_at=Moment(column="updated_at"),
            zone="UTC",
            sql=self.query,
        )
        self.events: list[Event] = []
        self.start()

    def start(self) -> None:
        pages = self.folder / "pages"
        self.feed = Feed(self.spec.name, self.query, self.folder, pages, waits=True)
        self.ingest = Ingest(
            self.spec,
            pages / "*.parquet",
            tables=self.folder / "tables",
            quarantine=self.folder / "quarantine",
            journal=self.folder / "arrivals.jsonl",
            rules=rules_of(self.spec, None),
            resolve=lambda reference: lambda rows: rows,
            patience=None,
            events=self.events,
        )
        self.record(self.ingest.recover(Instant(NOW)))

    def record(self, drafts: list[Draft]) -> None:
        for draft in drafts:
            known = {name: getattr(draft, name) for name in draft.__struct_fields__}
            self.events.append(Event(sequence=len(self.events), **known))

    def take(self, tick: float = 0.0) -> int:
        """One reading and what ingestion makes of it; returns the rows that became visible."""
        self.feed.look(tick)
        shown, drafts = self.ingest.take(Instant(NOW), tick)
        self.record(drafts)
        self.record(self.ingest.commit(Instant(NOW)))
        return sum(rows.height for rows in shown)

    @property
    def rows(self) -> pl.DataFrame:
        return Table(self.folder / "tables", "source.orders").read().sort("id", "updated_at")

    @property
    def aside(self) -> list[str]:
        return [one.reason for one in Quarantine(self.folder / "quarantine").standing()]

    def reader(self) -> SqlReader:
        return SqlReader(self.query, database_of(self.query, self.folder), self.folder / "pages")


class Shop:
    """The same table in each kind of database."""

    def __init__(self, connection: Any, mark: str, world: World) -> None:
        self.connection, self.mark, self.world = connection, mark, world

    def add(self, number: int, updated: str, amount: float = 1.5, day: str = "2024-01-01") -> None:
        values = (number, f"{day} 09:00:00", amount, f"{day} {updated}")
        self.run(f"INSERT INTO orders VALUES ({', '.join([self.mark] * 4)})", *values)

    def run(self, statement: str, *values: object) -> None:
        self.connection.execute(statement, values)
        self.connection.commit()


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres") / "data") as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def shop(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    columns = "id bigint, t {0}, amount {1}, updated_at {0}"
    if request.param == "sqlite":
        connection: Any = sqlite3.connect(tmp_path / "shop.db")
        made = Shop(connection, "?", World(tmp_path))
        made.run(f"CREATE TABLE orders ({columns.format('text', 'real')})")
    else:
        monkeypatch.setenv("SHOP_PASSWORD", postgres.password)
        name = postgres.make_database()
        connection = postgres.connect(name)
        made = Shop(connection, "%s", World(tmp_path, postgres.url(name)))
        made.run(f"CREATE TABLE orders ({columns.format('timestamptz', 'numeric(10, 2)')})")
        made.run(f"ALTER DATABASE {name} SET timezone TO 'UTC'")
        connection.execute("SET timezone TO 'UTC'")
    yield made
    made.world.feed.close()
    connection.close()


def test_rows_of_one_cursor_value_are_all_read_and_none_twice(shop: Shop) -> None:
    for number in (1, 2, 3):
        shop.add(number, "10:00:00")
    assert shop.world.take() == 3
    shop.add(4, "10:00:00")
    assert [shop.world.take() for _ in range(3)] == [1, 0, 0]
    assert shop.world.rows["id"].to_list() == [1, 2, 3, 4]
    assert shop.world.rows["amount"].to_list() == [1.5] * 4
    assert shop.world.feed.trouble == ""


def test_a_row_that_is_committed_late_is_read(shop: Shop) -> None:
    shop.add(1, "10:00:00")
    shop.add(2, "10:00:02")
    shop.world.take()
    shop.add(3, "10:00:01")
    shop.add(4, "09:00:02")
    assert shop.world.take() == 2
    assert shop.world.rows["id"].to_list() == [1, 2, 3, 4]


def test_both_versions_of_a_changed_row_are_kept_and_the_newer_one_counts(shop: Shop) -> None:
    shop.add(1, "10:00:00")
    shop.add(2, "10:00:00")
    shop.world.take()
    shop.run("UPDATE orders SET amount = 7, updated_at = '2024-01-01 10:00:05' WHERE id = 2")
    assert shop.world.take() == 1
    assert shop.world.rows.select("id", "amount").rows() == [(1, 1.5), (2, 1.5), (2, 7.0)]
    lives = revise(physical(shop.world.rows), shop.world.spec, ["amount"])
    current = lives.frame.filter(pl.col("_until") == pl.col("_until").max())
    assert current.select("id", "amount").rows() == [(1, 1.5), (2, 7.0)]


def test_a_row_below_the_overlap_is_found_by_the_sweep_and_told(shop: Shop) -> None:
    shop.add(1, "10:00:00")
    shop.world.take()
    shop.add(2, "08:59:59")
    assert shop.world.take() == 0
    reader = shop.world.reader()
    assert not reader.sweep_is_due
    assert reader.sweep() == 1
    assert reader.sweep() == 0
    assert shop.world.take() == 1
    assert shop.world.rows["id"].to_list() == [1, 2]


def test_a_sweep_that_is_due_is_made_and_what_it_found_is_told(shop: Shop) -> None:
    shop.add(1, "10:00:00")
    shop.world.take()
    shop.add(2, "08:59:59")
    yesterday = time.time() - 90_000
    os.utime(shop.world.folder / "pages" / "swept", (yesterday, yesterday))
    assert shop.world.take() == 1
    assert shop.world.feed.trouble.startswith("1 rows were committed later than the overlap (1h) allows")
    assert shop.world.take() == 0
    assert not shop.world.reader().sweep_is_due


def test_a_restart_reads_on_where_the_pages_end(shop: Shop) -> None:
    for number in range(5):
        shop.add(number, f"10:00:0{number}")
    shop.world.take()
    shop.world.start()
    shop.add(5, "10:00:03")
    assert shop.world.take() == 1
    assert shop.world.rows["id"].to_list() == [0, 1, 2, 3, 4, 5]


def test_rows_without_a_cursor_are_told(shop: Shop) -> None:
    shop.add(1, "10:00:00")
    shop.run("INSERT INTO orders VALUES (2, '2024-01-01 09:00:00', 1, NULL)")
    assert shop.world.take() == 1
    assert shop.world.feed.trouble == "1 rows have no updated_at and are not read."


def a_row_a_minute(folder: Path, between: str, zone: str) -> None:
    """Twenty-five orders; between: day and hour, zone: at the end of the cursor's text."""
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id integer, t text, amount real, updated_at text)")
        connection.executemany(
            "INSERT INTO orders VALUES (?, '2024-01-01', 1, ?)",
            [(number, f"2024-01-01{between}10:{number:02}:00{zone}") for number in range(25)],
        )
    connection.close()


def test_pages_hold_no_more_rows_than_declared(tmp_path: Path) -> None:
    a_row_a_minute(tmp_path, "T", "Z")
    world = World(tmp_path, page_rows=10)
    assert world.take() == 25
    pages = sorted((tmp_path / "pages").glob("*.parquet"))
    assert [pl.read_parquet(page).height for page in pages] == [10, 10, 5]
    assert [page.name[:10] for page in pages] == ["0000000001", "0000000002", "0000000003"]
    assert world.ingest.freshness().rows == 25


def test_a_reading_that_breaks_off_goes_on_after_its_last_page(tmp_path: Path) -> None:
    a_row_a_minute(tmp_path, " ", "")
    world = World(tmp_path, page_rows=10, overlap="2m")
    asked = iter([True, False])
    assert world.reader().read(lambda: next(asked)) == 10
    assert world.reader().read() == 15
    assert world.take() == 25
    assert world.rows["id"].to_list() == list(range(25))


def test_a_value_of_another_type_spoils_no_other_row(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id integer, t text, amount, updated_at text)")
        connection.executemany(
            "INSERT INTO orders VALUES (?, '2024-01-01', ?, '2024-01-01 10:00:00')",
            [(1, 2), (2, "much"), (3, 2.5), (4, None)],
        )
    connection.close()
    world = World(tmp_path)
    assert world.take() == 3
    assert world.take() == 0
    assert world.rows.select("id", "amount").rows() == [(1, 2.0), (3, 2.5), (4, None)]
    assert world.aside == ["Column 'amount' is String; the source has float64."]


def test_zero_and_one_are_false_and_true_where_that_is_declared() -> None:
    rows = [(0, 1), (1, None), (2, 2)]
    [fit, odd] = frames_of(["n", "late"], rows, {"late", "other"})
    assert fit.rows() == [(0, True), (1, None)]
    assert odd.rows() == [(2, 2)]
    assert frames_of(["n", "late"], rows)[0]["late"].to_list() == [1, None, 2]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["2024-01-01 10:00:00", "2024-01-01T10:00:00"], "written in several ways"),
        (["2024-01-01 10:00:00+02:00"], "offsets from UTC"),
        (["yesterday"], "not an ISO 8601 time"),
        ([1.5], "is Float64"),
    ],
)
def test_a_cursor_that_does_not_grow_as_its_text_is_refused(tmp_path: Path, values: list[object], said: str) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id integer, t text, amount real, updated_at)")
        connection.executemany("INSERT INTO orders VALUES (1, '2024-01-01', 1, ?)", [(value,) for value in values])
    connection.close()
    world = World(tmp_path)
    assert world.take() == 0
    assert said in world.feed.trouble


def test_an_integer_may_be_the_cursor(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.execute("CREATE TABLE orders (id integer, t text, amount real, updated_at text)")
    add = "INSERT INTO orders VALUES (?, '2024-01-01', 1, '2024-01-01')"
    connection.executemany(add, [(1,), (100,)])
    connection.commit()
    world = World(tmp_path, cursor="id", overlap=5)
    assert world.take() == 2
    connection.executemany(add, [(96,), (94,), (101,)])
    connection.commit()
    connection.close()
    assert world.take() == 2
    assert world.rows["id"].to_list() == [1, 96, 100, 101]


def test_a_transaction_that_commits_after_a_later_one_is_read(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", postgres.password)
    name = postgres.make_database()
    add = "INSERT INTO orders VALUES (%s, '2024-01-01 09:00:00Z', 1, %s)"
    with postgres.connect(name) as slow, postgres.connect(name) as quick:
        slow.execute("CREATE TABLE orders (id bigint, t timestamptz, amount float8, updated_at timestamptz)")
        slow.commit()
        slow.execute(add, (5, "2024-01-01 10:00:01Z"))
        quick.execute(add, (6, "2024-01-01 10:00:02Z"))
        quick.commit()
        world = World(tmp_path, postgres.url(name))
        assert world.take() == 1
        slow.commit()
        assert world.take() == 1
    assert world.rows["id"].to_list() == [5, 6]


def test_a_server_that_is_away_is_asked_again_and_nothing_is_lost(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", postgres.password)
    name = postgres.make_database()
    with postgres.connect(name) as connection:
        connection.execute("CREATE TABLE orders (id bigint, t timestamptz, amount float8, updated_at timestamptz)")
        connection.execute("INSERT INTO orders VALUES (1, now(), 1, now())")
    world = World(tmp_path, postgres.url(name))
    postgres.stop()
    try:
        assert world.take(0.0) == 0
        assert "cannot be reached" in world.feed.trouble
        assert "Connection refused" in world.feed.trouble
        assert postgres.password not in world.feed.trouble
        assert not world.feed.caught_up
    finally:
        postgres.start()
    assert world.take(0.5) == 0  # the pause after the first failure is a second
    assert world.take(1.5) == 1
    assert world.feed.trouble == ""


def test_a_page_that_takes_too_long_is_broken_off(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", postgres.password)
    slow = "SELECT 1 AS id, now() AS t, now() AS updated_at, pg_sleep(30)::text AS amount"
    world = World(tmp_path, postgres.url("postgres"), query=slow, timeout_s=1)
    assert world.take() == 0
    assert "statement timeout" in world.feed.trouble
    sqlite3.connect(tmp_path / "shop.db").close()
    endless = (
        "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) "
        "SELECT max(id) AS id, '2024-01-01' AS t, '2024-01-01' AS updated_at FROM n"
    )
    beside = World(tmp_path / "beside", f"sqlite:///{tmp_path}/shop.db", query=endless, timeout_s=1)
    assert beside.take() == 0
    assert "interrupted" in beside.feed.trouble


def test_nothing_can_be_written_through_a_query(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", postgres.password)
    name = postgres.make_database()
    with postgres.connect(name) as connection:
        connection.execute("CREATE TABLE orders (id bigint, t timestamptz, amount float8, updated_at timestamptz)")
        connection.execute("CREATE SEQUENCE numbers")
    world = World(tmp_path, postgres.url(name), query="SELECT *, nextval('numbers') AS n FROM orders")
    with pytest.raises(SourceError, match="read-only transaction"):
        list(database_of(world.query, tmp_path).pages("SELECT nextval('numbers') AS n", "n", None, 1))


def check(folder: Path, url: str = URL, **changes: Any) -> None:
    world = World(folder, url, **changes)
    check_query(world.spec, world.query, folder)


def test_a_wrong_query_is_refused_in_the_words_of_the_database(shop: Shop, tmp_path: Path) -> None:
    url = shop.world.query.url
    check(tmp_path, url)
    with pytest.raises(SourceError, match=r'(?s)refuses the query.*(no such column: amuont|"amuont" does not exist)'):
        check(tmp_path, url, query="SELECT id, t, amuont, updated_at FROM orders")
    with pytest.raises(DeclarationError, match=r"no column 'updated'\. Did you mean"):
        check(tmp_path, url, cursor="updated")
    with pytest.raises(DeclarationError, match="two columns named 'id'"):
        check(tmp_path, url, query="SELECT id, t, updated_at, id FROM orders")


def test_a_query_may_hold_colons_percents_and_a_semicolon(shop: Shop, tmp_path: Path) -> None:
    shop.add(1, "10:00:00")
    more = "SELECT id, t, amount, updated_at, ' :since %s 10:30' AS said FROM orders WHERE 'a%' LIKE 'a%';"
    world = World(tmp_path / "more", shop.world.query.url.replace(":///", f":///{tmp_path}/"), query=more)
    assert world.take() == 1
    assert world.take() == 0
    assert world.rows["said"].to_list() == [" :since %s 10:30"]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("'{1,2}'::int[]", "values of type list"),
        ("12345678901234567.25::numeric", "more digits than a float keeps"),
        ("'\\x00'::bytea", "values of type bytes"),
    ],
)
def test_a_value_that_no_table_holds_is_told_with_its_column(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, column: str, said: str
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", postgres.password)
    query = f"SELECT 1 AS id, now() AS t, now() AS updated_at, {column} AS amount"
    world = World(tmp_path, postgres.url("postgres"), query=query)
    assert world.take() == 0
    assert "Column 'amount'" in world.feed.trouble
    assert said in world.feed.trouble


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:S3CRETpass@127.0.0.1:1/x",
        "postgresql://u:S3^CRET$#pass@h/x",
        "postgresql://u:S3CRET/@pass@h/x",
        "postgresql://h/x?password=S3CRET",
        "postgresql://h/x?user=u&sslpassword=S3CRET",
    ],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(DeclarationError, match=r"Write \$\{NAME\}") as refused:
        sql(url, "SELECT 1")
    assert "CRET" not in str(refused.value)


def test_what_the_environment_gives_is_in_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "S3CRET@h:/x")
    for url in (f"postgresql://u:${{SHOP_PASSWORD}}@127.0.0.1:{free_port()}/x", "${SHOP_PASSWORD}", "${NOBODY}"):
        with pytest.raises((UnavailableError, DeclarationError)) as refused:
            database_of(SqlSpec(url=url, query="SELECT 1", cursor="id"), tmp_path).columns("SELECT 1")
        assert "S3CRET" not in str(refused.value)
        assert url in str(refused.value)
        assert refused.value.remedy
    with pytest.raises(DeclarationError, match="needs psycopg2"):
        database_of(SqlSpec(url="postgresql+psycopg2://h/x", query="SELECT 1", cursor="id"), tmp_path)


def test_a_reading_beside_other_work_ends_when_it_is_closed(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id integer, t text, amount real, updated_at text)")
        connection.execute("INSERT INTO orders VALUES (1, '2024-01-01', 1, '2024-01-01')")
    connection.close()
    world = World(tmp_path)
    feed = Feed(world.spec.name, world.query, tmp_path, tmp_path / "pages", waits=False)
    feed.look(0.0)
    wait_until(lambda: feed.caught_up, "the first reading")
    feed.close()
    assert not [one for one in threading.enumerate() if one.name == "sql-orders"]
    assert world.take() == 1
