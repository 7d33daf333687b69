"""The page: one overview a service, rendered on the server, kept live by server-sent events.

A page is made of panels. While it is open, each panel whose HTML changed is sent again as a whole, at most once a
second; the panels are rendered once for all open pages.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from evertrain.core.event import kind_of
from evertrain.core.identity import ServiceName, short
from evertrain.errors import CapacityError, EvertrainError, RequestError
from evertrain.web import chart, observation, wording
from evertrain.web.api import CALLS, act, read_body, whole_number
from evertrain.web.overview import LatencyPoint, Metric, Overview, TrafficPoint
from evertrain.web.reading import Actions, Readings
from evertrain.web.session import Door

__all__ = ["PANELS", "Page", "Panels", "page_routes"]

PANELS = (
    "status", "alerts", "serving", "rollout", "traffic", "decisions", "quality", "latency", "versions", "sources",
    "cycles", "machine", "rollback", "approval", "switch",
)  # fmt: skip
"""Templates under templates/panels, each the inside of the section, the form or the buttons of that name."""

T = TypeVar("T")

REFRESH_S = 1.0
CHART_REFRESHES = 4
EVENTS_A_PAGE = 100
HEARTBEAT_S = 15.0
MOST_STREAMS = 32


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evertrain.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        moment=wording.say_moment, count=wording.say_count, percent=wording.say_percent, number=wording.say_number,
        lasting=wording.say_lasting, figure=wording.say_figure, pool=wording.say_pool,
        sentence=wording.say_sentence, short=short,
    )  # fmt: skip
    environment.globals.update(
        colours=chart.COLOURS, versions_in=chart.versions_in, progress=wording.say_progress,
    )  # fmt: skip
    return environment


class Drawings:
    """The charts of a page. One takes some 50 ms to draw, so it is drawn anew at most once in `every` refreshes."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._kept: dict[str, tuple[int, object, str]] = {}
        self._refresh = 0

    def begin(self) -> None:
        """A new refresh."""
        self._refresh += 1

    def traffic(self, points: Sequence[TrafficPoint]) -> str:
        return self._draw("traffic", chart.draw_traffic, points)

    def metric(self, metric: Metric) -> str:
        return self._draw(metric.name, chart.draw_metric, metric)

    def latency(self, points: Sequence[LatencyPoint]) -> str:
        return self._draw("latency", chart.draw_latency, points)

    def _draw(self, name: str, draw: Callable[[T], str], shown: T) -> str:
        at, kept, svg = self._kept.get(name, (-self._every, None, ""))
        if kept != shown and self._refresh - at >= self._every:
            svg = draw(shown)
            self._kept[name] = (self._refresh, shown, svg)
        return svg


class Panels:
    """The panels of each service, rendered at most once a refresh, however many pages are open."""

    def __init__(self, readings: Readings, refresh_s: float = REFRESH_S) -> None:
        self.refresh_s = refresh_s
        self._readings = readings
        self._environment = _environment()
        self._drawings: dict[ServiceName, Drawings] = {}
        self._rendered: dict[ServiceName, tuple[float, dict[str, str]]] = {}
        self._locks: dict[ServiceName, asyncio.Lock] = {}

    async def of(self, service: ServiceName) -> dict[str, str]:
        """Panel name to its HTML."""
        async with self._locks.setdefault(service, asyncio.Lock()):
            at, panels = self._rendered.get(service, (float("-inf"), {}))
            if time.monotonic() - at >= self.refresh_s:
                panels = await run_in_threadpool(self._render, service)
                self._rendered[service] = (time.monotonic(), panels)
            return panels

    def _render(self, service: ServiceName) -> dict[str, str]:
        return self.render(self._readings.overview(service))

    def render(self, overview: Overview) -> dict[str, str]:
        """All panels of an overview."""
        drawings = self._drawings.setdefault(overview.service, Drawings(CHART_REFRESHES))
        drawings.begin()
        values = {"overview": overview, "draw": drawings}
        return {name: self._environment.get_template(f"panels/{name}.html").render(values) for name in PANELS}

    def document(self, template: str, **values: object) -> str:
        """A whole document."""
        return self._environment.get_template(template).render(values)


class Page:
    """The endpoints of the page."""

    def __init__(self, readings: Readings, actions: Actions, door: Door, panels: Panels) -> None:
        self._readings = readings
        self._actions = actions
        self._door = door
        self._panels = panels
        self._streams = 0

    async def first(self, _: Request) -> Response:
        """To the page of the first service."""
        services = await run_in_threadpool(self._readings.services)
        if services:
            return RedirectResponse(f"/services/{services[0]}", status_code=303)
        return HTMLResponse(self._panels.document("empty.html"))

    async def service(self, request: Request) -> Response:
        """The page of a service."""
        service = ServiceName(request.path_params["service"])
        overview = await run_in_threadpool(self._readings.overview, service)
        if overview.watched:
            return RedirectResponse(f"/services/{service}/observed", status_code=303)
        document = self._panels.document(
            "service.html",
            service=service,
            services=await run_in_threadpool(self._readings.services),
            panels=await self._panels.of(service),
            recipes=overview.recipes,
            csrf=self._csrf(request),
        )
        return HTMLResponse(document)

    async def observed(self, request: Request) -> Response:
        """The page of a service that is only watched: what was observed."""
        service = ServiceName(request.path_params["service"])
        report = await observation.computed(lambda: self._readings.report(service))
        return HTMLResponse(await observation.computed(lambda: observation.document(report, alone=False)))

    async def card(self, request: Request) -> Response:
        """Why a version got its verdict."""
        service, version = ServiceName(request.path_params["service"]), request.path_params["version"]
        card = await run_in_threadpool(self._readings.card, service, version)
        picture = chart.draw_calibration(card.calibration) if card.calibration else ""
        return HTMLResponse(self._panels.document("card.html", card=card, said=version, picture=picture))

    async def ledger(self, request: Request) -> Response:
        """The ledger, a hundred events a page; without `after`, the newest."""
        services = await run_in_threadpool(self._readings.services)
        count = await run_in_threadpool(self._count, services)
        after = whole_number(request, "after", max(-1, count - 1 - EVENTS_A_PAGE), -1, 2**53)
        events = await run_in_threadpool(self._readings.events, after, EVENTS_A_PAGE)
        rows = [
            (event, kind_of(event.fact), msgspec.json.format(msgspec.json.encode(event.fact)).decode())
            for event in events
        ]
        document = self._panels.document(
            "ledger.html", rows=rows, after=after, size=EVENTS_A_PAGE, count=count, services=services
        )
        return HTMLResponse(document)

    def _count(self, services: Sequence[ServiceName]) -> int:
        state = self._readings.overview(services[0]).ledger if services else None
        return state.events if state else 0

    async def act(self, request: Request) -> Response:
        """A form of the page: promote, roll back, retrain or switch."""
        action, service = request.path_params["action"], ServiceName(request.path_params["service"])
        if action not in CALLS:
            return HTMLResponse(
                self._panels.document("said.html", service=service, title="No such action", says=""), 404
            )
        sent = dict(parse_qsl((await read_body(request)).decode("utf-8", "replace"), keep_blank_values=True))
        try:
            self._check_form(request, sent.pop("csrf", ""))
            accepted = await act(self._actions, action, service, sent)
        except EvertrainError as error:
            said = self._panels.document("said.html", service=service, title="Not done", says=str(error))
            return HTMLResponse(said, 403 if isinstance(error, FormError) else 400)
        title = f"On record as event {accepted.sequence}"
        return HTMLResponse(self._panels.document("said.html", service=service, title=title, says=accepted.says))

    async def stream(self, request: Request) -> Response:
        """The panels as server-sent events: all at first, then the changed ones."""
        service = ServiceName(request.path_params["service"])
        await self._panels.of(service)
        if self._streams >= MOST_STREAMS:
            raise CapacityError(f"{MOST_STREAMS} pages are open already.", "Close some.")
        return StreamingResponse(self._changes(service), media_type="text/event-stream")

    async def _changes(self, service: ServiceName) -> AsyncIterator[bytes]:
        shown: dict[str, str] = {}
        spoken = time.monotonic()
        self._streams += 1
        try:
            while True:
                panels = await self._panels.of(service)
                changed = {name: html for name, html in panels.items() if shown.get(name) != html}
                if changed:
                    yield b"data: " + msgspec.json.encode(changed) + b"\n\n"
                    shown, spoken = panels, time.monotonic()
                elif time.monotonic() - spoken >= HEARTBEAT_S:
                    yield b": still here\n\n"
                    spoken = time.monotonic()
                await asyncio.sleep(self._panels.refresh_s)
        finally:
            self._streams -= 1

    def _csrf(self, request: Request) -> str:
        session = getattr(request.state, "session", None)
        return self._door.form_token(session) if session else ""

    def _check_form(self, request: Request, token: str) -> None:
        session = getattr(request.state, "session", None)
        if session is not None and not self._door.admits_form(session, token):
            raise FormError("This form was not made for this session.", "Load the page again and repeat it.")


class FormError(RequestError):
    """A form that another site, or an older session, may have sent."""


def page_routes(readings: Readings, actions: Actions, door: Door, panels: Panels) -> list[Route]:
    """All routes of the page."""
    page = Page(readings, actions, door, panels)
    return [
        Route("/", page.first, methods=["GET"]),
        Route("/ledger", page.ledger, methods=["GET"]),
        Route("/services/{service}", page.service, methods=["GET"]),
        Route("/services/{service}/versions/{version}", page.card, methods=["GET"]),
        Route("/services/{service}/observed", page.observed, methods=["GET"]),
        Route("/services/{service}/stream", page.stream, methods=["GET"]),
        Route("/services/{service}/{action}", page.act, methods=["POST"]),
    ]
