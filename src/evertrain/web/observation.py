"""The report of a watched table as one document: within a page that is served, or as a file that needs no network."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from typing import TypeVar

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from evertrain.core.metric import HIGHER_IS_BETTER
from evertrain.core.policy import MetricName
from evertrain.core.wording import say_many
from evertrain.errors import EvertrainError, UnavailableError
from evertrain.monitor.estimate import Estimate
from evertrain.monitor.report import METRIC_NAMES, Course, Inputs, Period, Report, to_json
from evertrain.monitor.shift import Shift
from evertrain.web import wording
from evertrain.web.chart import CourseMark, EstimatePoint, draw_course, draw_estimates
from evertrain.web.guard import SecurityHeaders
from evertrain.web.refusal import KnownHosts, answer_error, fault_of

__all__ = ["computed", "create_report_app", "document", "say_metric", "say_moved"]

_HOSTS = ("127.0.0.1", "localhost")
_NAMED = 4
_Made = TypeVar("_Made")
_CLEAR = 0.1
"""A distance that is clear by convention."""


class _Plot(msgspec.Struct, frozen=True):
    """An interval and the figure of all rows on an axis from 0 to 100."""

    low: float
    value: float
    high: float
    rest: float


class _Bar(msgspec.Struct, frozen=True):
    """A distance on a field of 100 by 20, its top at y. number: of the period."""

    number: int
    x: float
    y: float
    width: float
    value: float


def say_metric(name: MetricName) -> str:
    """A metric as people call it.

    >>> say_metric("log_loss")
    'log loss'
    """
    return METRIC_NAMES[name]


def say_moved(inputs: Inputs) -> str:
    """One sentence about the inputs."""
    compared = sum(one.p_value is not None for one in inputs.columns)
    unclear = [one.column for one in inputs.columns if one.outcome == "insufficient"]
    moved = [one.column for one in inputs.moved]
    newest = f"the newest stretch, from {wording.say_moment(inputs.start)} on, against {inputs.reference}"
    if moved:
        since = {one.since for one in inputs.moved}
        (first,) = since if len(since) == 1 else (None,)
        when = "" if first is None else f" since about {_say_day(first)}"
        verb = "has" if len(moved) == 1 else "have"
        ways = "; ".join(filter(None, (_say_way(one, alone=len(moved) == 1) for one in inputs.moved[:_NAMED])))
        how = f"{ways}; " if ways else ""
        return f"{_named(moved)} {verb} moved{when}: {how}{newest} ({say_many(compared, 'input')} compared)."
    if unclear and len(unclear) >= compared:
        why = inputs.columns[0].words.partition(":")[0]
        return f"Whether inputs have moved cannot be told, which is no pass: {why} ({newest})."
    if not compared:
        return "No input could be compared."
    tail = f"; of {_named(unclear)} it cannot be told" if unclear else ""
    return f"No input is shown to have moved{tail}: {newest} ({say_many(compared, 'input')} compared)."


def _say_way(one: Shift, *, alone: bool) -> str:
    """Which way a column went; "" where that takes more than a few words.

    >>> _say_way(Shift(column="age", outcome="moved", missing=(0.0, 0.0), center=(33.0, 46.0)), alone=True)
    'up, median 33 to 46'
    >>> _say_way(Shift(column="age", outcome="moved", missing=(0.0, 0.2)), alone=False)
    'age missing in 0 % before, 20 % now'
    """
    said = []
    then, now = one.center or (0.0, 0.0)
    if _say_brief(then) != _say_brief(now):
        said.append(f"{'up' if now > then else 'down'}, median {_say_brief(then)} to {_say_brief(now)}")
    before, after = (wording.say_percent(share) for share in one.missing)
    if before != after:
        said.append(f"missing in {before} before, {after} now")
    if one.fresh_names:
        said.append(f"new: {', '.join(one.fresh_names)}")
    return f"{'' if alone else f'{one.column} '}{', '.join(said)}" if said else ""


def _named(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def document(report: Report, *, alone: bool) -> str:
    """The report as HTML. alone: with its styles inside, so that the file shows without a network."""
    lower = report.metric not in HIGHER_IS_BETTER
    chart = draw_estimates(
        [_point(one) for one in report.periods],
        report.figures[report.metric].value,
        f"{say_metric(report.metric)} over time with its interval",
    )
    return (
        _environment()
        .get_template("observed.html")
        .render(
            report=report,
            chart=chart,
            drawn=lambda course: draw_course(list(_marks(course)), _say_course(course, report.metric)),
            styles=_styles() if alone else None,
            plot=_plotter(report),
            lower_is_better=lower,
            next_door=wording.NEXT_DOOR,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evertrain.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(
        moment=wording.say_moment, count=wording.say_count, percent=wording.say_percent, number=wording.say_number,
        lasting=wording.say_lasting, sentence=wording.say_sentence, many=say_many, brief=_say_brief,
        day=_say_day,
    )  # fmt: skip
    environment.globals.update(metric_name=say_metric, say_moved=say_moved, course=_bars)
    return environment


def _styles() -> str:
    folder = files("evertrain.web") / "static"
    return "\n".join((folder / name).read_text() for name in ("page.css", "observed.css"))


def _say_brief(value: float) -> str:
    """A median, as short as it is told apart.

    >>> _say_brief(21770.4), _say_brief(0.26716), _say_brief(-3.5)
    ('21,770', '0.2672', '−3.5')
    """
    said = f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:.4g}"
    return said.replace("-", "−")


def _say_day(at: int | None) -> str:
    """The day of an instant, "" where there is none.

    >>> _say_day(0), _say_day(None)
    ('1 Jan 1970', '')
    """
    return "" if at is None else wording.say_moment(at).partition(",")[0]


def _bars(over_time: Sequence[float | None]) -> list[_Bar]:
    """The distances of periods as bars; a period without one leaves a gap."""
    highest = max([_CLEAR, *(value for value in over_time if value is not None)])
    width = 100.0 / max(1, len(over_time))
    return [
        _Bar(number, round(number * width, 2), round(20.0 - 20.0 * value / highest, 2), round(0.8 * width, 2), value)
        for number, value in enumerate(over_time)
        if value is not None
    ]


def _point(one: Period) -> EstimatePoint:
    figure = one.figure
    bounds = "" if figure.low is None else f" ({wording.say_number(figure.low)} to {wording.say_number(figure.high)})"
    return EstimatePoint(
        at=one.start,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        says=(
            f"from {wording.say_moment(one.start)}: {wording.say_number(figure.value)}{bounds} on "
            f"{wording.say_count(figure.labels)} labels"
        ),
    )


def _marks(course: Course) -> Iterator[CourseMark]:
    """The periods of a course; the last one that begins before `since` is where the segment got worse."""
    since = course.since
    before = -1 if since is None else sum(point.start <= since for point in course.points) - 1
    for number, one in enumerate(course.points):
        yield CourseMark(at=one.start, figure=one.figure, rest=one.rest, labels=one.labels, begins=number == before)


def _say_course(course: Course, metric: MetricName) -> str:
    since = "" if course.since is None else f", which got worse about {_say_day(course.since)}"
    return f"{say_metric(metric)} over time of {course.column} = {course.value}{since}, against all other rows"


def _plotter(report: Report) -> Callable[[Estimate], _Plot | None]:
    """Where an interval is drawn, on an axis that all segments share."""
    rest = report.figures[report.metric].value
    bounds = [one.figure for one in report.segments if one.figure.low is not None]
    lows = [figure.low for figure in bounds if figure.low is not None]
    highs = [figure.high for figure in bounds if figure.high is not None]
    if rest is None or not lows:
        return lambda _: None
    start, end = min(*lows, rest), max(*highs, rest)
    width = (end - start) or 1.0

    def place(value: float) -> float:
        return round(2 + 96 * (value - start) / width, 2)

    def plot(figure: Estimate) -> _Plot | None:
        if figure.value is None or figure.low is None or figure.high is None:
            return None
        return _Plot(place(figure.low), place(figure.value), place(figure.high), place(rest))

    return plot


async def computed(make: Callable[[], _Made]) -> _Made:
    """What takes seconds to make, made in a thread. UnavailableError when the server stops before it is done."""
    try:
        return await run_in_threadpool(make)
    except asyncio.CancelledError:
        raise UnavailableError("The server is stopping.", "Start it again, and load the page anew.") from None


def create_report_app(report_of: Callable[[], Report]) -> Starlette:
    """The report on a port of its own: the page, and the same as JSON at /report.json."""

    async def page(_: Request) -> Response:
        return HTMLResponse(await computed(lambda: document(report_of(), alone=False)))

    async def numbers(_: Request) -> Response:
        return Response(await computed(lambda: to_json(report_of())), media_type="application/json")

    async def say_error(request: Request, error: Exception) -> Response:
        fault, status = fault_of(request, error)
        told = answer_error(fault, status)
        if "text/html" in request.headers.get("accept", ""):
            return PlainTextResponse(str(fault), told.status_code)
        return told

    return Starlette(
        routes=[
            Route("/", page, methods=["GET"]),
            Route("/report.json", numbers, methods=["GET"]),
            Mount("/static", StaticFiles(packages=[("evertrain.web", "static")])),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(KnownHosts, hosts=_HOSTS),
        ],
        exception_handlers=dict.fromkeys((EvertrainError, HTTPException, Exception), say_error),
    )
