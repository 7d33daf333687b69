"""The control API: readings as JSON, actions with a reason, metrics for Prometheus."""

import asyncio
from collections.abc import Callable
from typing import Annotated, cast, get_args

import msgspec
from msgspec import Meta
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from evertrain.core.identity import ServiceName
from evertrain.errors import RequestError, TooLargeError
from evertrain.monitor.report import to_json
from evertrain.web.observation import computed
from evertrain.web.reading import Accepted, Actions, Readings, Ruling, Switch
from evertrain.web.refusal import StalledError

__all__ = [
    "MOST_BODY",
    "PromoteCall",
    "RetrainCall",
    "RollbackCall",
    "SwitchCall",
    "act",
    "api_routes",
    "read_body",
    "whole_number",
]

MOST_BODY = 16_384
"""Bytes of a request body; what people type as a reason is far below it."""

BODY_S = 10.0
"""Seconds in which a request body must have come; it is one packet."""

Reason = Annotated[str, Meta(min_length=1, max_length=2000, description="why, in a person's words")]


class PromoteCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """version: its ordinal, its id, or the start of its id."""

    version: str
    reason: Reason


class RollbackCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ends the running rollout, or else goes back to the previous champion."""

    reason: Reason


class RetrainCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """recipe "" is the service's default one."""

    reason: Reason
    recipe: str = ""


class SwitchCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Turns a service off or on, or pauses or resumes its rollout."""

    reason: Reason


class RulingCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Approves or denies what a version waits for. version "" is whichever waits."""

    reason: Reason
    version: str = ""


Call = PromoteCall | RollbackCall | RetrainCall | SwitchCall | RulingCall
CALLS: dict[str, type[Call]] = {
    "promote": PromoteCall,
    "rollback": RollbackCall,
    "retrain": RetrainCall,
    **dict.fromkeys(get_args(Switch), SwitchCall),
    **dict.fromkeys(get_args(Ruling), RulingCall),
}


async def read_body(request: Request, most: int = MOST_BODY, *, patience_s: float = BODY_S) -> bytes:
    """The whole body; refused before it is read when its header says that it is too long, and when it stalls."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise _too_long(most)
    try:
        async with asyncio.timeout(patience_s):
            return await _body(request, most)
    except TimeoutError as error:
        raise StalledError(f"The body did not come within {patience_s:g} s.", "Send it again.") from error
    except ClientDisconnect as error:
        raise StalledError("The client left before its request was whole.", "Send it again.") from error


async def _body(request: Request, most: int) -> bytes:
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > most:
            raise _too_long(most)
        parts.append(part)
    return b"".join(parts)


def _too_long(most: int) -> TooLargeError:
    return TooLargeError(f"The body is longer than {most} bytes.", "Send a shorter reason.")


async def act(actions: Actions, action: str, service: ServiceName, body: object) -> Accepted:
    """Check what was sent for an action, and take it."""
    try:
        call = msgspec.convert(body, CALLS[action])
    except msgspec.ValidationError as error:
        raise RequestError(f"This is no {action}: {error}.", "Send a JSON object with the fields it names.") from error
    if not call.reason.strip():
        raise RequestError("The reason is empty.", "Say why, in a few words.", field="reason")
    return await run_in_threadpool(_taken, actions, action, service, call)


def _taken(actions: Actions, action: str, service: ServiceName, call: Call) -> Accepted:
    if isinstance(call, PromoteCall):
        return actions.promote(service, call.version.strip(), call.reason)
    if isinstance(call, RetrainCall):
        return actions.retrain(service, call.recipe.strip(), call.reason)
    if isinstance(call, RollbackCall):
        return actions.rollback(service, call.reason)
    if isinstance(call, RulingCall):
        return actions.rule(service, cast("Ruling", action), call.version.strip(), call.reason)
    return actions.switch(service, cast("Switch", action), call.reason)


def answer(value: object, status: int = 200) -> Response:
    """A value as a JSON response."""
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


def whole_number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """A parameter of the query, within its bounds."""
    text = request.query_params.get(name, str(default))
    try:
        number = int(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise RequestError(f"{name}={text!r} is no whole number from {low} to {high}.", field=name)
    return number


class Api:
    """The endpoints; readings and actions run on the server's threads, never on its event loop."""

    def __init__(self, readings: Readings, actions: Actions) -> None:
        self._readings = readings
        self._actions = actions

    async def services(self, _: Request) -> Response:
        """Names of all services."""
        return answer({"services": await run_in_threadpool(self._readings.services)})

    async def overview(self, request: Request) -> Response:
        """Everything that the page says about a service."""
        service = ServiceName(request.path_params["service"])
        return answer(await run_in_threadpool(self._readings.overview, service))

    async def observed(self, request: Request) -> Response:
        """Of a service that is only watched: the report of what was observed."""
        service = ServiceName(request.path_params["service"])
        report = await computed(lambda: self._readings.report(service))
        return Response(to_json(report), media_type="application/json")

    async def card(self, request: Request) -> Response:
        """The evaluation card of a version (ordinal, id or start of an id): why it got its verdict."""
        service = ServiceName(request.path_params["service"])
        return answer(await run_in_threadpool(self._readings.card, service, request.path_params["version"]))

    async def events(self, request: Request) -> Response:
        """Ledger events after `after` (default -1), oldest first, at most `limit` (default 100, up to 1000)."""
        after = whole_number(request, "after", -1, -1, 2**53)
        limit = whole_number(request, "limit", 100, 1, 1000)
        return answer({"events": await run_in_threadpool(self._readings.events, after, limit)})

    async def promote(self, request: Request) -> Response:
        """Put a version into service. Body: `version` (ordinal, id or start of an id) and `reason`."""
        return await self._act(request, "promote")

    async def rollback(self, request: Request) -> Response:
        """End the running rollout, or else go back to the previous champion. Body: `reason`."""
        return await self._act(request, "rollback")

    async def retrain(self, request: Request) -> Response:
        """Begin a retraining cycle. Body: `reason`, and `recipe` if it is not the default one."""
        return await self._act(request, "retrain")

    async def off(self, request: Request) -> Response:
        """Turn the service off: it answers 503 within a second. Body: `reason`."""
        return await self._act(request, "off")

    async def on(self, request: Request) -> Response:
        """Turn the service on again. Body: `reason`."""
        return await self._act(request, "on")

    async def pause(self, request: Request) -> Response:
        """Turn the running rollout off: its version gets no traffic within a second. Body: `reason`."""
        return await self._act(request, "pause")

    async def resume(self, request: Request) -> Response:
        """Turn a paused rollout on again, at the step it was in. Body: `reason`."""
        return await self._act(request, "resume")

    async def approve(self, request: Request) -> Response:
        """Allow what the running rollout waits for. Body: `reason`; `version`, if no other one is to be allowed."""
        return await self._act(request, "approve")

    async def deny(self, request: Request) -> Response:
        """Deny what the running rollout waits for, which ends it. Body: `reason`; `version`, as above."""
        return await self._act(request, "deny")

    async def _act(self, request: Request, action: str) -> Response:
        body = await read_body(request)
        try:
            sent = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RequestError(f"The body is no JSON: {error}.", 'Send an object such as {"reason": "..."}.') from error
        return answer(await act(self._actions, action, ServiceName(request.path_params["service"]), sent), 202)

    async def metrics(self, _: Request) -> Response:
        """Counts over all workers, in the text format of Prometheus. Needs no token."""
        text = await run_in_threadpool(self._readings.metrics)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def flags(self, _: Request) -> Response:
        """Whether each service is on, and who answers whom: what the OpenFeature provider reads. Needs no token."""
        return answer({"services": await run_in_threadpool(self._readings.flags)})

    async def live(self, _: Request) -> Response:
        """Whether the controller answers. Needs no token."""
        return answer({"live": True})


def api_routes(readings: Readings, actions: Actions) -> list[Route]:
    """All routes of the control API."""
    api = Api(readings, actions)
    of_service: list[tuple[str, Callable[..., object], str]] = [
        ("overview", api.overview, "GET"),
        ("observed", api.observed, "GET"),
        ("promote", api.promote, "POST"),
        ("rollback", api.rollback, "POST"),
        ("retrain", api.retrain, "POST"),
        ("off", api.off, "POST"),
        ("on", api.on, "POST"),
        ("pause", api.pause, "POST"),
        ("resume", api.resume, "POST"),
        ("approve", api.approve, "POST"),
        ("deny", api.deny, "POST"),
    ]
    return [
        Route("/api/services", api.services, methods=["GET"]),
        *(Route(f"/api/services/{{service}}/{name}", end, methods=[method]) for name, end, method in of_service),
        Route("/api/services/{service}/versions/{version}", api.card, methods=["GET"]),
        Route("/api/events", api.events, methods=["GET"]),
        Route("/flags", api.flags, methods=["GET"]),
        Route("/metrics", api.metrics, methods=["GET"]),
        Route("/health/live", api.live, methods=["GET"]),
    ]
