"""A file that is followed: what is half-written, or cannot be read, never takes the place of the last good report."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from evertrain.monitor.report import Question
from evertrain.process.observation.observations import Named
from evertrain.process.observation.watching import FollowedReport, WatchedTable

NAMED = Named(score="p", label="churned", time="at")


class Ticks:
    """Seconds that go on as a test says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def table(rows: int) -> pl.DataFrame:
    source = np.random.default_rng(1)
    score = source.uniform(0.1, 0.9, rows)
    at = 19_700 * 86_400_000_000 + np.arange(rows) * 3_600_000_000
    label = (source.random(rows) < score).astype(np.int64)
    return pl.DataFrame({"at": pl.Series(at).cast(pl.Datetime("us", "UTC")), "p": score, "churned": label})


def write(file: Path, rows: int) -> bytes:
    write_as = pl.DataFrame.write_csv if file.suffix == ".csv" else pl.DataFrame.write_parquet
    write_as(table(rows), file)
    return file.read_bytes()


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_a_half_written_file_leaves_the_last_good_report(tmp_path: Path, name: str) -> None:
    file, ticks = tmp_path / name, Ticks()
    whole = write(file, 400)
    write(file, 200)
    followed = FollowedReport(WatchedTable(file=file, named=NAMED, question=Question()), ticks)
    assert (followed().rows, followed().warnings) == (200, ())
    file.write_bytes(whole[: len(whole) * 2 // 3])
    for later in (0.0, 10.0):
        ticks.now += later
        report = followed()
        assert report.rows == 200
        assert f" UTC {name} is being written. Shown is what it held at " in report.warnings[0]
    file.write_bytes(whole)
    assert followed().rows == 200  # it does not stand still yet
    ticks.now += 3.0
    assert (followed().rows, followed().warnings) == (400, ())


def test_a_file_that_cannot_be_read_is_told_with_the_last_good_report(tmp_path: Path) -> None:
    file, ticks = tmp_path / "p.csv", Ticks()
    write(file, 200)
    followed = FollowedReport(WatchedTable(file=file, named=NAMED, question=Question()), ticks)
    file.write_text("not what it was\n1\n")
    followed()
    ticks.now += 3.0
    report = followed()
    assert report.rows == 200
    assert "p.csv could not be read (is it being written?): p.csv has no column 'p'." in report.warnings[0]
    file.unlink()
    assert "cannot be read: No such file" in followed().warnings[0]
    write(file, 300)
    followed()
    ticks.now += 3.0
    assert (followed().rows, followed().warnings) == (300, ())


def test_a_last_line_without_an_end_is_taken_after_a_while(tmp_path: Path) -> None:
    file, ticks = tmp_path / "p.csv", Ticks()
    whole = write(file, 200)
    followed = FollowedReport(WatchedTable(file=file, named=NAMED, question=Question()), ticks)
    file.write_bytes(write(file, 300).rstrip(b"\n"))
    assert len(whole) < file.stat().st_size
    followed()
    ticks.now += 10.0
    assert followed().rows == 200
    ticks.now += 60.0
    assert (followed().rows, followed().warnings) == (300, ())
