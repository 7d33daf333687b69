"""What is told of requests that are not answered."""

import logging

import pytest

from evertrain.deploy.refusal import Seldom, refusal, status_of
from evertrain.errors import UnavailableError


def test_what_refuses_every_request_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    seldom = Seldom(logging.getLogger("seldom"), every_s=10.0, clock=lambda: now)
    for _ in range(1_000):
        seldom.warn("nobody", "503: nobody is there")
    seldom.warn("other", "503: no room")
    now = 10.0
    seldom.warn("nobody", "503: nobody is there")
    assert [one.getMessage() for one in caplog.records] == [
        "503: nobody is there",
        "503: no room",
        "503: nobody is there (999 more like it since that was said last)",
    ]


def test_things_without_number_take_no_memory_without_bound(caplog: pytest.LogCaptureFixture) -> None:
    seldom = Seldom(logging.getLogger("seldom"), clock=lambda: 0.0)
    for number in range(1_000):
        seldom.warn(f"thing {number}", "503: another one")
    assert len(caplog.records) == 1_000
    assert len(seldom._said) <= 100


def test_a_refusal_says_when_to_come_again() -> None:
    error = UnavailableError("Nobody is there.", "Come again.")
    reply = refusal(status_of(error), error)
    assert (reply.status, dict(reply.headers)) == (503, {b"retry-after": b"1"})
