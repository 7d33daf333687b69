"""How versions, cycles and rollouts stand: from the registry's records to the values that the page shows.

All functions are pure; lists come newest first.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from statistics import median
from typing import Literal

from evertrain.core.approval import consent
from evertrain.core.canary import Assessment
from evertrain.core.cycle import CycleState
from evertrain.core.identity import VersionId
from evertrain.core.registry import Cycle, Rollout, ServiceRecord, Version
from evertrain.core.rollout import RolloutState
from evertrain.core.routing import Route
from evertrain.core.time import Instant
from evertrain.model.progress import UnderWay
from evertrain.web import overview as shown
from evertrain.web.overview import Tone
from evertrain.web.wording import say_count

__all__ = ["show_cycles", "show_evidence", "show_rollout", "show_shares", "show_versions", "show_work", "why_it_waits"]

_MOST = 40
_NOTHING = 1e-9
_BEGIN = Instant(0)

_State = Literal["champion", "standby", "on trial", "reference", "retired", "refused", "rolled back", "built"]

_CYCLE_TONES: dict[str, Tone] = {
    "promoted": "good",
    "refused": "bad",
    "rolled_back": "bad",
    "failed": "bad",
    "inconclusive": "watch",
    "waiting_for_labels": "watch",
    "no_op": "plain",
    "superseded": "plain",
}

_STAGES: dict[str, str] = {
    "assemble": "putting training rows together",
    "rehearse": "rehearsing recipe {recipe}",
    "train": "training with recipe {recipe}",
    "evaluate": "judging the new version on rows that it never saw",
    "check": "checking the pushed file, and judging it on what labels are certain",
    "rescore": "scoring the labelled requests by both versions",
    "reproduce": "training a version once more, to compare",
}

_ROLLOUT_STATES: dict[RolloutState, str] = {
    RolloutState.SHADOWING: "in shadow",
    RolloutState.STEPPING: "canary",
    RolloutState.ROLLED_BACK: "rolled back",
}


def show_shares(record: ServiceRecord, route: Route) -> tuple[shown.Share, ...]:
    """Who answers which share now."""
    if route.champion not in record.versions:
        return ()
    champion = record.versions[route.champion].ordinal
    arms: list[shown.Share] = []
    if route.control is not None and route.control.share > 0:
        arms.append(shown.Share(version=champion, share=route.control.share, arm="control"))
    if route.canary is not None and route.canary.share > 0:
        trial = record.versions[route.canary.version].ordinal
        arms.append(shown.Share(version=trial, share=route.canary.share, arm="canary"))
    rest = shown.Share(version=champion, share=1.0 - sum(arm.share for arm in arms))
    return (*([rest] if rest.share > _NOTHING else []), *arms)


# Versions -------------------------------------------------------------------------------------------------------------


def show_versions(record: ServiceRecord, crowning: Callable[[VersionId], str]) -> tuple[shown.Version, ...]:
    """Every version and what became of it. crowning: why a version became the champion."""
    return tuple(_show_version(record, version, crowning) for version in reversed(record.versions.values()))


def _show_version(record: ServiceRecord, version: Version, crowning: Callable[[VersionId], str]) -> shown.Version:
    cycle = record.cycles.get(version.cycle) if version.cycle is not None else None
    crowned = crowning(version.version) if version.championed is not None else ""
    return shown.Version(
        id=version.version,
        ordinal=version.ordinal,
        state=_state_of(record, version),
        built=version.built,
        recipe=version.recipe or (cycle.recipe if cycle is not None and cycle.kind != "external" else "imported"),
        verdict=version.verdict or "",
        reason=version.refused or crowned or version.why,
        rows=cycle.dataset.rows if cycle is not None and cycle.dataset is not None else None,
        cycle=version.cycle,
    )


def _state_of(record: ServiceRecord, version: Version) -> _State:
    trial = record.open_rollout
    if version.version == record.champion:
        return "champion"
    if version.refused:
        answered = any(one.version == version.version and one.started for one in record.rollouts.values())
        return "rolled back" if answered else "refused"
    if trial is not None and trial.version == version.version:
        return "on trial"
    if version.version == record.previous:
        return "standby"
    if version.version == record.anchor:
        return "reference"
    return "retired" if version.championed is not None else "built"


# Cycles ---------------------------------------------------------------------------------------------------------------


def show_cycles(record: ServiceRecord) -> tuple[shown.Cycle, ...]:
    """The newest runs of the loop."""
    return tuple(_show_cycle(record, cycle) for cycle in islice(reversed(record.cycles.values()), _MOST))


def _show_cycle(record: ServiceRecord, cycle: Cycle) -> shown.Cycle:
    return shown.Cycle(
        id=cycle.cycle,
        state=cycle.state.replace("_", " "),
        trigger=cycle.trigger,
        began=cycle.began,
        ended=None if cycle.open else cycle.since,
        until=cycle.until if cycle.open else None,
        version=record.versions[cycle.version].ordinal if cycle.version in record.versions else None,
        tone=_CYCLE_TONES.get(cycle.state, "waiting"),
        reason=cycle.why,
    )


def show_work(record: ServiceRecord, running: Iterable[UnderWay], now_s: float) -> tuple[shown.Work, ...]:
    """What is being done for a service. now_s: the wall clock, in seconds since 1970."""
    return tuple(
        shown.Work(
            says=_STAGES.get(one.stage, one.stage).format(recipe=one.recipe),
            for_s=max(now_s - one.began, 0.0),
            limit_s=one.limit_s,
            usual_s=median(one.took) if one.took else None,
            earlier=len(one.took),
        )
        for one in running
        if one.service == record.service
    )


# Rollouts -------------------------------------------------------------------------------------------------------------


def show_rollout(
    record: ServiceRecord,
    rollout: Rollout,
    look: Assessment | None = None,
    *,
    timed: bool = True,
    now: Instant = _BEGIN,
    absent: str = "",
) -> shown.Rollout:
    """One attempt. look: what the newest look at it found, for the one under way. timed: whether latency decides.

    now: by which it is told whether somebody who was asked is late. absent: that its control arm does not stand now.
    """
    figures = look.figures if look is not None else rollout.evidence
    # One that enters at once runs beside nobody; while it is to enter, whoever answers is the one that it succeeds.
    beside = rollout.champion or (record.champion if rollout.open else None)
    against = record.ordinal_of(beside)
    waits = _waits_for(record.versions[rollout.version], rollout, look, now)
    waits = [f"it cannot go on without its control arm: {absent}", *waits] if absent else waits
    return shown.Rollout(
        id=rollout.rollout,
        version=record.versions[rollout.version].ordinal,
        against=against,
        state=_ROLLOUT_STATES.get(rollout.state, rollout.state.value),
        began=rollout.began,
        ended=None if rollout.open else rollout.since,
        steps=_show_steps(record, rollout, figures),
        evidence=show_evidence(figures, timed=timed),
        requests=int(figures.get("canary", 0)),
        failures=int(figures.get("canary_errors", 0)),
        waiting=_sentence("; ".join(waits)) if rollout.open else "",
        reason=_sentence(rollout.why),
        asks=tuple(one.approver for one in rollout.unanswered) if rollout.open else (),
    )


def _waits_for(version: Version, rollout: Rollout, look: Assessment | None, now: Instant) -> list[str]:
    """Traffic that does not suffice yet, and a person or labels where something speaks against the version."""
    words = list(look.reasons) if look is not None and look.action == "wait" else []
    words += consent(rollout.unanswered, now).reasons
    if rollout.absent and not version.hold:
        words.append(f"it cannot be tried yet: {rollout.absent}")
    if version.hold:
        decides = "a person decides, who" if version.recipe else "labels decide, or a person who"
        words.append(f"held without traffic, since {version.hold}: {decides} promotes it or rolls it back")
    return words


def _show_steps(record: ServiceRecord, rollout: Rollout, figures: dict[str, float]) -> tuple[shown.Step, ...]:
    """The declared shares, and the promotion that they lead to. Against no champion there is one step."""
    promoted = rollout.state is RolloutState.PROMOTED
    if rollout.champion is None:
        note = "the first version" if record.anchor in (None, rollout.version) else "at once"
        return (shown.Step(share=1.0, state="passed" if promoted else "current", note=note),)
    steps = [_show_step(rollout, place, share, figures) for place, share in enumerate(rollout.steps)]
    return (*steps, shown.Step(share=1.0, state="passed" if promoted else "ahead", note="promotion"))


def _show_step(rollout: Rollout, place: int, share: float, figures: dict[str, float]) -> shown.Step:
    if rollout.state is RolloutState.PROMOTED or place < rollout.step:
        return shown.Step(share=share, state="passed")
    if place > max(rollout.step, 0):
        return shown.Step(share=share, state="ahead")
    if not rollout.open:
        return shown.Step(share=share, state="failed", note=f"after {say_count(figures.get('canary', 0))} requests")
    if rollout.state is RolloutState.STEPPING:
        return shown.Step(share=share, state="current", note=f"{say_count(figures.get('canary', 0))} requests so far")
    return shown.Step(share=share, state="current", note=rollout.state.value)


_LATER_KINDS = (
    ("harm by scores, e-value", "e_scores"),
    ("harm by labels in pairs, e-value", "e_paired"),
    ("harm by labels, e-value", "e_losses"),
)
"""Kinds of evidence that rollouts of earlier releases have no figures of."""


def show_evidence(figures: dict[str, float], *, timed: bool) -> tuple[shown.Evidence, ...]:
    """The figures of `core.canary.assess`, each with what it would end or admit. () without figures.

    timed: whether latency decides; on a story's clock it does not.
    """
    if "e_limit" not in figures:
        return ()
    limit = figures["e_limit"]
    return (
        shown.Evidence(
            name="failed on trial",
            now=_rate(figures["canary_errors"], figures["canary"]),
            limit=None,
            unit="%",
            tone="good" if not figures["canary_errors"] else "watch",
            note=f"{say_count(figures['canary_errors'])} of {say_count(figures['canary'])}",
        ),
        shown.Evidence(
            name="failed beside it",
            now=_rate(figures["rest_errors"], figures["rest"]),
            limit=None,
            unit="%",
            note=f"{say_count(figures['rest_errors'])} of {say_count(figures['rest'])}",
        ),
        _e_value("harm by errors, e-value", figures["e_errors"], limit),
        _e_value("harm by latency, e-value", figures["e_latency"], limit if timed else None),
        *(_e_value(name, figures[key], limit) for name, key in _LATER_KINDS if key in figures),
        *_beside(figures),
        _bound(figures["bound"], figures.get("bound_limit")),
    )


def _beside(figures: dict[str, float]) -> tuple[shown.Evidence, ...]:
    """How far a shadow's scores agree with those that were answered; it decides nothing. () of no shadow."""
    if "shadowed" not in figures:
        return ()
    note = "decides nothing: a better model disagrees"
    return (
        shown.Evidence(
            name="decided otherwise than answered", now=figures["otherwise"], limit=None, unit="%", note=note
        ),
        shown.Evidence(name="mean distance to the answers", now=figures["apart"], limit=None, note=note),
        shown.Evidence(
            name="correlation with the answers", now=figures.get("correlation"), limit=None, note="of scores"
        ),
    )


def _rate(errors: float, requests: float) -> float | None:
    return errors / requests if requests else None


def _e_value(name: str, value: float, limit: float | None) -> shown.Evidence:
    """An e-value that reaches the limit ends the rollout; one above a tenth of it deserves a look."""
    if limit is None:
        return shown.Evidence(name=name, now=value, limit=None, unit="e", note="decides nothing in a story")
    if value >= limit:
        return shown.Evidence(name=name, now=value, limit=limit, unit="e", tone="bad", note="harm")
    if value >= limit / 10:
        return shown.Evidence(name=name, now=value, limit=limit, unit="e", tone="watch", note="some evidence")
    return shown.Evidence(name=name, now=value, limit=limit, unit="e", tone="good", note="no harm seen")


def _bound(bound: float, limit: float | None) -> shown.Evidence:
    """No alarm is no proof: the next step needs the bound on the harm to be small enough."""
    name = "bound on more errors"
    if limit is None:
        return shown.Evidence(name=name, now=bound, limit=None, unit="%", note="admitted nothing when it ended")
    if bound <= limit:
        return shown.Evidence(name=name, now=bound, limit=limit, unit="%", tone="good", note="admits the next step")
    return shown.Evidence(name=name, now=bound, limit=limit, unit="%", tone="waiting", note="too wide yet")


def _sentence(text: str) -> str:
    """A reason as a sentence of its own.

    >>> _sentence("waiting: there is next to no traffic")
    'Waiting: there is next to no traffic.'
    """
    text = text[:1].upper() + text[1:]
    return text if not text or text[-1] in ".!?" else f"{text}."


def why_it_waits(record: ServiceRecord, cycle: Cycle) -> str:
    """Why a cycle is where it is. What was said of a version before it stood in line is not the last word on it."""
    trial = record.open_rollout
    if cycle.state != CycleState.REGISTERED or trial is None or trial.version == cycle.version:
        return cycle.why
    number = record.versions[trial.version].ordinal
    return f"it waits until the trial of version {number} has ended, and is judged again then; so far: {cycle.why}"
