import asyncio
import logging
import socket

import httpx
import msgspec
import pytest
from starlette.requests import Request
from starlette.types import Message

from evertrain.core.card import Card
from evertrain.testing.door import TOKEN, ControlPort
from evertrain.testing.overview import overview_in_canary
from evertrain.web.api import read_body
from evertrain.web.overview import Overview
from evertrain.web.refusal import StalledError, answer_error

OVERVIEW = "/api/services/late-flights/overview"


def test_the_overview_is_what_the_page_shows(api: httpx.Client) -> None:
    assert msgspec.json.decode(api.get(OVERVIEW).content, type=Overview) == overview_in_canary()


def test_services_are_listed(api: httpx.Client) -> None:
    assert api.get("/api/services").json() == {"services": ["late-flights", "churn"]}


def test_the_card_of_a_version_says_why(api: httpx.Client) -> None:
    card = msgspec.json.decode(api.get("/api/services/late-flights/versions/9").content, type=Card)
    assert card.verdict == "pass"
    missing = api.get("/api/services/late-flights/versions/77")
    assert (missing.status_code, missing.json()["remedy"]) == (404, "Only judged versions have one.")


def test_events_are_read_in_pages(api: httpx.Client) -> None:
    first = api.get("/api/events", params={"limit": 3}).json()["events"]
    rest = api.get("/api/events", params={"after": first[-1]["sequence"]}).json()["events"]
    assert [event["sequence"] for event in first + rest] == [0, 1, 2, 3, 4]
    assert first[0]["fact"] == {"kind": "alert.cleared", "alert": "disk"}


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "1001"}, {"after": "-2"}, {"after": "x"}, {"limit": "1e3"}]
)
def test_a_bad_page_of_events_names_the_parameter(api: httpx.Client, query: dict[str, str]) -> None:
    response = api.get("/api/events", params=query)
    assert response.status_code == 400
    assert response.json()["field"] in query


def test_an_unknown_service_is_told_which_there_are(api: httpx.Client) -> None:
    response = api.get("/api/services/nothing/overview")
    assert response.status_code == 404
    assert response.json() == {
        "error": "There is no service 'nothing'. There are: late-flights, churn.",
        "code": "ET-U03",
        "what": "There is no service 'nothing'.",
        "remedy": "There are: late-flights, churn.",
    }


@pytest.mark.parametrize(
    ("action", "body", "taken"),
    [
        ("promote", {"version": "8", "reason": "asked for"}, ("promote", "late-flights", "8", "asked for")),
        ("rollback", {"reason": "complaints"}, ("rollback", "late-flights", "complaints")),
        ("retrain", {"reason": "new airport"}, ("retrain", "late-flights", "", "new airport")),
        ("retrain", {"reason": "y", "recipe": "short"}, ("retrain", "late-flights", "short", "y")),
        ("off", {"reason": "wrong prices"}, ("off", "late-flights", "wrong prices")),
        ("approve", {"reason": "seen"}, ("approve", "late-flights", "", "seen")),
        ("deny", {"reason": "too soon", "version": " 8 "}, ("deny", "late-flights", "8", "too soon")),
    ],
)
def test_an_action_is_taken_with_its_reason(
    api: httpx.Client, port: ControlPort, action: str, body: dict[str, str], taken: tuple[str, ...]
) -> None:
    response = api.post(f"/api/services/late-flights/{action}", json=body)
    assert (response.status_code, response.json()["sequence"]) == (202, 2901)
    assert port.actions.taken == [taken]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"reason": ""}',
        b'{"reason": "  "}',
        b'{"reason": 5}',
        b'{"reason": "x", "other": 1}',
        b'{"reason": "' + b"x" * 2001 + b'"}',
        b"[" * 10_000,
        b'"\xff"',
    ],
)
def test_a_bad_body_is_refused_and_nothing_is_done(api: httpx.Client, port: ControlPort, body: bytes) -> None:
    response = api.post("/api/services/late-flights/rollback", content=body)
    assert response.status_code == 400
    assert response.json()["what"]
    assert port.actions.taken == []


def test_a_long_body_is_refused_before_it_is_read(api: httpx.Client, port: ControlPort) -> None:
    response = api.post("/api/services/late-flights/rollback", content=b'{"reason": "' + b"x" * 1_000_000 + b'"}')
    assert response.status_code == 413
    assert port.actions.taken == []


def test_a_body_that_only_promises_to_be_long_is_refused_at_once(port: ControlPort) -> None:
    with socket.create_connection(("127.0.0.1", port.number), timeout=60) as connection:
        connection.sendall(head(99_999_999) + b"{}")
        assert connection.recv(1024).startswith(b"HTTP/1.1 413 ")
    assert port.actions.taken == []


def head(length: int) -> bytes:
    lines = ("POST /api/services/late-flights/rollback HTTP/1.1", "host: 127.0.0.1", f"authorization: Bearer {TOKEN}")
    return "\r\n".join((*lines, f"content-length: {length}", "", "")).encode()


def test_a_client_that_leaves_is_no_fault_of_ours(
    api: httpx.Client, port: ControlPort, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", port.number), timeout=60) as connection:
        connection.sendall(head(100) + b"{}")
        assert api.get("/health/live").status_code == 200  # the server has begun to read the other request
    for _ in range(20):
        api.get("/health/live")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert port.actions.taken == []


def test_a_body_that_stalls_or_ends_early_is_given_up() -> None:
    async def nothing() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    for receive, said in ((nothing, "did not come within 0.01 s"), (gone, "left before")):
        request = Request({"type": "http", "method": "POST", "headers": [(b"content-length", b"2")]}, receive)
        with pytest.raises(StalledError, match=said) as told:
            asyncio.run(read_body(request, patience_s=0.01))
        assert answer_error(told.value).status_code == 408


def test_a_refused_version_is_a_conflict(api: httpx.Client) -> None:
    response = api.post("/api/services/late-flights/promote", json={"version": "5", "reason": "I insist"})
    assert response.status_code == 409
    assert "refused by the gate" in response.json()["what"]


def test_metrics_and_liveness_ask_for_no_token(stranger: httpx.Client) -> None:
    metrics = stranger.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'evertrain_requests_total{service="late-flights"} 231406' in metrics.text
    assert stranger.get("/health/live").json() == {"live": True}
