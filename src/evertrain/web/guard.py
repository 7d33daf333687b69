"""What every request to the control port passes first: the security headers, and who it is from."""

from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evertrain.errors import RequestError
from evertrain.web.refusal import answer_error
from evertrain.web.session import SESSION_SECONDS, Door

__all__ = ["CSRF_HEADER", "Guard", "SecurityHeaders"]

CSRF_HEADER = "x-evertrain-csrf"
_OPEN = ("/metrics", "/flags", "/health/live")
_SAFE = {"GET", "HEAD"}
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}

_UNPROVEN = RequestError("A session must prove that its own page sent this.", f"Send the header {CSRF_HEADER}.")
_NO_TOKEN = RequestError(
    "The control API asks for its token.", "Send it as Authorization: Bearer.", field="authorization"
)


class SecurityHeaders:
    """Adds the headers that keep a browser from being tricked; a response may set its own cache-control."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class Guard:
    """Lets a request through that bears the token or belongs to a session, and says which in `request.state`.

    A page that is opened with `?token=` begins a session and is shown again without it, so that the token stays
    neither in the address bar nor in the history. A session must prove with each change that its own page sent it.
    """

    def __init__(self, app: ASGIApp, door: Door, sign_in: Callable[[bool], str]) -> None:
        """sign_in: the document that asks a person for the token; whether a wrong one was given."""
        self._app = app
        self._door = door
        self._sign_in = sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        response = self._answer(request)
        await (response or self._app)(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        """The response that ends here; None lets the request through."""
        path = request.url.path
        if path in _OPEN or path.startswith("/static/"):
            return None
        if "token" in request.query_params and request.method in _SAFE:
            return self._begin(request)
        request.state.session = None
        if self._door.bears(request.headers):
            return None
        request.state.session = session = self._door.session(request.cookies)
        if session is None:
            return self._refuse(request)
        return self._check_change(request, session)

    def _check_change(self, request: Request, session: str) -> Response | None:
        """A form of the page brings its proof in its body, where the page checks it; the API wants a header."""
        if request.method in _SAFE or not request.url.path.startswith("/api/"):
            return None
        if self._door.admits_form(session, request.headers.get(CSRF_HEADER, "")):
            return None
        return answer_error(_UNPROVEN, 403)

    def _begin(self, request: Request) -> Response:
        if not self._door.knows(request.query_params["token"]):
            return self._refuse(request)
        rest = request.url.remove_query_params("token")
        response = RedirectResponse(rest.path + (f"?{rest.query}" if rest.query else ""), status_code=303)
        response.set_cookie(
            self._door.cookie, self._door.begin(), max_age=SESSION_SECONDS, httponly=True, samesite="strict", path="/"
        )
        return response

    def _refuse(self, request: Request) -> Response:
        """401, as a page with a form for a browser and as JSON for everything else."""
        if "text/html" in request.headers.get("accept", ""):
            response: Response = HTMLResponse(self._sign_in("token" in request.query_params), status_code=401)
        else:
            response = answer_error(_NO_TOKEN, 401)
        response.headers["www-authenticate"] = "Bearer"
        return response
