"""What the ports of the web answer when they cannot do what was asked: one shape, whoever found the fault."""

import re
from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from evertrain.errors import (
    CapacityError,
    EvertrainError,
    NotFoundError,
    OccupiedError,
    RequestError,
    TooLargeError,
    TransitionError,
    TrustError,
    UnavailableError,
    UserError,
    told,
)

__all__ = ["KnownHosts", "StalledError", "answer_error", "fault_of"]


_PORT = re.compile(r":\d{1,5}$")


class StalledError(RequestError):
    """The body did not come within its time, or the client left before it was whole."""


_STATUS: dict[type[EvertrainError], int] = {
    NotFoundError: 404,
    TooLargeError: 413,
    StalledError: 408,
    RequestError: 400,
    UserError: 400,
    TrustError: 409,
    TransitionError: 409,
    OccupiedError: 409,
    CapacityError: 503,
    UnavailableError: 503,
}


def answer_error(error: EvertrainError, status: int | None = None) -> Response:
    """An error as JSON: what went wrong, what to do, the field if one is to blame. status None: that of its kind."""
    found = status or next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    response = Response(msgspec.json.encode(told(error)), status_code=found, media_type="application/json")
    if error.retry:
        response.headers["retry-after"] = "1"
    return response


def fault_of(request: Request, error: Exception) -> tuple[EvertrainError, int | None]:
    """What was raised while a request was answered, as a fault with its status; None: that of its kind."""
    if isinstance(error, EvertrainError):
        return error, None
    if not isinstance(error, HTTPException):
        said = f"{request.url.path} could not be answered: a fault of the server, which its log shows."
        return EvertrainError(said, "Try again once; then report it with the log."), 500
    if error.status_code == HTTPStatus.NOT_FOUND:
        return NotFoundError(f"There is no {request.url.path}.", "docs/reference/api.md lists all paths."), 404
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another")
        return RequestError(f"{request.method} is not for {request.url.path}.", f"Use {allowed}."), 405
    return RequestError(f"{error.detail}."), error.status_code


class KnownHosts:
    """Refuses requests to another name than ours, by which a foreign page could reach this port (DNS rebinding)."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app, self._hosts = app, [host.lower() for host in hosts]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            named = Request(scope).headers.get("host", "")
            if _PORT.sub("", named).lower() not in self._hosts:
                refused = RequestError(f"{named!r} is no name of this server.", f"Ask for {self._hosts[0]}.")
                await answer_error(refused)(scope, receive, send)
                return
        await self._app(scope, receive, send)
