"""The headline of a report: what got worse, what is worse than the rest, what is suspected, or that nothing is shown.

What got worse of late and what is worse than the rest over the whole time are two questions, and each sentence says
which it answers. Of a stream there are two levels of claims: *worse* holds at all looks together, and what a single
look at a table would call so and the looks together do not yet is *suspicious*; it says so with its error rate. Nothing
calm is said above a suspicion, nor above scores that have come to say nothing.
"""

from collections.abc import Sequence

from evertrain.core.policy import MetricName
from evertrain.monitor.change import Change
from evertrain.monitor.report import METRIC_NAMES, Segment
from evertrain.monitor.verdict import is_weak, say_day, say_p

__all__ = ["say_headline", "say_suspicion", "say_weak", "suspected"]

_NAMED = 3


def say_headline(changes: Sequence[Change], segments: Sequence[Segment], metric: MetricName, alpha: float) -> str:
    """A few short sentences: what got worse, what is worse than the rest, or that neither is shown."""
    suspicion = say_suspicion(changes, segments, metric, alpha)
    weak = say_weak(changes)
    shown = _say_shown(changes, segments, calm=not suspicion and not weak)
    return " ".join(filter(None, (shown, suspicion, weak)))


def _say_shown(changes: Sequence[Change], segments: Sequence[Segment], *, calm: bool) -> str:
    """What is shown. calm: nothing else speaks against saying that nothing is."""
    now = [_named_change(one) for one in _in_order(changes, "worse")]
    always = [one.name for one in segments if one.outcome == "worse"]
    asked_now = any(one.p_value is not None for one in changes)
    asked_always = any(one.p_value is not None for one in segments)
    if now:
        rest = (
            " No segment is shown to be worse than the rest over the whole time."
            if asked_always and not any(one.outcome == "suspicious" for one in segments)
            else ""
        )
        return f"Got worse: {_listed(now)}.{_say_always(always) or rest}"
    if always:
        of_late = "Nothing is shown to have got worse of late." if asked_now else "What got worse cannot be told."
        return f"{_say_always(always).strip()}{f' {of_late}' if calm else ''}"
    return _say_calm(asked_now=asked_now, asked_always=asked_always) if calm else ""


def _say_calm(*, asked_now: bool, asked_always: bool) -> str:
    if asked_now and asked_always:
        return "Nothing is shown to be worse: not of late, and no segment over the whole time."
    if asked_now:
        return "Nothing is shown to have got worse of late."
    if asked_always:
        return "No segment is shown to be worse than the rest. What got worse cannot be told."
    return "Whether anything is worse cannot be told, which is no pass."


def suspected(changes: Sequence[Change], segments: Sequence[Segment]) -> tuple[str, ...]:
    """The names of what is suspicious, each once."""
    names = [one.name for one in _in_order(changes, "suspicious")]
    names += [one.name for one in segments if one.outcome == "suspicious"]
    return tuple(dict.fromkeys(names))


def say_suspicion(changes: Sequence[Change], segments: Sequence[Segment], metric: MetricName, alpha: float) -> str:
    """What one look would call worse and all looks together do not yet; "" where there is nothing of the kind."""
    of_late = [_say_suspect(one, metric) for one in _in_order(changes, "suspicious")]
    always = [
        f"{one.name}, against the rest over the whole time (p {say_p(one.look_p)})"
        for one in segments
        if one.outcome == "suspicious"
    ]
    if not of_late and not always:
        return ""
    return (
        f"Suspicious: {_listed([*of_late, *always], '; ')}. A single look at a table would call this worse "
        f"({alpha:.0%} for one look); over all looks it is not shown yet."
    )


def _say_suspect(one: Change, metric: MetricName) -> str:
    before, after = one.figure
    return f"{_named_change(one)}, {METRIC_NAMES[metric]} {before:.4f} before, {after:.4f} now (p {say_p(one.look_p)})"


def say_weak(changes: Sequence[Change]) -> str:
    """That scores tell nothing any more of groups of which nothing is shown; "" where none is like that."""
    weak = [one for one in changes if one.outcome in ("open", "insufficient") and not one.echo and is_weak(one)]
    if not weak:
        return ""
    said = _listed([f"{one.name} (skill {one.skill[1]:.3f}, {one.skill[0]:.3f} before)" for one in weak])
    return (
        f"In the newest stretch scores say next to nothing of {said}: that is how the figures are, and not shown to be "
        f"more than luck."
    )


def _in_order(changes: Sequence[Change], outcome: str) -> list[Change]:
    """Those of an outcome as they are named: all rows first where they got worse without the worst segment too."""
    named = [one for one in changes if one.outcome == outcome]
    return sorted(named, key=lambda one: (not one.everywhere, -(one.worse or 0.0)))


def _say_always(names: Sequence[str]) -> str:
    return f" Worse than the rest over the whole time: {_listed(names)}." if names else ""


def _named_change(one: Change) -> str:
    edge = ", the edge of the newest stretch" if one.at_edge else ""
    return one.name if one.since is None else f"{one.name} since about {say_day(one.since)}{edge}"


def _listed(names: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return between.join(names[:_NAMED]) + more
