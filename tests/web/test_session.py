import re

import httpx
import pytest

from evertrain.testing.door import TOKEN, ControlPort
from evertrain.web.session import Access, Door

ROLLBACK = "/services/late-flights/rollback"


@pytest.mark.parametrize(
    "path", ["/", "/services/late-flights", "/services/late-flights/stream", "/api/services", "/x"]
)
def test_nothing_is_shown_without_the_token(stranger: httpx.Client, path: str) -> None:
    response = stranger.get(path)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "late-flights" not in response.text


@pytest.mark.parametrize(
    "header", ["Bearer wrong", "Bearer", "Basic " + TOKEN, TOKEN, "Bearer " + TOKEN + "x", "Bearer é"]
)
def test_a_wrong_token_is_refused(stranger: httpx.Client, header: str) -> None:
    assert stranger.get("/api/services", headers={b"authorization": header.encode()}).status_code == 401


def test_a_person_is_told_where_the_token_is(stranger: httpx.Client) -> None:
    response = stranger.get("/", headers={"accept": "text/html"})
    assert response.status_code == 401
    assert "control/keys/token-control" in response.text


def test_the_form_that_asks_for_the_token_opens_the_page(stranger: httpx.Client) -> None:
    stranger.headers["accept"] = "text/html"
    asked = stranger.get("/services/churn")
    assert asked.status_code == 401
    assert 'method="get"' in asked.text  # without an action: to the page that was asked for
    assert "action=" not in asked.text
    (field,) = re.findall(r"<input[^>]* name=\"(\w+)\"", asked.text)
    wrong = stranger.get("/services/churn", params={field: "wrong<b>"})
    assert (wrong.status_code, "That is not the token" in wrong.text, "wrong<b>" in wrong.text) == (401, True, False)
    opened = stranger.get("/services/churn", params={field: TOKEN}, follow_redirects=True)
    assert (opened.status_code, str(opened.url).endswith("/services/churn")) == (200, True)


def test_the_link_begins_a_session_and_drops_the_token(stranger: httpx.Client) -> None:
    response = stranger.get("/services/churn", params={"token": TOKEN, "week": "3"})
    assert (response.status_code, response.headers["location"]) == (303, "/services/churn?week=3")
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert stranger.get("/services/churn").status_code == 200


def test_a_wrong_link_begins_none(stranger: httpx.Client) -> None:
    response = stranger.get("/", params={"token": "wrong"})
    assert response.status_code == 401
    assert "set-cookie" not in response.headers


def test_a_forged_or_foreign_session_is_refused(stranger: httpx.Client) -> None:
    name = Door(Access(token=TOKEN)).cookie
    for value in ("x", Door(Access(token="another")).begin(), Door(Access(token=TOKEN)).form_token("s")):
        stranger.cookies.set(name, value)
        assert stranger.get("/api/services").status_code == 401


def test_a_session_may_read_the_api_but_must_prove_its_changes(browser: httpx.Client, port: ControlPort) -> None:
    assert browser.get("/api/services").status_code == 200
    call = {"reason": "x"}
    assert browser.post("/api" + ROLLBACK, json=call).status_code == 403
    assert port.actions.taken == []
    proof = {"x-evertrain-csrf": form_token(browser)}
    assert browser.post("/api" + ROLLBACK, json=call, headers=proof).status_code == 202


def test_a_form_of_another_session_is_refused(browser: httpx.Client, port: ControlPort) -> None:
    foreign = Door(Access(token=TOKEN)).form_token("another session")
    for csrf in ("", "x", foreign):
        assert browser.post(ROLLBACK, data={"csrf": csrf, "reason": "x"}).status_code == 403
    assert port.actions.taken == []


def test_a_form_of_the_page_is_taken(browser: httpx.Client, port: ControlPort) -> None:
    response = browser.post(ROLLBACK, data={"csrf": form_token(browser), "reason": "complaints"})
    assert response.status_code == 200
    assert "On record as event 2901" in response.text
    assert port.actions.taken == [("rollback", "late-flights", "complaints")]


def test_a_form_without_reason_says_so(browser: httpx.Client) -> None:
    response = browser.post(ROLLBACK, data={"csrf": form_token(browser), "reason": " "})
    assert response.status_code == 400
    assert "The reason is empty" in response.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.2", ""])
def test_a_foreign_host_name_is_refused(api: httpx.Client, host: str) -> None:
    assert api.get("/api/services", headers={"host": host}).status_code == 400


def test_every_answer_carries_the_security_headers(stranger: httpx.Client, browser: httpx.Client) -> None:
    for response in (stranger.get("/"), browser.get("/services/late-flights"), stranger.get("/static/page.js")):
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["x-content-type-options"] == "nosniff"


def test_the_token_is_not_shown_by_accident() -> None:
    assert TOKEN not in repr(Access(token=TOKEN))


def form_token(browser: httpx.Client) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', browser.get("/services/late-flights").text)
    assert found is not None
    return found[1]
