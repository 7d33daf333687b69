"""Files as cells, cells as values: nothing is guessed, nothing is cast, nothing is lost."""

import io
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.config.declaration import SourceSpec
from evertrain.core.identity import Digest, SourceName
from evertrain.core.schema import Column, Kind
from evertrain.core.time import Instant, Moment
from evertrain.data.batch import Batch, Taken, check_file
from evertrain.data.column import fix_columns
from evertrain.data.source import ROW, looks_whole, read_cells
from evertrain.errors import NotFoundError, SourceError

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def read(name: str, content: bytes, zone: str | None = None, **kinds: Kind) -> Batch:
    """The file's rows, by columns `id` (text) and `t` and those given, all nullable."""
    spec = SourceSpec(
        name=SourceName("s"), files="*", key=("id",), event_time="t", known_at=Moment(column="t"), zone=zone
    )
    columns = tuple(
        Column(name=key, type=kind, nullable=True) for key, kind in {"id": "string", "t": "timestamp", **kinds}.items()
    )
    file = Taken(name=name, digest=Digest("d"), arrived=Instant(0), history=True)

    def find(_: object) -> Any:
        raise NotFoundError("There is no function here.")

    return check_file(spec, columns, file, read_cells(name, content), find)


def parquet(**columns: Any) -> bytes:
    rows = len(next(iter(columns.values())))
    target = io.BytesIO()
    pl.DataFrame({"id": [str(row) for row in range(rows)], "t": [NOON] * rows, **columns}).write_parquet(target)
    return target.getvalue()


def reasons(batch: Batch) -> list[str]:
    return [broken.reason for broken in batch.aside]


def test_instants_inside_one_microsecond_are_set_aside_both() -> None:
    nanos = pl.Series([1, 999, 1000, 2000]) + 1_704_110_400_000_000_000
    batch = read("a.parquet", parquet(seen=nanos.cast(pl.Datetime("ns", "UTC"))), seen="timestamp")
    assert batch.rows["seen"].to_list() == [NOON + timedelta(microseconds=micros) for micros in (1, 2)]
    assert reasons(batch) == ["seen: finer than a microsecond"] * 2


@pytest.mark.parametrize(
    ("values", "kind", "kept", "reason"),
    [
        (pl.Series([1, 2**40], dtype=pl.Int64), "int64", [1, 2**40], None),
        (pl.Series([1, 255], dtype=pl.UInt8), "int64", [1, 255], None),
        (pl.Series([1, 2**64 - 1], dtype=pl.UInt64), "int64", [1], "x: not a int64"),
        (pl.Series([12.0, 12.75]), "int64", [12], "x: not a whole number below 2**53"),
        (pl.Series([1.0, 9007199254740992.0]), "int64", [1], "x: not a whole number below 2**53"),
        (pl.Series([1, 2**53 + 1]), "float64", [1.0], "x: too large for an exact float"),
        (pl.Series([0.5, float("nan")]), "float64", [0.5], "x: not a finite number"),
        (pl.Series([0.5, float("-inf")]), "float64", [0.5], "x: not a finite number"),
        (pl.Series([0.1, 0.5], dtype=pl.Float32), "float64", [0.10000000149011612, 0.5], None),
        (pl.Series(["a", "b"], dtype=pl.Categorical), "string", ["a", "b"], None),
        (pl.Series([None, None]), "bool", [None, None], None),
        (pl.Series([NOON.replace(tzinfo=None)]), "timestamp", [], "zone"),
    ],
)
def test_values_of_parquet_files_fit_or_are_set_aside(
    values: pl.Series, kind: Kind, kept: list[Any], reason: str | None
) -> None:
    batch = read("a.parquet", parquet(x=values), x=kind)
    assert batch.rows["x"].to_list() == kept
    assert all(reason in said for said in reasons(batch)) if reason else not batch.aside


@pytest.mark.parametrize(
    ("values", "kind"), [(["1"], "int64"), ([1], "string"), ([1], "bool"), ([[1]], "int64"), ([True], "float64")]
)
def test_a_parquet_column_of_another_type_sets_the_file_aside(values: list[Any], kind: Kind) -> None:
    with pytest.raises(SourceError, match=r"'x' is .*; the source has"):
        read("a.parquet", parquet(x=values), x=kind)


def test_dates_and_naive_times_follow_the_zone_of_the_source() -> None:
    content = parquet(day=[date(2024, 7, 1)], at=[NOON.replace(tzinfo=None)], said=["2024-07-01T01:00:00+02:00"])
    batch = read("a.parquet", content, "America/New_York", day="timestamp", at="timestamp", said="timestamp")
    assert batch.rows.select("day", "at", "said").row(0) == (
        datetime(2024, 7, 1, 4, tzinfo=UTC),
        datetime(2024, 1, 1, 17, tzinfo=UTC),
        datetime(2024, 6, 30, 23, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("9223372036854775807", "int64", 9223372036854775807),
        ("9223372036854775808", "int64", None),
        ("007", "int64", None),
        ("1_000", "int64", None),
        (" 1", "int64", None),
        ("-0", "int64", 0),
        ("1e3", "float64", 1000.0),
        (".5", "float64", 0.5),
        ("1e999", "float64", None),
        ("NaN", "float64", None),
        ("1234567890123456", "float64", None),
        ("TRUE", "bool", True),
        ("1", "bool", None),
        ("2024-01-01T12:00:00.25+01:30", "timestamp", NOON - timedelta(hours=1, minutes=29, seconds=59.75)),
        ("2024-01-01 12:00Z", "timestamp", NOON),
        ("2024-01-01T12:00:00.000000500Z", "timestamp", None),
        ("2024-01-01T12:00:00.100000000Z", "timestamp", NOON + timedelta(milliseconds=100)),
        ("2024-02-30T12:00:00Z", "timestamp", None),
        ("2024-01-01T24:00:00Z", "timestamp", None),
        ("1704110400", "timestamp", None),
        ("null", "string", "null"),
        ("NA", "string", "NA"),
    ],
)
def test_text_becomes_exactly_the_value_or_is_set_aside(text: str, kind: Kind, value: Any) -> None:
    batch = read("a.csv", f"id,t,x\n1,2024-01-01T00:00:00Z,{text}\n".encode(), x=kind)
    if value is None:
        assert [broken.raw["x"] for broken in batch.aside] == [text]
    else:
        assert batch.rows["x"].to_list() == [value]


def test_rows_that_cannot_be_read_are_set_aside_and_the_others_stand() -> None:
    content = (
        b'id,t,x\n1,2024-01-01T00:00:00Z,a\n2,2024-01-01T00:00:00Z,\xff\n\n3,,b,c\n"4\n5",2024-01-01T00:00:00Z,""\n'
    )
    batch = read("a.csv", content, x="string")
    assert batch.rows.select("id", "x", "_row").rows() == [("1", "a", 2), ("4\n5", None, 6)]
    assert [(broken.row, broken.reason) for broken in batch.aside] == [
        (3, "not UTF-8"),
        (5, "4 fields where the header has 3"),
    ]


def test_a_json_line_that_is_not_utf8_spoils_no_other() -> None:
    batch = read("f.jsonl", b'{"id": "a", "t": "2024-01-01T12:00:00Z"}\n{"id": "\xff", "t": "2024-01-01T12:00:00Z"}\n')
    assert batch.rows["id"].to_list() == ["a"]
    assert [(broken.row, broken.reason) for broken in batch.aside] == [(2, "not UTF-8")]


def test_json_lines_are_rows_of_the_same_values() -> None:
    content = b"""
        {"id": "1", "t": "2024-01-01T00:00:00Z", "n": 9007199254740993, "x": 1.5, "b": true}
        {"id": "2", "t": "2024-01-01T00:00:00Z", "n": null, "b": false}
        {"id": "3", "t": "2024-01-01T00:00:00Z", "n": {"deep": 1}}
        {"id": "4", "t": "2024-01-01T00:00:00Z", "n": 12.75}
        {"id": "5", "t":
    """
    batch = read("a.jsonl", content, n="int64", x="float64", b="bool")
    assert batch.rows.select("id", "n", "x", "b").rows() == [
        ("1", 9007199254740993, 1.5, True),
        ("2", None, None, False),
    ]
    assert [broken.row for broken in batch.aside] == [4, 5, 6]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", b"PAR1 and no more PAR1"),
        ("a.csv", b""),
        ("a.csv", b"id,id\n"),
        ("a.csv", b"id,_file\n"),
        ("a.csv", b'id,t\n1,"open'),
        ("a.txt", b"id\n"),
    ],
)
def test_a_file_that_is_none_is_refused(name: str, content: bytes) -> None:
    with pytest.raises(SourceError):
        read(name, content)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "", "-3"], "int64"),
        (["02139", "10001"], "string"),
        (["1", "2.5"], "float64"),
        (["12345678901234567890"], "string"),
        (["true", "False"], "bool"),
        (["2024-01-01T00:00:00Z"], "timestamp"),
        (["2024-01-01T00:00:00"], "string"),
        (["", ""], "string"),
        (["NA", "DE"], "string"),
    ],
)
def test_types_are_inferred_once_from_what_is_there(values: list[str], kind: Kind) -> None:
    content = "\n".join(["id,x", *(f"{number},{value}" for number, value in enumerate(values))])
    columns = fix_columns(read_cells("a.csv", content.encode()), ["id"], [], None)
    assert columns[1] == Column(name="x", type=kind, nullable=True)


CELL = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), max_size=6)


@given(st.lists(CELL, max_size=6))
def test_text_comes_back_as_it_was_written(cells: list[str | None]) -> None:
    quoted = ['"' + cell.replace('"', '""') + '"' if cell else "" for cell in cells]
    lines = ["id,t,x", *(f"{row},2024-01-01T00:00:00Z,{cell}" for row, cell in enumerate(quoted))]
    batch = read("a.csv", ("\n".join(lines) + "\n").encode(), x="string")
    assert batch.rows["x"].to_list() == [cell or None for cell in cells]
    assert not batch.aside


@given(st.lists(st.sampled_from(["1", "02", "x", "2,3", "\udcff", "2.5", ""]), max_size=8))
def test_every_row_is_kept_or_set_aside(cells: list[str]) -> None:
    lines = ["id,t,x", *(f"{row},2024-01-01T00:00:00Z,{cell}" for row, cell in enumerate(cells))]
    batch = read("a.csv", ("\n".join(lines) + "\n").encode(errors="surrogateescape"), x="int64")
    assert batch.rows.height + len(batch.aside) == len(cells)


def test_an_arrow_stream_is_read_whole_or_not_at_all() -> None:
    frame = pl.DataFrame({"id": ["a", "b"], "n": [1, 2]})
    stream = io.BytesIO()
    frame.write_ipc_stream(stream)
    content = stream.getvalue()
    assert looks_whole("a.arrows", content[:64], content[-64:])
    assert read_cells("a.arrows", content).frame.drop(ROW).equals(frame)
    cut = content[: len(content) // 2]
    assert not looks_whole("a.arrows", cut[:64], cut[-64:])
    with pytest.raises(SourceError, match="cut off"):
        read_cells("a.arrows", cut)
