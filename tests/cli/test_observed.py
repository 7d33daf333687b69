"""What `evertrain watch` prints of a table: on a narrow terminal numbers go, and names and verdicts stay."""

import io
import socket
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from evertrain.cli.observed import print_report, tell
from evertrain.core.time import DAY
from evertrain.errors import OccupiedError, UserError
from evertrain.monitor.observed import look
from evertrain.monitor.report import Observations, Question, Report
from evertrain.process.observation.observations import Named
from evertrain.process.observation.watching import WatchedTable, report_of


@pytest.fixture(scope="module")
def report() -> Report:
    """Of one region a score knows nothing, and nothing at all of late."""
    source = np.random.default_rng(2)
    rows = 4000
    at = 19_700 * DAY + np.sort(source.integers(0, 60 * DAY, rows))
    region = source.choice(["north america", "latin america"], rows)
    chance = source.beta(1, 2, rows)
    bad = (region == "latin america") & (at > 19_735 * DAY)
    score = np.where(bad, source.beta(1, 2, rows), chance)
    seen = Observations(
        at=at,
        score=score,
        label=(source.random(rows) < chance).astype(np.float64),
        rows=pl.DataFrame({"region": region, "age": source.normal(40, 9, rows) + 20 * (at > 19_740 * DAY)}),
    )
    return look("table", seen, Question(segments=("region",)), kind="probability", inputs=("region", "age"))


def printed(report: Report, width: int) -> str:
    screen = io.StringIO()
    print_report(report, None, Console(file=screen, width=width, highlight=False))
    return screen.getvalue()


def test_a_narrow_terminal_loses_numbers_and_no_name_or_verdict(report: Report) -> None:
    tables = printed(report, 80).partition("Before and now")[2]
    before, _, rest = tables.partition("Segments, the worst first")
    segments, _, rest = rest.partition("Over time, the newest first")
    periods, _, inputs = rest.partition("Inputs from")
    for part in (before, segments):
        assert "region = latin america  worse  " in part
    assert "since about" in before
    assert "from " in periods.splitlines()[1]
    assert sum(", 00:00" in line for line in periods.splitlines()) == min(15, len(report.periods))
    assert "age     moved strongly " in inputs
    assert "No room for: " in before
    assert "…" not in tables
    assert max(len(line) for part in (before, segments, periods) for line in part.splitlines()[1:]) <= 80
    assert "No room for" not in printed(report, 160)


def test_what_to_do_next_is_for_people_at_a_terminal(report: Report) -> None:
    screen = io.StringIO()
    print_report(report, None, Console(file=screen, width=120, force_terminal=True))
    assert screen.getvalue().rstrip().endswith("evertrain serve MODEL")
    assert "evertrain serve MODEL" not in printed(report, 120)


def test_a_port_that_is_taken_is_told_before_the_table_is_read(tmp_path: Path) -> None:
    asked = WatchedTable(file=tmp_path / "none.csv", named=Named(score="p", label=None, time="at"), question=Question())
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OccupiedError, match="The port of the page"):
        tell(asked, None, serving_port=other.getsockname()[1], as_json=False)


def test_a_folder_is_no_report(tmp_path: Path) -> None:
    asked = WatchedTable(
        file=tmp_path / "none.csv", named=Named(score="p", label=None, time="at"), question=Question(), reference=None
    )
    for out in (tmp_path, Path()):
        with pytest.raises(UserError, match=r"is a folder\.\n?.*report\.html"):
            tell(asked, out, serving_port=None, as_json=False)


def test_classes_are_told_by_their_hits_and_each_is_a_segment_twice(tmp_path: Path) -> None:
    draws = np.random.default_rng(4)
    came = draws.choice(["bus", "car", "tram"], 1_200)
    wrong = draws.random(1_200) < np.where((came == "car") & (np.arange(1_200) > 900), 0.6, 0.05)
    at = pl.Series(19_700 * DAY + np.arange(1_200) * DAY // 24).cast(pl.Datetime("us", "UTC"))
    frame = pl.DataFrame({"at": at, "said": np.where(wrong, "bus", came), "came": came})
    frame.write_parquet(tmp_path / "p.parquet")
    found = report_of(
        WatchedTable(
            file=tmp_path / "p.parquet",
            named=Named(score="said", label="came", time="at"),
            question=Question(),
        )
    )
    right = float((frame["said"] == frame["came"]).to_numpy().mean())
    assert (found.kind, [*found.figures], found.figures["accuracy"].value) == ("classes", ["accuracy"], right)
    assert {(one.column, one.value) for one in found.segments} == {
        (column, value) for column in ("came", "said") for value in ("bus", "car", "tram")
    }
    assert found.changed.startswith("came = car got worse")
    told = printed(found, 160)
    assert "hits" in told
    assert "mean label" not in told
