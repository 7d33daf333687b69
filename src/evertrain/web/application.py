"""The control API and the page as one application, and the server that runs it beside the loop."""

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from evertrain.errors import EvertrainError
from evertrain.web.api import api_routes
from evertrain.web.guard import Guard, SecurityHeaders
from evertrain.web.page import REFRESH_S, Panels, page_routes
from evertrain.web.reading import Actions, Readings
from evertrain.web.refusal import KnownHosts, answer_error, fault_of
from evertrain.web.session import Access, Door

__all__ = ["create_app", "create_server", "routes"]


def create_app(readings: Readings, actions: Actions, access: Access, *, refresh_s: float = REFRESH_S) -> Starlette:
    """The whole control port: API, metrics, page. refresh_s: how often an open page is brought up to date."""
    door, panels = Door(access), Panels(readings, refresh_s)

    async def say_error(request: Request, error: Exception) -> Response:
        fault, status = fault_of(request, error)
        told = answer_error(fault, status)
        if "text/html" not in request.headers.get("accept", ""):
            return told
        title = "Not found" if told.status_code == 404 else "Not possible now"
        document = panels.document("said.html", service="", title=title, says=str(fault))
        return HTMLResponse(document, told.status_code)

    def sign_in(wrong: bool) -> str:
        return panels.document("signin.html", wrong=wrong)

    return Starlette(
        routes=[
            *routes(readings, actions, door, panels),
            Mount("/static", StaticFiles(packages=[("evertrain.web", "static")])),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(KnownHosts, hosts=access.hosts),
            Middleware(Guard, door=door, sign_in=sign_in),
        ],
        exception_handlers=dict.fromkeys((EvertrainError, HTTPException, Exception), say_error),
    )


def routes(readings: Readings, actions: Actions, door: Door, panels: Panels) -> list[Route]:
    """Every route but the static files."""
    return [*api_routes(readings, actions), *page_routes(readings, actions, door, panels)]


def create_server(app: Starlette, host: str, port: int) -> uvicorn.Server:
    """A server for a thread of the controller: `server.run()` serves until `server.should_exit` is set.

    It writes no access log, because the link that opens a session carries the token in its query.
    """
    return uvicorn.Server(
        uvicorn.Config(
            app, host=host, port=port, access_log=False, log_config=None, lifespan="off", ws="none",
            server_header=False, proxy_headers=False, limit_concurrency=128, timeout_keep_alive=20,
            timeout_graceful_shutdown=1,
        )
    )  # fmt: skip
