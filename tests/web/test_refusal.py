"""Whoever refuses on the control port, the router, the guard or a reading, says it in one shape."""

import asyncio

import httpx
import pytest

from evertrain.errors import RequestError, told
from evertrain.monitor.report import Report
from evertrain.testing.door import ControlPort
from evertrain.web.observation import create_report_app

ROLLBACK = "/api/services/late-flights/rollback"


def said(response: httpx.Response) -> dict[str, str]:
    found: dict[str, str] = response.json()
    return found


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "what"),
    [
        ("GET", "/api/nothing", 404, "ET-U03", "There is no /api/nothing."),
        ("GET", "/static/nothing.css", 404, "ET-U03", "There is no /static/nothing.css."),
        ("GET", ROLLBACK, 405, "ET-R01", f"GET is not for {ROLLBACK}."),
        ("GET", "/api/services/nothing/overview", 404, "ET-U03", "There is no service 'nothing'."),
        ("POST", ROLLBACK, 400, "ET-R01", "The body is no JSON: Input data was truncated."),
    ],
)
def test_a_refusal_has_the_shape_of_the_predict_port(
    api: httpx.Client, method: str, path: str, status: int, code: str, what: str
) -> None:
    response = api.request(method, path)
    assert response.status_code == status
    found = said(response)
    assert (found["code"], found["what"]) == (code, what)
    assert found["remedy"]
    assert found["error"] == f"{what} {found['remedy']}"
    assert set(found) <= set(told(RequestError("What.", "Remedy.", field="field")))


def test_a_stranger_and_a_foreign_name_are_refused_in_that_shape_too(port: ControlPort, stranger: httpx.Client) -> None:
    without = stranger.get("/api/services")
    assert (without.status_code, said(without)["field"]) == (401, "authorization")
    foreign = stranger.get("/health/live", headers={"host": "evil.example"})
    assert (foreign.status_code, said(foreign)["what"]) == (400, "'evil.example' is no name of this server.")
    assert stranger.get("/health/live", headers={"host": f"LOCALHOST:{port.number}"}).status_code == 200


def test_a_fault_of_the_server_is_one_of_a_known_shape() -> None:
    def broken() -> Report:
        raise KeyError("secret")

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_report_app(broken), raise_app_exceptions=False)
        async with httpx.AsyncClient(base_url="http://127.0.0.1", transport=transport) as client:
            return await client.get("/report.json")

    response = asyncio.run(ask())
    assert (response.status_code, said(response)["code"]) == (500, "ET-E01")
    assert said(response)["what"].startswith("/report.json could not be answered")
    assert "secret" not in response.text
