"""The browser of the journeys that end on a page."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

expect.set_options(timeout=30_000)  # a machine that does other things besides
QUIET = ["--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync"]


def chromium() -> str:
    """Where Chromium is; a test that needs it fails without it, it is never skipped."""
    for name in (os.environ.get("CHROMIUM", "chromium"), "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    return pytest.fail("The browser test needs Chromium: run .ci/browser, which says how to get it.")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a module: its loop must not run on under other tests."""
    arguments = [*QUIET, "--no-sandbox"] if os.geteuid() == 0 else QUIET  # Chromium refuses its sandbox to root
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[[str], Page]]:
    """Opens an address on a desk's screen; what the page complains about fails the test."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(30_000)

    def open_page(address: str) -> Page:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    context.close()
    assert complaints == []
