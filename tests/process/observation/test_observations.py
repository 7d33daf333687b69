"""A table of predictions is read strictly: nothing is cast, guessed or dropped in silence."""

from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from evertrain.core.time import parse_instant
from evertrain.errors import EvertrainError, UserError
from evertrain.process.observation.observations import Named, Seen, read_reference, read_table

NAMED = Named(score="p", label="churned", time="at", segments=("zip",))
HEADER = "id,at,p,churned,zip,country\n"


def read(folder: Path, text: str | bytes, named: Named = NAMED, name: str = "predictions.csv") -> Seen:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(file, named)


def rows(*lines: str) -> str:
    return HEADER + "".join(f"{line}\n" for line in lines)


GOOD = rows(
    "a,2024-05-01T10:00:00Z,0.5,1,02139,NA",
    "b,2024-05-01T11:00:00+02:00,0.25,0,00501,",
    "c,2024-05-02T10:00:00Z,0.9,,K1A 0B1,NO",
)


def test_codes_stay_codes_and_missing_labels_are_labels_that_have_not_come(tmp_path: Path) -> None:
    seen = read(tmp_path, GOOD)
    found = seen.observations
    assert found.at.tolist() == [
        parse_instant(text) for text in ("2024-05-01T09:00:00Z", "2024-05-01T10:00:00Z", "2024-05-02T10:00:00Z")
    ]
    assert found.score.tolist() == [0.25, 0.5, 0.9]
    assert found.label[:2].tolist() == [0.0, 1.0]
    assert np.isnan(found.label[2])
    assert found.rows["zip"].to_list() == ["00501", "02139", "K1A 0B1"]
    assert found.rows["country"].to_list() == [None, "NA", "NO"]
    assert (seen.kind, seen.inputs, seen.notices) == ("probability", ("p", "id", "zip", "country"), ())


def test_a_parquet_table_says_the_same(tmp_path: Path) -> None:
    frame = pl.read_csv(GOOD.encode(), schema_overrides={"zip": pl.String}, null_values={"country": ""})
    frame = frame.with_columns(
        pl.col("at").str.to_datetime(time_zone="UTC"), churned=pl.col("churned").cast(pl.Float64)
    )
    frame = frame.with_columns(churned=pl.col("churned").fill_null(float("nan")), embedding=[[1.0], [2.0], [3.0]])
    frame.write_parquet(tmp_path / "p.parquet")
    seen = read_table(tmp_path / "p.parquet", NAMED)
    expected = read(tmp_path, GOOD).observations
    assert seen.observations.at.tolist() == expected.at.tolist()
    np.testing.assert_array_equal(seen.observations.label, expected.label)
    assert seen.notices == ("Not looked at, because of their type: 'embedding'.",)


@pytest.mark.parametrize(
    ("zone", "read_as", "instant"),
    [(None, "UTC; --zone names another", "2024-05-01T10:00:00Z"), ("Europe/Berlin",) * 2 + ("2024-05-01T08:00:00Z",)],
)
def test_times_without_a_zone_are_read_as_is_said(tmp_path: Path, zone: str | None, read_as: str, instant: str) -> None:
    named = msgspec.structs.replace(NAMED, zone=zone)
    seen = read(tmp_path, rows("a,2024-05-01 10:00,0.5,1,1,x", "b,2024-05-02T10:00:00Z,0.5,1,1,x"), named)
    assert seen.observations.at[0] == parse_instant(instant)
    assert seen.notices == (f"1 time in at without a zone, read as {read_as}.",)


def test_days_alone_are_times_without_a_zone(tmp_path: Path) -> None:
    seen = read(tmp_path, rows("a,2024-05-01,0.5,1,1,x"))
    assert seen.observations.at.tolist() == [parse_instant("2024-05-01T00:00:00Z")]
    assert seen.notices == ("1 time in at without a zone, read as UTC; --zone names another.",)


def test_rows_that_cannot_be_read_are_set_aside_and_told(tmp_path: Path) -> None:
    seen = read(
        tmp_path,
        GOOD + "d,yesterday,0.5,1,1,x\ne,2024-05-01T10:00:00.000000001Z,0.5,1,1,x\nf,,0.5,1,1,x\n"
        "g,2024-05-01T10:00:00Z,,1,1,x\nh,2024-05-01T10:00:00Z,0.5\n",
    )
    assert len(seen.observations.at) == 3
    assert "1 row that cannot be read; the first is row 9: 3 fields where the header has 6." in seen.notices
    told = next(notice for notice in seen.notices if "set aside" in notice)
    assert told == (
        "4 rows set aside: at: not an ISO 8601 time (row 5); at: finer than a microsecond (row 6); "
        "at: missing (row 7); and 1 more."
    )


def test_only_the_first_row_of_a_key_counts(tmp_path: Path) -> None:
    text = rows(
        "a,2024-05-02T10:00:00Z,0.9,1,1,x", "a,2024-05-01T10:00:00Z,0.1,0,1,x", "b,2024-05-02T10:00:00Z,0.5,1,1,x"
    )
    seen = read(tmp_path, text, msgspec.structs.replace(NAMED, key="id"))
    assert seen.observations.score.tolist() == [0.1, 0.5]
    assert seen.warnings[0].startswith("1 of 3 rows repeats a value of id, and only the first of each is looked at")
    assert seen.inputs == ("p", "zip", "country")


HUNDRED = [
    f"r{number},2024-05-{1 + number % 28:02}T10:00:00Z,0.{number % 9 + 1},{number % 2},K1,NO" for number in range(100)
]


FAR = "1 row set aside, whose at is far from that of all others: the first is row 102, "


@pytest.mark.parametrize(
    ("at", "score", "label", "says"),
    [
        ("2024-05-03", "n/a", "1", "1 row set aside: p is 'n/a' in row 102, which is no number."),
        ("2024-05-03", "1.7", "1", "1 row set aside: p is 1.7 in row 102, which is no probability."),
        ("2024-05-03", "0.5", "maybe", "1 row set aside: churned is 'maybe' in row 102, which is no number."),
        ("2024-05-03", "0.5", "2.0", "1 row set aside: churned is 2.0 in row 102, where all others are 0 and 1."),
        ("1970-01-01", "0.5", "1", f"{FAR}1970-01-01T10:00:00Z."),
        ("2099-05-03", "0.5", "1", f"{FAR}2099-05-03T10:00:00Z."),
    ],
)
def test_one_odd_row_is_set_aside_and_changes_nothing_else(
    tmp_path: Path, at: str, score: str, label: str, says: str
) -> None:
    clean = read(tmp_path, rows(*HUNDRED))
    seen = read(tmp_path, rows(*HUNDRED, f"x,{at}T10:00:00Z,{score},{label},K1,NO"))
    assert seen.notices == (says,)
    assert (seen.kind, len(seen.observations.at)) == (clean.kind, 100) == ("probability", 100)
    assert seen.observations.rows.equals(clean.observations.rows)


def test_one_odd_cell_does_not_make_text_of_a_column(tmp_path: Path) -> None:
    """Nor do digits that are a code, such as 02139, become missing in a column of other digits."""
    lines = [f"2024-05-{1 + n % 28:02}T10:00:00Z,0.5,{n % 2},K1,{n * 1.5},{10_000 + n}" for n in range(100)]
    lines[40] = "2024-05-13T10:00:00Z,0.5,1,K1,$12,02139"
    seen = read(tmp_path, "at,p,churned,zip,amount,postcode\n" + "\n".join(lines))
    assert seen.notices == ("1 row read as missing there: amount is '$12' in row 42, which is no number.",)
    assert seen.observations.rows["amount"].dtype == pl.Float64()
    assert seen.observations.rows["amount"].null_count() == 1
    assert "02139" in seen.observations.rows["postcode"].to_list()


def test_text_in_parquet_is_read_as_in_csv(tmp_path: Path) -> None:
    """Amounts that are written as text are numbers, with or without one odd cell; codes stay codes."""
    amounts = [f"{number}.25" for number in range(100)]
    cells: dict[str, list[str]] = {
        "at": [f"2024-05-{1 + number % 28:02}T10:00:00Z" for number in range(100)],
        "p": ["0.5"] * 100,
        "churned": [str(number % 2) for number in range(100)],
        "zip": [f"0{number % 7}139" for number in range(100)],
        "amount": amounts,
        "odd": [*amounts[:40], "$12", "", *amounts[42:]],
    }
    frame = pl.DataFrame(cells)
    frame.with_columns(pl.col("amount").cast(pl.Categorical)).write_parquet(tmp_path / "p.parquet")
    frame.write_csv(tmp_path / "p.csv")
    parquet, csv = (read_table(tmp_path / name, NAMED) for name in ("p.parquet", "p.csv"))
    assert parquet.observations.rows.equals(csv.observations.rows)
    assert [parquet.observations.rows[name].dtype for name in ("amount", "odd", "zip")] == [
        pl.Float64(), pl.Float64(), pl.String(),
    ]  # fmt: skip
    assert parquet.observations.rows["odd"].null_count() == 2
    assert any("odd is '$12' in row " in notice for notice in parquet.notices)
    np.testing.assert_array_equal(parquet.observations.label, csv.observations.label)


def test_many_odd_rows_are_what_the_column_is(tmp_path: Path) -> None:
    """Old rows that are a tenth of all, and labels of three kinds, are no strays."""
    old = [line.replace("2024-", "2014-") for line in HUNDRED[:10]]
    assert len(read(tmp_path, rows(*HUNDRED, *old)).observations.at) == 110
    counts = [line.replace(",0,K1", f",{number % 3},K1") for number, line in enumerate(HUNDRED)]
    assert read(tmp_path, rows(*counts)).kind == "value"


def test_a_table_without_labels_is_read(tmp_path: Path) -> None:
    seen = read(tmp_path, GOOD, msgspec.structs.replace(NAMED, label=None))
    assert np.isnan(seen.observations.label).all()
    assert (seen.kind, "churned" in seen.inputs) == ("probability", True)


def test_words_are_a_label_once_the_positive_one_is_named(tmp_path: Path) -> None:
    text = rows(
        "a,2024-05-01T10:00:00Z,0.5,left,1,x",
        "b,2024-05-02T10:00:00Z,0.5,stayed,1,x",
        "c,2024-05-03T10:00:00Z,0.5,,1,x",
    )
    seen = read(tmp_path, text, msgspec.structs.replace(NAMED, positive="left"))
    np.testing.assert_array_equal(seen.observations.label, [1.0, 0.0, np.nan])
    with pytest.raises(
        UserError, match=r"The label 'churned' is neither a number nor true and false: it holds .*'left'"
    ):
        read(tmp_path, text)
    with pytest.raises(UserError, match="No row of 'churned' is 'gone'; its values are 'left', 'stayed'"):
        read(tmp_path, text, msgspec.structs.replace(NAMED, positive="gone"))


@pytest.mark.parametrize(
    ("label", "score", "kind"), [("true", "0.5", "probability"), ("1", "1", "probability"), ("17.5", "16", "value")]
)
def test_the_kind_is_told_by_the_labels(tmp_path: Path, label: str, score: str, kind: str) -> None:
    assert read(tmp_path, rows(f"a,2024-05-01T10:00:00Z,{score},{label},1,x")).kind == kind


def test_margins_are_no_probabilities(tmp_path: Path) -> None:
    text = rows("a,2024-05-01T10:00:00Z,-1.5,1,1,x", "b,2024-05-01T10:00:00Z,0.5,0,1,x")
    with pytest.raises(UserError, match="1 of 2 scores in 'p' lie outside 0 and 1"):
        read(tmp_path, text)
    assert read(tmp_path, text, msgspec.structs.replace(NAMED, kind="value")).kind == "value"


@pytest.mark.parametrize(
    ("content", "name", "says", "remedy"),
    [
        (b"", "p.csv", "p.csv is empty", "header and at least one row"),
        (HEADER.encode(), "p.csv", "holds no row that can be read", "header and at least one row"),
        (b"PAR1 and then nothing", "p.parquet", "'p.parquet' is no readable Parquet file", ""),
        (b"a,b\n\"1,2\n", "p.csv", "'p.csv' is no readable CSV file", ""),
        (b"{}", "p.json", "'p.json' has no known form", "csv"),
        (b"at,p,churnd,zip\n2024-05-01T10:00:00Z,1,1,1\n", "p.csv", "no column 'churned'", 'Did you mean "churnd"?'),
        (b"at,P,churned,zip\n2024-05-01T10:00:00Z,1,1,1\n", "p.csv", "no column 'p'", 'Did you mean "P"?'),
        (b"at,p,churned\n2024-05-01T10:00:00Z,1,1\n", "p.csv", "no column 'zip'", "Known are: at, churned, p."),
        (b"at,p,churned,zip\n5,1,1,1\n", "p.csv", "time in row 2, which holds '5'.", "--time"),
        (b"at,p,churned,zip\n2024-05-01,hi,1,1\n", "p.csv", "The score 'p' is neither a number", "--score"),
    ],
)  # fmt: skip
def test_what_is_no_table_of_predictions_is_refused(
    tmp_path: Path, content: bytes, name: str, says: str, remedy: str
) -> None:
    with pytest.raises(EvertrainError) as caught:
        read(tmp_path, content, name=name)
    assert says in caught.value.what
    assert remedy in caught.value.remedy


def test_a_mistyped_column_is_a_fault_of_the_command_and_not_of_the_file(tmp_path: Path) -> None:
    """`evertrain explain` then says nothing of files that were set aside."""
    with pytest.raises(UserError, match="has no column 'pp'") as caught:
        read(tmp_path, GOOD, msgspec.structs.replace(NAMED, score="pp"))
    assert caught.value.code == "ET-U01"


def test_numbers_are_no_times(tmp_path: Path) -> None:
    pl.DataFrame({"at": [1_714_557_600], "p": [0.5], "churned": [1], "zip": ["1"]}).write_parquet(
        tmp_path / "p.parquet"
    )
    with pytest.raises(UserError, match=r"holds numbers .*, not times: their unit and zone would be a guess"):
        read_table(tmp_path / "p.parquet", NAMED)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"time": "p"}, "Column 'p' is named twice"),
        ({"segments": ("churned",)}, "Column 'churned' cannot make segments"),
        ({"zone": "Europe/Berln"}, "There is no time zone 'Europe/Berln'"),
    ],
)
def test_roles_that_cannot_be_are_refused(tmp_path: Path, change: dict[str, str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(tmp_path, GOOD, msgspec.structs.replace(NAMED, **change))


def test_a_reference_needs_inputs_alone(tmp_path: Path) -> None:
    present = read(tmp_path, GOOD)
    (tmp_path / "then.csv").write_text("zip,age\n02139,4\n10001,5\n")
    found = read_reference(tmp_path / "then.csv", NAMED, present)
    assert (found.inputs, len(found.observations.at)) == (("zip",), 0)
    assert found.observations.rows["zip"].to_list() == ["02139", "10001"]
    assert found.notices == (
        "then.csv has no 'p', 'id', 'country': not compared.",
        "then.csv has no column at: its rows are taken as independent of each other.",
    )
    (tmp_path / "other.csv").write_text("age\n4\n")
    with pytest.raises(UserError, match=r"other.csv has none of the inputs"):
        read_reference(tmp_path / "other.csv", NAMED, present)


def test_label_and_score_that_are_swapped_are_suspected_with_the_remedy(tmp_path: Path) -> None:
    right = "Then it is --score p --label churned."
    swapped = msgspec.structs.replace(NAMED, score="churned", label="p")
    seen = read(tmp_path, rows(*HUNDRED), swapped)
    assert seen.kind == "value"
    assert seen.warnings == (
        f"Every score in 'churned' is 0 or 1, and the labels in 'p' are shares between: are the two swapped? {right}",
    )
    with pytest.raises(EvertrainError, match="so 'churned' is no probability of it") as refused:
        read(tmp_path, rows(*HUNDRED), msgspec.structs.replace(swapped, kind="probability"))
    assert refused.value.remedy.endswith(right)
    words = rows(*(line.replace(",1,K1", ",yes,K1").replace(",0,K1", ",no,K1") for line in HUNDRED))
    with pytest.raises(EvertrainError, match="The score 'churned' is neither a number") as refused:
        read(tmp_path, words, swapped)
    assert right in refused.value.remedy
    assert read(tmp_path, rows(*HUNDRED)).warnings == ()


def test_the_positive_value_may_be_a_number_and_a_missing_label_stays_missing(tmp_path: Path) -> None:
    named = msgspec.structs.replace(NAMED, positive="0")
    for zero in ("0", "0.0"):
        seen = read(tmp_path, GOOD.replace(",0,00501", f",{zero},00501"), named)
        assert seen.observations.label[:2].tolist() == [1.0, 0.0]
        assert np.isnan(seen.observations.label[2])


def test_words_that_are_predicted_and_come_are_classes(tmp_path: Path) -> None:
    lines = [f"2024-05-{1 + n:02}T10:00:00Z,{('bus', 'tram', 'car')[n % 3]},{('bus', 'car')[n % 2]}" for n in range(20)]
    named = Named(score="predicted", label="came", time="at")
    seen = read(tmp_path, "at,predicted,came\n" + "\n".join([*lines, "2024-05-21T10:00:00Z,bus,"]), named)
    assert (seen.kind, seen.inputs, seen.classes) == ("classes", ("predicted",), ("came", "predicted"))
    assert seen.observations.label[:4].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert np.isnan(seen.observations.label[20])
    assert set(seen.observations.score) == {1.0}
    with pytest.raises(EvertrainError, match="The score 'predicted' is neither a number") as refused:
        read(
            tmp_path,
            "at,predicted\n" + "\n".join(line.rpartition(",")[0] for line in lines),
            Named(score="predicted", label=None, time="at"),
        )
    assert refused.value.remedy.endswith("say --kind classes.")


def test_whole_numbers_are_asked_about_and_taken_as_said(tmp_path: Path) -> None:
    lines = [f"2024-05-{1 + n:02}T10:00:00Z,{n % 3},{n % 4 % 3}.0" for n in range(24)]
    table, named = "at,predicted,came\n" + "\n".join(lines), Named(score="predicted", label="came", time="at")
    with pytest.raises(EvertrainError, match="'predicted' and 'came' hold the same 3 whole numbers: are they") as asked:
        read(tmp_path, table, named)
    assert asked.value.remedy == "Say it: --kind classes, or --kind value."
    assert read(tmp_path, table, msgspec.structs.replace(named, kind="value")).kind == "value"
    classes = read(tmp_path, table, msgspec.structs.replace(named, kind="classes"))
    assert classes.observations.label.tolist() == [float(n % 3 == n % 4 % 3) for n in range(24)]
    assert classes.observations.rows["came"][0] == "0"
    with pytest.raises(EvertrainError, match="Classes have no positive value"):
        read(tmp_path, table, msgspec.structs.replace(named, kind="classes", positive="1"))
