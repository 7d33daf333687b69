"""Versioned tables: exactly once, lossless, readable at any version, in folders with odd names."""

import datetime
from pathlib import Path
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.identity import Digest, digest_of_bytes
from evertrain.errors import IntegrityError, NotFoundError, SourceError, UserError
from evertrain.store.table import TIME, Table, digest

NOON = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)


def rows(*numbers: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "key": [f"k{number}" for number in numbers],
            "count": list(numbers),
            "share": [None if number % 2 else number / 7 for number in numbers],
            "vip": [number % 3 == 0 for number in numbers],
            "at": [NOON + datetime.timedelta(microseconds=number) for number in numbers],
        },
        schema={"key": pl.String, "count": pl.Int64, "share": pl.Float64, "vip": pl.Boolean, "at": TIME},
    )


def test_what_was_appended_is_read_back_at_every_version(tmp_path: Path) -> None:
    table = Table(tmp_path, "source.orders")
    assert table.version() == -1
    first, second = rows(1, 2, 3), rows(9007199254740993, 5)
    assert table.append(first, writer="w", sequence=0) is not None
    before = digest(table.read(), ["key"])
    committed = table.append(second, writer="w", sequence=1, note='{"files":{}}')
    assert committed is not None
    assert (committed.version, committed.rows, committed.note) == (1, 2, '{"files":{}}')
    assert table.version() == 1
    assert table.schema == first.schema
    assert table.read(0).sort("count").equals(first)
    assert digest(table.read(0), ["key"]) == before == digest(first, ["key"])
    assert table.read().sort("count").equals(pl.concat([first, second]).sort("count"))
    assert table.read(columns=["count"], where=pl.col("vip"))["count"].sort().to_list() == [3, 9007199254740993]


def test_a_repeated_position_changes_nothing(tmp_path: Path) -> None:
    table = Table(tmp_path, "t")
    assert table.append(rows(1), writer="w", sequence=4) is not None
    assert table.append(rows(1), writer="w", sequence=4) is None
    assert Table(tmp_path, "t").append(rows(1), writer="w", sequence=3) is None
    assert table.append(rows(1), writer="other", sequence=0) is not None
    assert (table.version(), table.read().height, table.position("w"), table.position("nobody")) == (1, 2, 4, -1)


def test_several_writers_in_one_commit_are_all_new_or_refused(tmp_path: Path) -> None:
    table = Table(tmp_path, "t")
    table.append_from(rows(1, 2), {"a": 7, "b": 3})
    assert table.append_from(rows(1, 2), {"a": 7, "b": 3}) is None
    with pytest.raises(IntegrityError, match="rows of b already"):
        table.append_from(rows(3), {"a": 8, "b": 3})
    assert table.read().height == 2


def test_a_commit_names_the_digest_of_every_file_that_it_added(tmp_path: Path) -> None:
    table = Table(tmp_path, "t")
    vouched: dict[str, Digest] = {}
    for number in range(12):
        committed = table.append(rows(number), writer="w", sequence=number)
        assert committed is not None
        vouched |= committed.files
    there = {str(path.relative_to(table.path)) for path in table.path.rglob("*") if path.is_file()}
    assert set(vouched) == there
    assert all(digest_of_bytes((table.path / name).read_bytes()) == value for name, value in vouched.items())
    assert [commit.version for commit in table.commits(after=9)] == [10, 11]
    assert {name: value for commit in table.commits() for name, value in commit.files.items()} == vouched


@pytest.mark.parametrize(
    "wrong",
    [
        pl.DataFrame({"n": [12.75]}),
        pl.DataFrame({"n": [12.0]}),
        pl.DataFrame({"n": ["12"]}),
        pl.DataFrame({"n": [12]}, schema={"n": pl.Int32}),
        pl.DataFrame({"m": [12]}),
        pl.DataFrame({"n": [12], "m": [1]}),
        pl.DataFrame({"n": [NOON]}, schema={"n": pl.Datetime("ns", "UTC")}),
        pl.DataFrame({"n": [NOON.replace(tzinfo=None)]}),
    ],
)
def test_nothing_is_cast(tmp_path: Path, wrong: pl.DataFrame) -> None:
    table = Table(tmp_path, "t")
    table.append(pl.DataFrame({"n": [12]}), writer="w", sequence=0)
    with pytest.raises(SourceError, match=r"'[nm]'"):
        table.append(wrong, writer="w", sequence=1)
    assert table.read()["n"].to_list() == [12]


@pytest.mark.parametrize("folder", ["my projects", "Grüße ☃", "a # b?", "100% mine", "{x}*"])
def test_folders_with_odd_names_hold_the_same_rows(tmp_path: Path, folder: str) -> None:
    plain, odd = Table(tmp_path / "plain", "source.x y"), Table(tmp_path / folder, "source.x y")
    for table in (plain, odd):
        for number in range(3):
            table.append(rows(number), writer="w", sequence=number)
    assert digest(odd.read(), ["key"]) == digest(plain.read(), ["key"])
    assert digest(odd.read(1), ["key"]) == digest(plain.read(1), ["key"])
    assert {path.name for path in tmp_path.iterdir()} == {"plain", folder}


@pytest.mark.parametrize("folder", ["my%20projects", "[1]", "a|b", "a\\b", "a^b", "a\tb"])
def test_a_folder_that_the_library_cannot_open_is_refused_before_anything_is_written(
    tmp_path: Path, folder: str
) -> None:
    with pytest.raises(UserError, match="Choose a folder without it"):
        Table(tmp_path / folder, "t")
    assert not list(tmp_path.iterdir())


def test_an_unknown_version_or_table_is_named(tmp_path: Path) -> None:
    table = Table(tmp_path, "t")
    with pytest.raises(NotFoundError, match="'t' does not exist yet"):
        table.read()
    table.append(rows(1), writer="w", sequence=0)
    with pytest.raises(NotFoundError, match="no version 3; the newest is 0"):
        table.read(3)


def test_files_of_a_killed_writer_are_swept(tmp_path: Path) -> None:
    table = Table(tmp_path, "t")
    table.append(rows(1), writer="w", sequence=0)
    (table.path / "part-left-behind.parquet").write_bytes(b"PAR1")
    (table.path / "_delta_log" / "_commit_0b0f.json.tmp").write_bytes(b"{")
    assert table.sweep() == ["_delta_log/_commit_0b0f.json.tmp", "part-left-behind.parquet"]
    assert table.sweep() == []
    assert table.read().height == 1


def test_what_a_writer_left_that_was_killed_in_its_first_commit_is_swept(tmp_path: Path) -> None:
    table = Table(tmp_path, "t")
    assert table.sweep() == []
    (table.path / "_delta_log").mkdir(parents=True)
    (table.path / "part-left-behind.parquet").write_bytes(b"PAR1")
    (table.path / "_delta_log" / "_commit_0b0f.json.tmp").write_bytes(b"{")
    assert table.sweep() == ["_delta_log/_commit_0b0f.json.tmp", "part-left-behind.parquet"]
    table.append(rows(1), writer="w", sequence=0)
    assert table.read().height == 1


def test_a_sweep_leaves_altered_files_for_the_audit(tmp_path: Path) -> None:
    table = Table(tmp_path, "t")
    committed = table.append(rows(1), writer="w", sequence=0)
    assert committed is not None
    part = next(name for name in committed.files if name.endswith(".parquet"))
    (table.path / part).write_bytes(b"PAR1 altered PAR1")
    assert table.sweep() == []
    assert (table.path / part).exists()


def test_an_empty_commit_makes_an_empty_table(tmp_path: Path) -> None:
    table = Table(tmp_path, "t")
    assert table.append(rows(), writer="w", sequence=0) is not None
    assert table.read().schema == rows().schema
    assert table.read().is_empty()


VALUES = st.tuples(
    st.none() | st.text(max_size=4),
    st.none() | st.floats() | st.sampled_from([0.0, -0.0]),
    st.none() | st.integers(-(2**63), 2**63 - 1),
)


@given(st.lists(VALUES, max_size=8), st.randoms(use_true_random=False))
def test_the_digest_depends_on_the_rows_alone(values: list[tuple[object, ...]], shuffle: Random) -> None:
    schema = {"text": pl.String, "x": pl.Float64, "n": pl.Int64}
    one = pl.DataFrame(values, schema=schema, orient="row")
    mixed = list(values)
    shuffle.shuffle(mixed)
    parts = [pl.DataFrame(mixed[start : start + 3], schema=schema, orient="row") for start in range(0, len(mixed), 3)]
    other = pl.concat([pl.DataFrame(schema=schema), *parts], rechunk=False).select("n", "text", "x")
    assert digest(one, ["n"]) == digest(other, ["n"])


def test_the_digest_tells_different_rows_apart() -> None:
    schema = {"text": pl.String, "x": pl.Float64}
    variants = [("", 0.0), (None, 0.0), ("", -0.0), ("", None), ("a", 0.0)]
    frames = [pl.DataFrame([variant], schema=schema, orient="row") for variant in variants]
    assert len({digest(frame, ["text"]) for frame in frames}) == len(variants)
