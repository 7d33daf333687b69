"""What a table holds is told as a person would tell it: types with their dirt, and what should be no input."""

import polars as pl
import pytest

from evertrain.core.schema import Column
from evertrain.core.time import DAY, Instant
from evertrain.data.column import parse
from evertrain.data.profile import find, findings, hold, label_of, settle
from evertrain.data.source import Cells, read_cells


def cells(*lines: str) -> Cells:
    return read_cells("a.csv", "\n".join([*lines, ""]).encode())


def column(name: str, values: list[str]) -> Cells:
    return cells(f"{name},t", *(f"{value},2024-01-01" for value in values))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2"], "int64"),
        ([*map(str, range(60)), "n/a"], "int64"),
        ([*(f"{number}.5" for number in range(60)), "unknown", "?"], "float64"),
        ([*map(str, range(60)), "02139"], "string"),
        ([*map(str, range(60)), "12 EUR"], "string"),
        ([*map(str, range(10)), "n/a"], "string"),
        ([*["2024-01-01"] * 60, "31.12.2024"], "timestamp"),
        ([*["true"] * 30, *["false"] * 30, "maybe"], "bool"),
        (["NO", "DE", "NA"], "string"),
    ],
)
def test_a_few_words_do_not_make_a_number_text_and_a_code_stays_text(values: list[str], kind: str) -> None:
    read = column("x", values)
    columns = settle(read, (), ("t",), "UTC")
    assert columns[0].type == kind
    [found, _] = find(read, columns, "UTC")
    assert found.filled == len(values)
    dirt = {"n/a", "unknown", "?", "31.12.2024", "maybe"}
    assert found.misfits == (0 if kind == "string" else sum(value in dirt for value in values))


def test_yes_and_no_are_a_label_and_nothing_else() -> None:
    read = column("gone", ["Yes", "No", "No", "Yes"])
    assert settle(read, (), ("t",), "UTC")[0].type == "string"
    columns = settle(read, (), ("t",), "UTC", label="gone")
    assert columns[0].type == "bool"
    assert parse(read, columns, "UTC").collect()["gone"].to_list() == [True, False, False, True]
    assert settle(column("country", ["NO", "NO"]), (), ("t",), "UTC")[0].type == "string"


def test_what_is_declared_holds() -> None:
    read = column("zip", ["2139", "501"])
    zip_code = Column(name="zip", type="string", nullable=True)
    assert settle(read, (), ("t",), "UTC", declared=[zip_code])[0] == zip_code


def table(**columns: list[object]) -> pl.DataFrame:
    count = len(next(iter(columns.values())))
    times = pl.Series("t", range(count)).cast(pl.Int64) * DAY
    return pl.DataFrame(columns).with_columns(t=times.cast(pl.Datetime("us", "UTC")))


def test_repeated_and_disputed_rows_are_counted() -> None:
    rows = table(k=["a", "b", "a"], x=[1, 2, 3]).with_columns(t=pl.lit(0).cast(pl.Datetime("us", "UTC")))
    held = hold(rows, ["k"], "t")
    assert (held.rows, held.keys, held.times, held.repeated, held.disputed) == (3, 2, 1, 1, 1)
    held = hold(rows[:2].vstack(rows[:1]), ["k"], "t")
    assert (held.repeated, held.disputed) == (1, 0)


def test_labels_are_counted_by_their_clock() -> None:
    rows = table(y=[1, 0, None, None])
    labels = label_of(rows, "y", "t", DAY, Instant(3 * DAY))
    assert (labels.labelled, labels.mature, labels.missing, labels.binary, labels.mean) == (2, 3, 1, True, 0.5)


def test_each_bad_column_is_found_for_what_it_is() -> None:
    count = 600
    label: list[object] = [number % 3 == 0 for number in range(count)]
    rows = table(
        k=[f"k{number % 200}" for number in range(count)],
        y=label,
        refund=[5.0 if gone else 0.0 for gone in label],
        reason=["price" if gone else None for gone in label],
        mail=[f"m{number % 200}@x" for number in range(count)],
        row_id=list(range(count)),
        country=["DE"] * count,
        nothing=[None] * count,
        amount=[number * 37 % 101 for number in range(count)],
        plan=["abc"[number % 7 % 3] for number in range(count)],
    ).with_columns(
        closed=pl.when(pl.Series(label)).then(pl.col("t") + pl.duration(days=3)),
        joined=pl.col("t") - pl.duration(days=30),
    )
    kinds = {"k": "string", "y": "bool", "t": "timestamp", "closed": "timestamp", "joined": "timestamp"}
    kinds |= dict.fromkeys(("reason", "mail", "country", "nothing", "plan"), "string")
    kinds |= {"refund": "float64", "row_id": "int64", "amount": "int64"}
    columns = [Column(name=name, type=kinds[name]) for name in rows.columns]  # type: ignore[arg-type]
    found = {one.column: one for one in findings(rows, columns, key=["k"], at="t", label="y")}
    assert {name: one.kind for name, one in found.items()} == {
        "refund": "leak",
        "reason": "leak",
        "mail": "identifier",
        "row_id": "identifier",
        "country": "constant",
        "nothing": "constant",
        "closed": "later",
    }
    assert found["reason"].words == "missing in 100.0% of the rows with y 0 and in 0.0% of those with 1"
    assert found["closed"].words == "200 of 200 values lie after t: known only later"
