"""The page's charts: SVG by pygal, without its styles and scripts. Colours come from the page's own style sheet.

A series of a version has the class `version-N`, N being the ordinal modulo COLOURS; other series are named for what
they show (`champion`, `reference`, `p50`). Each point carries its figures as a title.
"""

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from xml.etree import ElementTree as Tree

import msgspec
import pygal
from pygal.style import Style

from evertrain.core.card import Bin
from evertrain.core.time import DAY, Instant, Span
from evertrain.web.overview import LatencyPoint, Metric, QualityPoint, TrafficPoint
from evertrain.web.wording import say_count, say_date, say_moment, say_number, say_percent

__all__ = [
    "COLOURS",
    "CourseMark",
    "EstimatePoint",
    "draw_calibration",
    "draw_course",
    "draw_estimates",
    "draw_latency",
    "draw_metric",
    "draw_traffic",
    "merge_traffic",
    "versions_in",
]

# pygal leaves a finder for its map plugins behind that Python 3.11 warns of at each later import. We draw no maps.
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]

COLOURS = 8
MOST_BARS = 50
MOST_LABELS = 6
SVG = "{http://www.w3.org/2000/svg}"

Point = dict[str, float | str | dict[str, str]] | None


class _Series(msgspec.Struct, frozen=True):
    """One line or layer: the class that colours it, its name, its points."""

    look: str
    name: str
    points: Sequence[Point]


def merge_traffic(points: Sequence[TrafficPoint], most: int = MOST_BARS) -> list[TrafficPoint]:
    """Neighbouring points put together until there are at most so many; counts are added up.

    >>> day = [TrafficPoint(at=n, width=1, answered={1: 2}) for n in range(4)]
    >>> [(point.at, point.width, point.answered) for point in merge_traffic(day, most=2)]
    [(0, 2, {1: 4}), (2, 2, {1: 4})]
    """
    size = -(-len(points) // most) or 1
    return [_sum_of(points[start : start + size]) for start in range(0, len(points), size)]


def versions_in(points: Iterable[TrafficPoint]) -> list[int]:
    """The versions that answered anything, by ordinal."""
    return sorted({version for point in points for version, count in point.answered.items() if count})


def _sum_of(points: Sequence[TrafficPoint]) -> TrafficPoint:
    answered: dict[int, int] = {}
    for point in points:
        for version, count in point.answered.items():
            answered[version] = answered.get(version, 0) + count
    return TrafficPoint(
        at=points[0].at,
        width=Span(points[-1].at + points[-1].width - points[0].at),
        answered=answered,
        failed=sum(point.failed for point in points),
    )


def draw_traffic(points: Sequence[TrafficPoint]) -> str:
    """Predictions by the version that answered, stacked over business time; failed ones on top."""
    merged = merge_traffic(points)
    series = [
        _Series(
            f"version-{version % COLOURS}",
            f"version {version}",
            [_traffic_point(point, point.answered.get(version, 0), f"version {version}") for point in merged],
        )
        for version in versions_in(merged)
    ]
    if any(point.failed for point in merged):
        series.append(_Series("failed", "failed", [_traffic_point(p, p.failed, "failed") for p in merged]))
    labels = [say_moment(point.at) for point in merged]
    chart = _chart(pygal.StackedBar, labels, say_count)
    return _drawn(chart, series, "Predictions over business time, by the version that answered", _axis(merged))


def _traffic_point(point: TrafficPoint, count: int, name: str) -> Point:
    if not count:
        return None
    total = sum(point.answered.values()) + point.failed
    return {
        "value": count,
        "label": f"{say_moment(point.at)}: {name}, {say_count(count)} ({say_percent(count / total)})",
    }


def draw_metric(metric: Metric) -> str:
    """The champion beside the never-retrained model, over business time."""
    labels = [say_moment(point.at) for point in metric.points]
    series = [
        _Series("reference", "never retrained", [_metric_point(p.at, p.reference, p.labels) for p in metric.points]),
        _Series("champion", "champion", [_metric_point(p.at, p.champion, p.labels) for p in metric.points]),
    ]
    digits = _digits(value for point in metric.points for value in (point.champion, point.reference))
    chart = _chart(pygal.Line, labels, lambda value: say_number(value, digits), height=150)
    return _drawn(
        chart, series, f"{metric.name} over business time, champion and never-retrained model", _axis(metric.points)
    )


def _digits(values: Iterable[float | None]) -> int:
    """How many digits tell the marks of an axis apart that spans these values.

    >>> _digits([0.71, 0.83]), _digits([0.866, None, 0.871]), _digits([180.0, 214.0]), _digits([0.5])
    (2, 4, 0, 3)
    """
    known = [value for value in values if value is not None]
    span = max(known, default=0.0) - min(known, default=0.0)
    return 3 if span <= 0 else min(max(2 - math.floor(math.log10(span)) - 1, 0), 5)


def _metric_point(at: int, value: float | None, labels: int) -> Point:
    if value is None:
        return None
    return {"value": value, "label": f"from {say_moment(at)}: {say_number(value)} on {say_count(labels)} labels"}


class EstimatePoint(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the time from `at` on, with its interval where there is one. says: what the pointer is told."""

    at: Instant
    value: float | None
    low: float | None
    high: float | None
    says: str


def draw_estimates(points: Sequence[EstimatePoint], overall: float | None, says: str) -> str:
    """A figure over business time between the bounds of its intervals, beside the figure of all rows."""
    labels = [say_moment(point.at) for point in points]
    lines = (
        ("bound", "upper bound", [point.high for point in points]),
        ("bound", "lower bound", [point.low for point in points]),
        ("reference", "all rows", [overall] * len(points)),
        ("champion", "estimate", [point.value for point in points]),
    )
    series = [
        _Series(look, name, [_said(value, point.says) for value, point in zip(values, points, strict=True)])
        for look, name, values in lines
        if any(value is not None for value in values)
    ]
    chart = _chart(pygal.Line, labels, lambda value: say_number(value, 3), height=200)
    return _drawn(chart, series, says, _axis(points))


def _said(value: float | None, says: str) -> Point:
    return None if value is None else {"value": value, "label": says}


class CourseMark(msgspec.Struct, frozen=True, kw_only=True):
    """A period of a segment's course. begins: whether it is the one in which the segment got worse."""

    at: Instant
    figure: float | None
    rest: float | None
    labels: int
    begins: bool = False


def draw_course(marks: Sequence[CourseMark], says: str) -> str:
    """A segment against all other rows over business time; a line stands where it got worse."""
    labels = [say_moment(mark.at) for mark in marks]
    top = max((mark.figure for mark in marks if mark.figure is not None), default=0.0)
    series = [
        _Series("reference", "all other rows", [_course_point(mark, mark.rest, "all other rows") for mark in marks]),
        _Series("champion", "segment", [_course_point(mark, mark.figure, "segment") for mark in marks]),
        _Series("onset", "got worse", [_said(top if mark.begins else None, "got worse about here") for mark in marks]),
    ]
    known = [value for mark in marks for value in (mark.figure, mark.rest)]
    digits = _digits(known)
    chart = _chart(pygal.Line, labels, lambda value: say_number(value, digits), height=190)
    return _drawn(chart, series, says, _axis(marks))


def _course_point(mark: CourseMark, value: float | None, name: str) -> Point:
    on = f" on {say_count(mark.labels)} labels" if name == "segment" else ""
    return _said(value, f"from {say_moment(mark.at)}: {name} {say_number(value)}{on}")


def draw_calibration(bins: Sequence[Bin]) -> str:
    """Mean score and share of positive labels in bins of equal mass, from the lowest scores to the highest."""
    labels = [str(number) for number in range(1, len(bins) + 1)]
    said = [
        f"score {say_number(one.score, 3)}, labels {say_number(one.label, 3)} ({say_number(one.low, 3)} to "
        f"{say_number(one.high, 3)}) on {say_count(one.rows)} rows"
        for one in bins
    ]
    series = [
        _Series("reference", "mean score", [{"value": b.score, "label": t} for b, t in zip(bins, said, strict=True)]),
        _Series("champion", "labels", [{"value": b.label, "label": t} for b, t in zip(bins, said, strict=True)]),
    ]
    chart = _chart(pygal.Line, labels, lambda value: say_number(value, 2), height=200)
    return _drawn(chart, series, "Calibration in bins of equal mass", {label: label for label in labels})


def draw_latency(points: Sequence[LatencyPoint]) -> str:
    """Latency percentiles of all answers, over the last minutes of the wall clock."""
    labels = [f"{say_moment(point.at).rpartition(' ')[2]}:{point.at // 1_000_000 % 60:02}" for point in points]
    series = [
        _Series(
            look,
            look,
            [
                {"value": value, "label": f"{label}: {look} {say_number(value, 2)} ms"}
                for label, value in zip(labels, values, strict=True)
            ],
        )
        for look, values in (
            ("p99", [point.p99_ms for point in points]),
            ("p95", [point.p95_ms for point in points]),
            ("p50", [point.p50_ms for point in points]),
        )
    ]
    chart = _chart(pygal.Line, labels, lambda value: say_number(value, 1))
    return _drawn(chart, series, "Latency in milliseconds over the last minutes", {label: label for label in labels})


_STYLE = Style(label_font_size=11, major_label_font_size=11)  # sizes alone: pygal measures the margins by them


def _chart(
    kind: type[pygal.graph.graph.Graph], labels: list[str], say_value: Callable[[float], str], height: int = 250
) -> pygal.graph.graph.Graph:
    chart = kind(  # a dot is only what the pointer can hit; the style sheet shows it then
        width=480, height=height, margin=0, margin_top=6, margin_right=16, margin_bottom=4, spacing=6, css=[], js=[],
        show_legend=False, disable_xml_declaration=True, allow_interruptions=True, no_data_text="nothing yet",
        show_minor_x_labels=False, truncate_label=-1, style=_STYLE, max_scale=6, value_formatter=say_value, dots_size=3,
    )  # fmt: skip
    chart.x_labels = labels
    return chart


def _axis(points: Sequence[TrafficPoint | QualityPoint | EstimatePoint | CourseMark]) -> dict[str, str]:
    """Label of a point to what the axis says: days; hours within one day; both where there are few days."""
    if not points:
        return {}
    lasting = points[-1].at - points[0].at
    daily = lasting > 3 * DAY or all(point.at % DAY == 0 for point in points)

    def say(at: Instant) -> str:
        hour = say_moment(at).rpartition(" ")[2]
        if daily:
            return say_date(at)
        return f"{say_date(at)}, {hour}" if lasting > DAY else hour

    return {say_moment(point.at): say(point.at) for point in points}


def _drawn(chart: pygal.graph.graph.Graph, series: Iterable[_Series], says: str, axis: dict[str, str]) -> str:
    looks = []
    for one in series:
        chart.add(one.name, _with_lone(one.points) if isinstance(chart, pygal.Line) else list(one.points))
        looks.append(one.look)
    step = -(-len(axis) // MOST_LABELS) or 1
    chart.x_labels_major = list(axis)[::step]
    root = Tree.fromstring(chart.render(is_unicode=True))  # noqa: S314 - our own text; pygal's tree depends on lxml
    for element in root.iter():
        element.tag = element.tag.removeprefix(SVG)  # SVG within HTML needs no namespace
    _strip(root)
    for group in root.iter("g"):
        _dress(group, looks)
    _mark_onset(root)
    for text in root.iterfind(".//g[@class='axis x']/g/text"):
        text.text = axis.get(text.text or "", text.text)
    root.attrib.pop("id", None)
    root.set("role", "img")
    root.set("aria-label", says)
    return Tree.tostring(root, encoding="unicode")


def _with_lone(points: Sequence[Point]) -> list[Point]:
    """A line's points; one that no line leads to is a dot that can be seen."""
    around = [None, *points, None]
    return [
        point | {"node": {"class": "dot lone"}} if point is not None and before is None and after is None else point
        for before, point, after in zip(around, points, around[2:], strict=False)
    ]


def _strip(root: Tree.Element) -> None:
    """Take out what pygal adds for its own look and behaviour, and bars of no height."""
    for parent in list(root.iter()):
        for child in list(parent):
            overlay = "tooltip-overlay" in child.get("class", "")
            if child.tag in {"defs", "title"} or overlay or _is_empty_bar(child):
                parent.remove(child)


def _is_empty_bar(element: Tree.Element) -> bool:
    rect = element.find("rect") if element.get("class") == "bar" else None
    return rect is not None and float(rect.get("height", "1")) == 0


def _mark_onset(root: Tree.Element) -> None:
    """A line from the bottom to the top of the plot where the lone dot of the series `onset` is."""
    plot = root.find(".//g[@class='plot']/rect[@class='background']")
    for group in root.iterfind(".//g[@class='series onset']"):
        dot = group.find(".//circle")
        if plot is not None and dot is not None:
            x = dot.get("cx", "0")
            Tree.SubElement(group, "line", {"x1": x, "x2": x, "y1": "0", "y2": plot.get("height", "0")})


def _dress(group: Tree.Element, looks: Sequence[str]) -> None:
    """Name a series for what it shows, and turn a point's descriptions into one title."""
    words = group.get("class", "").split()
    if words[:1] == ["series"] and len(words) == 3:
        group.set("class", f"series {looks[int(words[1].removeprefix('serie-'))]}")
    descriptions = group.findall("desc")
    for description in descriptions:
        group.remove(description)
        if description.get("class") == "label":
            Tree.SubElement(group, "title").text = description.text
