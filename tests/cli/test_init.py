"""`evertrain init` as it is typed: what it prints for people and machines, and what it refuses."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest
from typer.testing import CliRunner

from evertrain.cli import command_line
from evertrain.cli.up import BEYOND_ONE_TABLE
from evertrain.errors import EvertrainError, UserError
from evertrain.testing.customers import customer_rows

ROLES = ["--key", "customer_id", "--at", "snapshot_day", "--label", "churned", "--horizon", "30d"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    customer_rows(600, newest=datetime(2026, 1, 31, tzinfo=UTC), days=300, seed=4).write_csv("customers.csv")
    return tmp_path


def run(*words: str) -> str:
    result = CliRunner().invoke(command_line(["init"]), ["init", "churn", *words])
    if isinstance(result.exception, EvertrainError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_people_read_what_was_found_what_is_written_and_what_comes_next(folder: Path) -> None:
    said = run("--data", "customers.csv", *ROLES)
    assert said.startswith("customers.csv: 600 rows\n")
    assert "  left out    refund: a leak: alone it gives churned with AUC" in said
    assert (folder / "service.py").read_text() in said
    assert said.splitlines()[-1] == BEYOND_ONE_TABLE


def test_machines_get_all_of_it(folder: Path) -> None:
    told = msgspec.json.decode(run("--data", str(folder / "*.csv"), *ROLES, "--json", "--out", "code/churn.py"))
    assert told["file"] == "code/churn.py"
    assert told["lines"] == len((folder / "code" / "churn.py").read_text().splitlines())
    assert {one["column"] for one in told["found"]["findings"]} >= {"refund", "cancel_reason", "closed_at"}
    assert str(folder / "*.csv") in (folder / "code" / "churn.py").read_text()


def test_dirt_and_empty_cells_are_named_by_column(folder: Path) -> None:
    rows = pl.read_csv("customers.csv", infer_schema=False).with_row_index()
    odd = pl.when(pl.col("index") % 40 == 0).then(pl.lit("12,50")).otherwise("charges")
    empty = pl.when(pl.col("index") % 3 > 0).then("calls")
    rows.with_columns(charges=odd, calls=empty).drop("index").write_csv("customers.csv")
    said = run("--data", "customers.csv", *ROLES)
    assert "charges: float64; 15 values do not fit, such as '12,50'" in said
    assert "calls: int64, 200 cells empty" in said
    assert "look at     charges: rows with cells that do not fit are set aside; a function in `repair=` keeps" in said
    assert "`repair=` mends rows of the table, no requests: one with such a value gets a 400 that names the" in said


def test_a_file_that_stands_is_not_touched(folder: Path) -> None:
    (folder / "service.py").write_text("# mine\n")
    with pytest.raises(UserError, match=r"service\.py exists"):
        run("--data", "customers.csv", *ROLES)
    assert (folder / "service.py").read_text() == "# mine\n"


def test_what_was_not_said_is_asked_for_with_the_columns_that_could_be_meant(folder: Path) -> None:
    with pytest.raises(UserError) as refused:
        run("--data", "customers.csv", "--key", "customer_id")
    assert refused.value.what == "Not said: --at, --label, --horizon."
    assert "--at: columns of times: snapshot_day, joined, closed_at." in refused.value.remedy
    assert "--label: columns with two values: churned." in refused.value.remedy
    assert "for example 30d" in refused.value.remedy
    assert not (folder / "service.py").exists()


def test_a_horizon_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="--horizon: '30' is not a duration"):
        run("--data", "customers.csv", *ROLES[:-1], "30")
