"""A table is looked at as a whole, the text that is written of it runs, and what cannot be is refused by name."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from evertrain.core.schema import Column
from evertrain.core.time import DAY, from_datetime
from evertrain.errors import DeclarationError, UserError
from evertrain.process.declaration.declaring import check
from evertrain.process.draft.drafting import Training, cautions_of_script, draft, read_training
from evertrain.process.draft.survey import Roles, Survey, candidates, open_table, survey
from evertrain.testing.customers import customer_rows, dirty

NEWEST = datetime(2026, 1, 31, tzinfo=UTC)
NOW = from_datetime(NEWEST)
CHURN = Roles(key=("customer_id",), at="snapshot_day", label="churned", horizon=30 * DAY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("a table")
    rows = dirty(customer_rows(2_000, newest=NEWEST, days=300, seed=3))
    rows.write_csv(place / "customers.csv")
    typed = rows.filter(pl.col("charges").str.contains(r"\d") & pl.col("snapshot_day").str.contains("-"))
    numbers, day = pl.col("charges", "refund").cast(pl.Float64), pl.col("snapshot_day").str.to_date()
    typed.with_columns(numbers, day, pl.col("churned") == "true").write_parquet(place / "customers.parquet")
    return place


def look(folder: Path, pattern: str = "customers.csv", **changes: Any) -> Survey:
    roles = Roles(**({name: getattr(CHURN, name) for name in Roles.__struct_fields__} | changes))
    return survey(open_table(folder / pattern), roles, NOW)


def kinds(found: Survey) -> dict[str, str]:
    return {one.column: one.kind for one in found.findings}


def test_what_is_wrong_is_counted_and_what_leaks_is_named(folder: Path) -> None:
    found = look(folder)
    assert found.aside == {"charges: not a finite number": 2, "snapshot_day: not an ISO 8601 time": 1}
    assert found.rows + 3 == 2_014
    assert found.naive == 2_014
    assert found.held.repeated >= 14
    assert kinds(found) == {
        "refund": "leak",
        "cancel_reason": "leak",
        "closed_at": "later",
        "email": "identifier",
        "country": "constant",
    }
    assert 0.1 < found.labels.mean < 0.3
    assert [one.column.name for one in found.inputs if one.column.name in {"joined", "plan", "calls"}] == [
        "joined",
        "plan",
        "calls",
    ]


def test_a_parquet_file_tells_the_same(folder: Path) -> None:
    found = look(folder, "customers.parquet", label="churned", exclude=("joined", "closed_at"))
    assert {"refund", "cancel_reason"} <= {name for name, kind in kinds(found).items() if kind == "leak"}
    assert found.aside == {}


@pytest.mark.parametrize("exclude", [(), ("plan", "region's")])
def test_what_is_written_is_short_and_is_taken_in(folder: Path, tmp_path: Path, exclude: tuple[str, ...]) -> None:
    rows = pl.read_csv(folder / "customers.csv", infer_schema=False).with_columns(pl.lit("a").alias("region's"))
    rows.write_csv(tmp_path / "it's.csv")
    (tmp_path / "train.py").write_text("def train(data, run):\n    raise NotImplementedError\n")
    roles = Roles(key=("customer_id",), at="snapshot_day", label="churned", horizon=30 * DAY, exclude=exclude)
    found = survey(open_table(tmp_path / "it's.csv"), roles, NOW)
    text = draft("churn", "it's.csv", roles, found, read_training("train.py", tmp_path))
    assert len(text.splitlines()) <= 15
    (tmp_path / "service.py").write_text(text)
    [spec] = check(tmp_path / "service.py")
    assert "refund" not in spec.inputs.names
    assert {"calls", "days_since_joined"} <= {*spec.vector}
    assert ("plan" in spec.vector) == (not exclude)
    recipe = spec.recipes["default"].train
    assert recipe is not None
    assert recipe.module == "train"


def test_numbers_with_a_few_odd_cells_are_declared_as_numbers_and_codes_are_left(folder: Path, tmp_path: Path) -> None:
    rows = pl.read_csv(folder / "customers.csv", infer_schema=False)
    odd = {3: "n/a", 7: "12,50", 9: "1,234.50 EUR", 11: "n/a"}
    fees = [odd.get(place % 100, str(place % 83)) for place in range(rows.height)]
    codes = ["02139" if place % 50 == 0 else str(10_000 + place % 83) for place in range(rows.height)]
    rows.with_columns(
        fee=pl.Series(fees), zip=pl.Series(codes), note=pl.Series([None, "x"] * (rows.height // 2))
    ).write_csv(tmp_path / "customers.csv")
    found = look(tmp_path)
    [column] = found.mended
    assert (column.name, column.type, column.nullable) == ("fee", "float64", True)
    by_name = {one.column.name: one for one in found.columns}
    assert by_name["fee"].samples == ("n/a", "12,50", "1,234.50 EUR")
    assert by_name["fee"].misfits == 84
    assert found.aside["fee: not a finite number"] == 83  # of one row, something else is told
    assert by_name["zip"].column.type == "string"
    assert by_name["note"].empty == rows.height // 2
    text = draft("churn", "customers.csv", CHURN, found, Training())
    assert 'columns={"fee": "float64?"},  # 84 rows are set aside: "n/a", "12,50", "1,234.50 EUR"' in text
    (tmp_path / "service.py").write_text(text)
    [spec] = check(tmp_path / "service.py")
    assert {one.name: one.type for one in spec.sources[0].columns}["fee"] == "float64"


def test_a_number_to_predict_gets_an_output_and_a_gate_of_its_own(folder: Path) -> None:
    found = look(folder, label="charges")
    text = draft("spend", "customers.csv", CHURN, found, Training())
    assert 'output="value"' in text
    assert 'primary="mae"' in text


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("def train(data, run): ...\n", "train"),
        ("from sklearn.dummy import DummyClassifier\n\npipeline = DummyClassifier()\n", "pipeline"),
        ("import sys\n\nprint(sys.argv)\n\n\ndef train(x): ...\n", 'et.script("own.py")'),
        ("import argparse\n\nmodel = argparse.ArgumentParser()\n", 'et.script("own.py")'),
        ("def train(data, run): ...\nif __name__ == '__main__':\n    train(pandas.read_csv('c.csv'), None)\n", "train"),
        ("import sys, pandas\n\nrows = pandas.read_csv(sys.argv[1])\n", 'et.script("own.py", "{csv}")'),
    ],
)
def test_a_file_to_train_by_is_read_for_what_it_is(tmp_path: Path, text: str, expression: str) -> None:
    (tmp_path / "own.py").write_text(text)
    assert read_training("own.py", tmp_path).expression == expression


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("own.py", "x = 1\n", "defines neither train nor an estimator"),
        ("own.py", "def train(:\n", "is not Python"),
        ("own.py", "import pandas\nmodel = 1\npandas.read_csv('c.csv')", r"reads 'c\.csv' itself, in line 3"),
        ("own.py", "import pandas\npandas.read_csv('c.csv')", r"reads 'c\.csv' itself, in line 2.*sys\.argv\[1\]"),
        (
            "own.py",
            "import pandas\ndef train():\n  r = pandas.read_csv(HERE / 'c.csv')\n  y = r['left'] == 'yes'\ntrain()",
            r"reads 'c\.csv' itself, in line 3.*And line 4 takes the label 'left' for text .*; it arrives as 1\.0",
        ),
        ("own.py", "import pandas\ndef train(path):\n  return pandas.read_csv(path)\n", "defines neither train"),
        ("other.py", "", "there is no Python file"),
        ("sklaern", "", "there is no Python file"),
    ],
)
def test_a_file_to_train_by_that_cannot_be_is_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(UserError, match=says):
        read_training(name, tmp_path, "left")


def test_what_a_script_takes_for_granted_is_told_before_any_training(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import sys, joblib, pandas\nrows = pandas.read_csv(sys.argv[2])\n"
        "y = rows['left'].map({'yes': 1, 'no': 0})\njoblib.dump(model, 'churn_model.joblib')\n"
    )
    told = " ".join(read_training("own.py", tmp_path, "left").words)
    assert "line 3 takes the label 'left' for text ('yes'); it arrives as 1.0 and 0.0" in told
    assert "line 4 leaves the model at 'churn_model.joblib', where nobody looks for it" in told
    named = " ".join(read_training("own.py", tmp_path, "left", "").words)
    assert "takes the label" not in named


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("rows['charges'].str.replace(',', '.')", True),
        ("rows.charges.str.strip()", True),
        ("pl.col('charges').str.replace(',', '.')", True),
        ("rows['plan'].str.lower()", False),
        ("rows['charges'].astype(str).str.replace(',', '.')", False),
        ("rows['charges'].round()", False),
    ],
)
def test_a_column_of_numbers_that_a_script_takes_for_text_is_told(tmp_path: Path, line: str, told: bool) -> None:
    (tmp_path / "own.py").write_text(f"import sys, pandas\nrows = pandas.read_csv(sys.argv[1])\nx = {line}\n")
    columns = [Column(name="charges", type="float64"), Column(name="plan", type="string")]
    says = "line 3 takes 'charges' for text (.str); it arrives as float64: change that line, or no training succeeds"
    words = read_training("own.py", tmp_path, "left", columns=columns).words
    assert (says in words) is told
    assert (says in cautions_of_script(tmp_path / "own.py", "left", "", columns)) is told


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"at": "snapshot"}, 'Did you mean "snapshot_day"'),
        ({"exclude": ("plan", "refnud")}, """--exclude: there is no column 'refnud'. Did you mean "refund"?"""),
        ({"label": "email"}, "is string, with [0-9]{3} values such as 'c00.*3 to 50 classes"),
        ({"label": "cancel_reason"}, "is string, with 1 values such as 'price'"),
        ({"at": "email"}, "No row of the table fits: email: not an ISO 8601 time"),
        ({"label": "joined"}, "is timestamp"),
    ],
)
def test_a_role_that_no_column_can_have_is_refused(folder: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        look(folder, **changes)


def test_what_was_not_said_gets_candidates(folder: Path) -> None:
    found = candidates(open_table(folder / "customers.csv").cells[0], "UTC")
    assert found["key"][0] == "customer_id"
    assert found["at"][0] in {"snapshot_day", "joined"}
    assert "churned" in found["label"]
    assert found["classes"] == ("plan",)


def test_files_that_cannot_be_read_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        open_table(tmp_path / "none.csv")
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(UserError, match="not even a header"):
        open_table(tmp_path / "*.csv")
    (tmp_path / "b.csv").write_bytes((folder / "customers.csv").read_bytes())
    (tmp_path / "c.csv").write_text("other,columns\n1,2\n")
    opened = open_table(tmp_path / "*.csv")
    assert len(opened.cells) == 1
    assert [fault.partition(":")[0] for fault in opened.faults] == ["a.csv", "c.csv"]


def test_a_table_without_a_file_yet_says_what_it_waits_for(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(
        "import evertrain as et\n\n"
        'service = et.Service.from_table("churn", "x.csv", key="id", at="t", label="y", horizon="1d")\n'
    )
    with pytest.raises(DeclarationError, match="nothing there shows its columns"):
        check(tmp_path / "service.py")
    (tmp_path / "x.csv").write_text("id,t,amount\n1,2024-01-01,5\n")
    with pytest.raises(DeclarationError, match="Label 'y' of service 'churn' is no column"):
        check(tmp_path / "service.py")


def test_the_types_on_record_hold_whatever_a_file_says_now(tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(
        "import evertrain as et\n\n"
        'service = et.Service.from_table("churn", "x.csv", key="id", at="t", label="y", horizon="1d")\n'
    )
    (tmp_path / "x.csv").write_text("id,t,amount,y\n1,2024-01-01,5,0\n")
    [first] = check(tmp_path / "service.py")
    (tmp_path / "x.csv").write_text("id,t,amount,y\n1,2024-01-01,five,0\n")
    [second] = check(tmp_path / "service.py", fixed={first.sources[0].name: first.sources[0].columns})
    assert second == first


def test_a_text_of_a_few_values_is_written_as_classes_and_one_more_is_set_aside(tmp_path: Path) -> None:
    rows = customer_rows(1_000, newest=NEWEST, days=300, seed=3).select("customer_id", "snapshot_day", "calls", "plan")
    rows.write_csv(tmp_path / "plans.csv")
    roles = Roles(key=("customer_id",), at="snapshot_day", label="plan", horizon=DAY)
    found = survey(open_table(tmp_path / "plans.csv"), roles, NOW)
    assert list(found.labels.classes) == ["basic", "plus", "pro"]
    assert sum(found.labels.classes.values()) == pytest.approx(1.0)
    (tmp_path / "service.py").write_text(draft("plans", "plans.csv", roles, found, Training()))
    [spec] = check(tmp_path / "service.py")
    assert spec.output.names == ("basic", "plus", "pro")
    assert [(one.rule, one.column, one.values) for one in spec.sources[0].checks] == [
        ("one_of", "plan", ("basic", "plus", "pro"))
    ]
    text = (tmp_path / "service.py").read_text()
    (tmp_path / "service.py").write_text(text.replace('    output=et.classes("basic", "plus", "pro"),\n', ""))
    with pytest.raises(DeclarationError, match=r'is string\..*output=et\.classes\("basic", "plus", "pro"\)'):
        check(tmp_path / "service.py")
