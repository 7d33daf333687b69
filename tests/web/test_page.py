import json
import re
from xml.etree import ElementTree as Tree

import httpx
import msgspec
import pytest

from evertrain.core.card import Figures
from evertrain.core.gate import Criterion
from evertrain.core.time import DAY, HOUR, Instant, Span, parse_instant
from evertrain.testing.card import card_of_nine
from evertrain.testing.door import TOKEN, ControlPort, control_port
from evertrain.testing.overview import overview_in_canary, overview_of_nothing
from evertrain.web.chart import draw_latency, draw_metric, draw_traffic, merge_traffic
from evertrain.web.overview import Alert, Overview, QualityPoint, TrafficPoint
from evertrain.web.page import PANELS, Drawings, Panels


class Never:
    """Readings that nobody asks: the panels are rendered from a value."""


def render(overview: Overview) -> dict[str, str]:
    return Panels(Never()).render(overview)  # type: ignore[arg-type]


def test_a_service_that_has_done_nothing_yet_is_shown_as_such() -> None:
    panels = render(overview_of_nothing())
    assert set(panels) == set(PANELS)
    assert "Nothing serves yet" in panels["serving"]
    assert "The first version is being trained." in panels["serving"]
    assert "None" not in "".join(panels.values())


def test_words_of_people_and_programs_are_escaped() -> None:
    evil = "<script>alert(1)</script>"
    overview = overview_in_canary()
    decision = msgspec.structs.replace(overview.decisions[0], reason=evil, title=evil)
    alert = Alert(name=evil, severity="notice", since=Instant(0), reason=evil)
    overview = msgspec.structs.replace(
        overview, decisions=(decision,), alerts=(alert,), why=evil, notice=evil, enabled=False
    )
    html = "".join(render(overview).values())
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 5


def test_a_rollback_says_what_speaks_against_the_version_that_answers_then(
    browser: httpx.Client, port: ControlPort
) -> None:
    calm = overview_in_canary()
    assert render(calm)["rollback"].strip() == ""
    mind = "Mind of version 8: it was refused before <a person> put it into service."
    shown = render(msgspec.structs.replace(calm, minds=(mind,)))["rollback"]
    assert shown.strip() == f'<p class="mind">{mind.replace("<", "&lt;").replace(">", "&gt;")}</p>'
    form = browser.get("/services/late-flights").text.partition('id="do-rollback"')[2].partition("</form>")[0]
    assert 0 < form.find('data-panel="rollback"') < form.find('name="reason"')


def test_an_approval_names_the_version_that_is_shown() -> None:
    calm = overview_in_canary()
    assert "Nothing waits for an approval any more." in render(calm)["approval"]
    assert "Approve" not in render(calm)["switch"]
    asked = msgspec.structs.replace(calm.rollouts[0], asks=("a person",), waiting="waits for approval by a person")
    shown = render(msgspec.structs.replace(calm, rollouts=(asked,)))
    assert f'name="version" value="{asked.version}"' in shown["approval"]
    assert "Waits for approval by a person." in shown["approval"]
    assert "Approve" in shown["switch"]


def test_panels_need_no_inline_style_or_script() -> None:
    html = "".join(render(overview_in_canary()).values())
    assert not re.search(r"<style|<script|\sstyle=|\son\w+=", html)


def test_charts_are_the_same_for_the_same_figures() -> None:
    overview = overview_in_canary()
    assert draw_traffic(overview.traffic) == draw_traffic(overview.traffic)


def test_charts_say_their_points() -> None:
    overview = overview_in_canary()
    traffic = Tree.fromstring(draw_traffic(overview.traffic))
    assert traffic.get("role") == "img"
    titles = [element.text or "" for element in traffic.iter("title")]
    assert any(re.fullmatch(r"6 Feb 2013, 05:00: version 1, [\d,]+ \(100 %\)", title) for title in titles)
    metric = Tree.fromstring(draw_metric(overview.quality[0]))
    drawn = list(metric.iter("circle"))
    assert len(drawn) == 2 * sum(point.champion is not None for point in overview.quality[0].points)
    assert "p99" in draw_latency(overview.latency_over_time)


@pytest.mark.parametrize(
    ("step", "count", "labels"),
    [
        (DAY, 4, ["6 Feb", "7 Feb", "8 Feb", "9 Feb"]),
        (12 * HOUR, 5, ["6 Feb, 00:00", "6 Feb, 12:00", "7 Feb, 00:00", "7 Feb, 12:00", "8 Feb, 00:00"]),
        (6 * HOUR, 4, ["00:00", "06:00", "12:00", "18:00"]),
    ],
)
def test_the_axis_says_the_day_where_there_is_more_than_one(step: int, count: int, labels: list[str]) -> None:
    begun = parse_instant("2013-02-06T00:00:00Z")
    traffic = [TrafficPoint(at=Instant(begun + n * step), width=Span(step), answered={1: 5 + n}) for n in range(count)]
    quality = msgspec.structs.replace(
        overview_in_canary().quality[0],
        points=tuple(
            QualityPoint(at=one.at, width=one.width, champion=0.7, reference=0.6, labels=9) for one in traffic
        ),
    )
    for drawn in (draw_traffic(traffic), draw_metric(quality)):
        assert [text.text for text in Tree.fromstring(drawn).iterfind(".//g[@class='axis x']/g/text")] == labels


def test_a_chart_is_drawn_anew_only_now_and_then_but_catches_up() -> None:
    drawings = Drawings(every=3)
    points = overview_in_canary().traffic
    pictures = []
    for days in (100, 101, 102, 103, 103, 103):
        drawings.begin()
        pictures.append(drawings.traffic(points[:days]))
    assert pictures[0] == pictures[1] == pictures[2] != pictures[3] == pictures[5]
    assert pictures[3] == draw_traffic(points[:103])


def test_merging_loses_no_request() -> None:
    points = [TrafficPoint(at=Instant(n), width=Span(1), answered={1: n, n: 1}, failed=1) for n in range(2, 367)]
    merged = merge_traffic(points)
    assert len(merged) <= 50
    assert sum(sum(point.answered.values()) for point in merged) == sum(range(2, 367)) + 365
    assert sum(point.failed for point in merged) == 365
    assert merged[-1].at + merged[-1].width == 367


@pytest.mark.parametrize("make", [overview_in_canary, overview_of_nothing])
def test_an_open_page_gets_all_panels_and_then_the_changed_ones(make: type[Overview]) -> None:
    with (
        control_port(make) as port,
        httpx.Client(base_url=port.address, headers={"authorization": f"Bearer {TOKEN}"}, timeout=60) as client,
        client.stream("GET", "/services/late-flights/stream") as stream,
    ):
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = (line for line in stream.iter_lines() if line.startswith("data: "))
        assert set(json.loads(next(lines)[6:])) == set(PANELS)
        port.readings.current = msgspec.structs.replace(port.readings.current, why="A new reason.")
        changed = json.loads(next(lines)[6:])
        assert set(changed) == {"serving"}
        assert "A new reason." in changed["serving"]


def test_an_unknown_service_has_no_page_and_no_stream(browser: httpx.Client, port: ControlPort) -> None:
    assert port.readings.services() == ("late-flights", "churn")
    missing = browser.get("/services/nothing")
    assert missing.status_code == 404
    assert "<h1>Not found</h1>" in missing.text
    assert "There are: late-flights, churn." in missing.text
    assert browser.get("/services/nothing/stream").status_code == 404
    assert browser.post("/services/late-flights/nothing").status_code == 404


def test_a_card_says_what_it_is_about(browser: httpx.Client, port: ControlPort) -> None:
    card = card_of_nine()
    constant = Criterion(name="constant", status="pass", words="it knows something")
    figures = (Figures(who="challenger", version=None, rows=10, metrics={"mae": 3.0}),)
    port.readings.cards |= {
        "2": msgspec.structs.replace(card, claim="traffic", training_rows=0),
        "3": msgspec.structs.replace(card, claim="health only", criteria=(constant,), figures=figures, base_rate=512.0),
        "4": msgspec.structs.replace(
            card, claim="health only", base_rate=(0.2, 0.5, 0.3), environment="a" * 64, packages={"lightgbm": "4.6.0"}
        ),
    }
    port.readings.cards["5"] = msgspec.structs.replace(card, claim="health only", training_rows=0)
    port.readings.cards["6"] = msgspec.structs.replace(card, claim="table", training_rows=0)
    pages = [browser.get(f"/services/late-flights/versions/{number}").text for number in (2, 3, 4, 5, 6)]
    assert "It may have been trained on them, so they admit nothing." in pages[3]
    assert "never saw" not in pages[3]
    assert "so these rows can speak against it only" in pages[4]
    assert "What the file was trained on is not known." in pages[0]
    assert "Trained on" not in pages[0]
    assert "it was loaded and queried, and beats a constant. There was nothing to compare it with." in pages[1]
    assert "How it did on rows that it never saw is below." in pages[1]
    assert "How it did on rows" not in pages[0]
    assert "mean of the labels 512.0000" in pages[1]
    assert "it was loaded and queried. There was nothing to compare it with." in pages[2]
    assert "shares of the classes 0.2000, 0.5000, 0.3000" in pages[2]
    assert "share in which the likeliest class came" in pages[2]
    assert "<p>lightgbm 4.6.0</p>" in pages[2]
    assert f'of lock <code title="{"a" * 64}">' in pages[2]
    assert "share of positive labels" in pages[0]
    assert '<span class="tone bad">out</span> It ran out of memory' in pages[2]
