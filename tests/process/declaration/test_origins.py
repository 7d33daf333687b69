"""Sources are looked at before a declaration is put on record; tables in memory become files."""

import io
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent

import pandas as pd
import polars as pl
import pytest

from evertrain.core.time import Instant
from evertrain.data.frame import content_of
from evertrain.errors import DeclarationError
from evertrain.process.declaration.declaring import check, declare
from evertrain.process.declaration.planning import plan_file
from evertrain.store.installation import install
from evertrain.testing.tree import free_port

SERVICE = dedent("""
    import evertrain as et


    def train(data, run):
        return None


    columns = {{"id": "int64", "t": "timestamp", "bad": "bool"}}
    orders = et.Source("orders", {origin}, key="id", event_time="t", zone="UTC", columns=columns)
    asked = et.Examples(orders, key="id", at="t", request=["id", "t"])
    label = et.Label(source=orders, of=asked, value="bad", horizon="1d")
    service = et.Service("late", examples=asked, label=label, train=train)
""")
QUERY = "SELECT id, t, bad FROM orders"


def write(folder: Path, origin: str) -> Path:
    file = folder / "service.py"
    file.write_text(SERVICE.format(origin=origin))
    return file


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (id integer, t text, bad integer)")
        connection.executemany(
            "INSERT INTO orders VALUES (?, ?, 0)", [(number, f"2024-01-{number + 1:02}") for number in range(20)]
        )
    connection.close()
    return tmp_path


def test_a_query_that_does_not_hold_is_refused_with_its_file_and_source(shop: Path) -> None:
    start = r"service\.py: Source 'orders' of service 'late'"
    with pytest.raises(
        DeclarationError, match=f"{start} reads 'sqlite:///shp.db', .*no file .*Did you mean \"shop.db\""
    ):
        check(write(shop, "et.sql('sqlite:///shp.db', 'SELECT 1')"))
    with pytest.raises(DeclarationError, match=f"{start}: .* refuses the query: no such table: order"):
        check(write(shop, "et.sql('sqlite:///shop.db', 'SELECT * FROM \"order\"')"))
    with pytest.raises(DeclarationError, match=r"service\.py: The query of source 'orders' has no column 'bad'"):
        check(write(shop, "et.sql('sqlite:///shop.db', 'SELECT id, t FROM orders')"))
    assert check(write(shop, f"et.sql('sqlite:///shop.db', {QUERY!r})"))[0].name == "late"


def test_a_secret_in_a_declaration_is_nowhere_afterwards(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(1))
    file = write(tmp_path, "et.sql('postgresql://u:S3^CRET$#pass@h/x', 'SELECT 1')")
    with pytest.raises(DeclarationError, match=r"service\.py, line 10: .* holds a password") as refused:
        declare(state, file)
    assert "CRET" not in str(refused.value)
    kept = [path for path in state.path.rglob("*") if path.is_file()]
    assert kept
    assert [path for path in kept if b"S3^CRET" in path.read_bytes()] == []


def test_a_database_that_is_away_is_planned_with_the_reason_and_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "S3^CRET")
    file = write(tmp_path, f"et.sql('postgresql://u:${{SHOP_PASSWORD}}@127.0.0.1:{free_port()}/x', 'SELECT 1')")
    [source] = plan_file(file).services[0].sources
    assert source.rows == 0
    assert "cannot be reached" in source.faults[0]
    assert "CRET" not in source.faults[0]
    assert declare(install(tmp_path / "state", Instant(1)), file)[0].name == "late"


def test_a_plan_reads_the_query_in_pages(shop: Path) -> None:
    file = write(shop, f"et.sql('sqlite:///shop.db', {QUERY!r}, page_rows=8)")
    [source] = plan_file(file).services[0].sources
    assert (source.rows, source.files, source.parts) == (20, 3, "pages")
    assert source.pattern == "the query on sqlite:///shop.db"


def test_tables_in_memory_become_files_once(tmp_path: Path) -> None:
    file = write(tmp_path, "et.frame(pandas.DataFrame({'id': [1], 't': ['2024-01-01'], 'bad': [True]}))")
    file.write_text("import pandas\n" + file.read_text())
    [source] = plan_file(file).services[0].sources
    assert (source.rows, source.faults) == (1, ())
    written = tmp_path / ".frames" / "orders.parquet"
    os.utime(written, ns=(1, 1))
    check(file)
    assert written.stat().st_mtime_ns == 1, "what stands is not touched"
    file.write_text(file.read_text().replace("[1]", "[2]"))
    check(file)
    assert pl.read_parquet(written)["id"].to_list() == [2]
    beside = tmp_path / "a file"
    beside.touch()
    with pytest.raises(DeclarationError, match=r"cannot be written to .*: Not a directory"):
        check(file, beside)


def test_a_pandas_table_keeps_its_types_and_its_gaps() -> None:
    table = pd.DataFrame(
        {
            "n": [1, 2],
            "x": [0.5, float("nan")],
            "text": ["a", None],
            "flag": [True, False],
            "naive": pd.to_datetime(["2024-01-01 10:00", None]),
            "aware": pd.to_datetime(["2024-01-01 10:00+02:00", "2024-01-02"], utc=True, format="ISO8601"),
            "kind": pd.Categorical(["b", "c"]),
            "whole": pd.array([1, None], dtype="Int64"),
        },
        index=[7, 8],
    )
    frame = pl.read_parquet(io.BytesIO(content_of(table)))
    assert frame.columns == list(table.columns)
    assert frame.rows() == [
        (1, 0.5, "a", True, datetime(2024, 1, 1, 10), datetime(2024, 1, 1, 8, tzinfo=UTC), "b", 1),  # noqa: DTZ001
        (2, None, None, False, None, datetime(2024, 1, 2, tzinfo=UTC), "c", None),
    ]
    assert content_of(table) == content_of(table.copy())
    for wrong in (pd.DataFrame({0: [1]}), pd.DataFrame({"x": [[1], "a"]}), pl.LazyFrame({"x": [1]})):
        with pytest.raises(DeclarationError):
            content_of(wrong)
    with pytest.raises(DeclarationError, match="finer than a microsecond"):
        content_of(pd.DataFrame({"t": pd.to_datetime(["2024-01-01 10:00:00.000000001"])}))
