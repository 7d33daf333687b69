"""The report as a document: whole by itself, and safe whatever stands in somebody's table."""

import asyncio
import re
import threading

import msgspec
import numpy as np
import polars as pl
import pytest

from evertrain.core.time import DAY, Instant
from evertrain.errors import UnavailableError
from evertrain.monitor.observed import look
from evertrain.monitor.report import Course, CoursePoint, Observations, Question, Report
from evertrain.web.observation import computed, document

EVIL = "<script>alert(1)</script>"


def report(name: str = "table.csv", label: float | None = None) -> Report:
    source = np.random.default_rng(1)
    rows = 3000
    score = source.uniform(0.05, 0.95, rows)
    seen = Observations(
        at=19_700 * DAY + np.sort(source.integers(0, 40 * DAY, rows)),
        score=score,
        label=(source.random(rows) < score).astype(np.float64) if label is None else np.full(rows, label),
        rows=pl.DataFrame({EVIL: source.choice([EVIL, "b"], rows), "p": score}),
    )
    return look(
        name, seen, Question(segments=(EVIL,)), kind="probability", inputs=(EVIL, "p"), notices=(f"Note {EVIL}.",)
    )


def test_nothing_of_a_table_becomes_markup() -> None:
    for alone in (True, False):
        html = document(report(name=EVIL), alone=alone)
        assert "&lt;script&gt;alert(1)&lt;/script&gt; = &lt;script&gt;" in html
        assert html.count("<script") == (0 if alone else 1)


def test_a_file_alone_asks_for_nothing() -> None:
    html = document(report(), alone=True)
    assert re.findall(r"(?:src|href)=\"([^\"]+)\"", html) == ["data:,"]
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html
    assert '<link rel="stylesheet" href="/static/observed.css">' in document(report(), alone=False)


def test_a_report_that_a_stopping_server_does_not_finish_is_no_fault_of_ours() -> None:
    begun, released = threading.Event(), threading.Event()

    def make() -> None:
        begun.set()
        released.wait(30)

    async def stop() -> None:
        task = asyncio.create_task(computed(make))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(UnavailableError, match="The server is stopping"):
            await task
        released.set()

    asyncio.run(stop())


def test_a_report_without_labels_is_shown_too() -> None:
    html = document(report(label=float("nan")), alone=True)
    assert "No segment could be tested." in html
    assert "nan" not in html.lower().replace("alone", "")


def test_a_segment_that_got_worse_is_drawn_with_its_onset() -> None:
    points = tuple(
        CoursePoint(start=Instant(number * DAY), figure=None if number == 2 else 0.1 * number, rest=0.2, labels=30)
        for number in range(8)
    )
    for since, lines in ((Instant(4 * DAY), 1), (Instant(-DAY), 0), (None, 0)):
        course = Course(column="region", value=EVIL, since=since, points=points)
        html = document(msgspec.structs.replace(report(), courses=(course,)), alone=True)
        assert html.count("<script") == 0
        assert len(re.findall(r'<g class="series onset">.*?<line ', html)) == lines
        assert "from 5 Jan 1970, 00:00: segment 0.4000 on 30 labels" in html
        assert "all other rows 0.2000" in html
        assert ("worse since about 5 Jan 1970" in html) == (since == 4 * DAY)
