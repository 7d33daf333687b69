"""The page in a real browser: what a person on call sees, live, on a screen and on a phone, in light and in dark."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from evertrain.testing.door import TOKEN, ControlPort, control_port
from evertrain.testing.overview import BEGAN, overview_of_nothing
from evertrain.web.overview import Decision, WorkerPool

SCREENS = [
    pytest.param(1400, 900, "light", id="desk"),
    pytest.param(1400, 900, "dark", id="desk in the dark"),
    pytest.param(390, 844, "light", id="phone"),
]


@pytest.fixture
def port() -> Iterator[ControlPort]:
    with control_port() as opened:
        yield opened


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console says, and what the page asked for beside our own port."""
    return []


@pytest.fixture
def page(browser: Browser, port: ControlPort, complaints: list[str]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda asked: complaints.extend([asked.url] * (not asked.url.startswith(port.address))))
    opened.goto(f"{port.address}/?token={TOKEN}")
    yield opened
    context.close()
    assert complaints == []


def live(page: Page) -> None:
    expect(page.locator("#live")).to_have_text("live")


def test_a_person_on_call_finds_what_serves_and_why(page: Page, port: ControlPort) -> None:
    live(page)
    assert page.url == f"{port.address}/services/late-flights"
    expect(page.get_by_role("heading", level=1)).to_have_text("Version 8 serves")
    serving = page.get_by_role("region", name="What serves")
    expect(serving).to_contain_text("since 31 Aug 2013, 05:00")
    expect(serving).to_contain_text("Promoted after 5,212 canary requests without harm")
    expect(serving.get_by_role("img")).to_have_attribute(
        "aria-label", "version 8 (champion) 90 %, version 8 (control) 5 %, version 9 (canary) 5 %"
    )
    expect(page.get_by_role("region", name="Rollout")).to_contain_text("about 350 more requests")
    expect(page.get_by_role("region", name="Decisions")).to_contain_text("It never answered a request.")
    expect(page.locator(".alerts")).to_contain_text("source landings is late")
    for name in ("Traffic", "Latency", "Quality"):
        assert page.get_by_role("region", name=name).get_by_role("img").count() >= 1


def test_whoever_opens_it_without_the_link_is_asked_for_the_token(
    page: Page, port: ControlPort, complaints: list[str]
) -> None:
    page.context.clear_cookies()
    page.goto(f"{port.address}/services/churn")
    field = page.get_by_label("Control token")
    expect(field).to_be_focused()  # whoever was faster would be told so by the browser
    field.fill(TOKEN)
    page.get_by_role("button", name="Open the page").click()
    live(page)
    assert page.url == f"{port.address}/services/churn"
    complaints[:] = [told for told in complaints if "401" not in told]  # the console reports the answer's status


def test_the_page_follows_what_happens(page: Page, port: ControlPort) -> None:
    live(page)
    news = Decision(
        sequence=3_000, at=port.readings.current.at, kind="rollout.moved", actor="controller",
        title="Version 9 promoted", reason="The bound is 0.6 %.", tone="good",
    )  # fmt: skip
    pools = (
        WorkerPool(number=0, state="stands by", workers=2, keeps="version 8 of late-flights", until=BEGAN),
        WorkerPool(number=1, workers=2, environment="ab12cd34ef56"),
    )
    now = port.readings.current
    port.readings.current = msgspec.structs.replace(
        now, champion=9, why="Promoted now.", trial=False, decisions=(news, *now.decisions), pools=pools
    )
    expect(page.get_by_role("heading", level=1)).to_have_text("Version 9 serves")
    expect(page.locator(".decisions-list li").first).to_contain_text("Version 9 promoted")
    expect(page.get_by_role("region", name="Rollout")).to_contain_text("Nothing is on trial")
    machine = page.get_by_role("region", name="Processes and ledger")
    expect(machine).to_contain_text(
        "pool 0 stands by with version 8 of late-flights until 6 Feb 2013, 05:00; 2 workers up"
    )
    expect(machine).to_contain_text("pool 1 takes all connections; 2 workers up, in environment ab12cd34ef")


def test_a_rollback_is_asked_for_with_a_reason_and_says_what_speaks_against_it(page: Page, port: ControlPort) -> None:
    live(page)
    page.get_by_role("button", name="Roll back …").click()
    form = page.locator("#do-rollback")
    mind = "Mind of version 8 of late-flights, which answers then: its verdict was 'health only'."
    port.readings.current = msgspec.structs.replace(port.readings.current, minds=(mind,))
    expect(form).to_contain_text(mind)
    form.get_by_role("button", name="Roll back", exact=True).click()
    assert port.actions.taken == []  # the browser asks for the reason first
    form.get_by_label("Why?").fill("complaints from the desk at JFK")
    form.get_by_role("button", name="Roll back", exact=True).click()
    expect(form.get_by_role("status")).to_contain_text("On record as event 2901")
    assert port.actions.taken == [("rollback", "late-flights", "complaints from the desk at JFK")]


def test_a_version_shows_its_evaluation_card(page: Page) -> None:
    live(page)
    page.get_by_role("region", name="Model versions").get_by_role("link", name="9", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Version 9: pass")
    expect(page.get_by_role("main")).to_contain_text("log loss is at most 0.0021 higher")
    expect(page.get_by_role("main")).to_contain_text("173 labels, 200 are needed")
    expect(page.get_by_role("img", name="Calibration")).to_be_visible()


def test_the_ledger_can_be_leafed_through(page: Page) -> None:
    live(page)
    page.get_by_role("link", name="ledger", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("There are no events after this one.")  # five, and 2,817 claimed
    page.goto(page.url + "?after=-1")
    expect(page.get_by_role("row")).to_have_count(6)
    page.get_by_text("fact", exact=True).first.click()
    expect(page.get_by_text('"kind": "alert.cleared"').first).to_be_visible()


def test_a_refusal_says_why(page: Page, complaints: list[str]) -> None:
    live(page)
    page.get_by_role("button", name="Promote …").click()
    form = page.locator("#do-promote")
    form.get_by_label("Version").fill("5")
    form.get_by_label("Why?").fill("I insist")
    form.get_by_role("button", name="Promote", exact=True).click()
    expect(form.get_by_role("status")).to_contain_text("Version 5 was refused by the gate.")
    assert all("400" in complaint for complaint in complaints)  # the console reports the answer's status
    complaints.clear()


@pytest.mark.parametrize(("width", "height", "scheme"), SCREENS)
def test_it_fits_the_screen(
    browser: Browser, port: ControlPort, tmp_path: Path, width: int, height: int, scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    page.goto(f"{port.address}/?token={TOKEN}")
    live(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for cell in page.locator(".column.wide td:last-child").all():
        assert cell.evaluate("cell => cell.getBoundingClientRect().right") <= width
    for table in page.locator(".column.wide .scroll").all():  # a digest in a reason breaks, and pushes nothing out
        assert table.evaluate("table => table.scrollWidth - table.clientWidth") <= 0
    picture = tmp_path / "page.png"
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 50_000
    context.close()


def test_a_service_that_has_done_nothing_yet(browser: Browser) -> None:
    with control_port(overview_of_nothing) as port:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{port.address}/?token={TOKEN}")
        live(page)
        expect(page.get_by_role("heading", level=1)).to_have_text("Nothing serves yet")
        work = page.locator(".work li")
        expect(work.nth(0)).to_contain_text("for 40 s; about 50 s left, since the last 3 took 1 min 30 s")
        expect(work.nth(1)).to_contain_text("the first of its kind here")
        assert float(work.nth(0).get_by_role("progressbar").get_attribute("value") or "") == pytest.approx(
            40 / 90, 0.01
        )
        expect(page.get_by_role("region", name="Sources")).to_contain_text("10 of 40 files are read")
        context.close()


def test_it_says_when_the_controller_is_gone_and_comes_back(browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    with control_port() as port:
        page.goto(f"{port.address}/?token={TOKEN}")
        live(page)
    expect(page.locator("#live")).to_have_text("reconnecting")
    with control_port(overview_of_nothing, number=port.number):
        expect(page.locator("#live")).to_have_text("live")
        expect(page.get_by_role("heading", level=1)).to_have_text("Nothing serves yet")
    context.close()
