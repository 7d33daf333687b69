"""`evertrain status`: one screen for whoever is on call."""

import textwrap
from collections.abc import Iterator, Set
from typing import Annotated

import msgspec
import typer

from evertrain.cli.option import Dir, Json
from evertrain.cli.place import state_in
from evertrain.cli.screen import show, show_live
from evertrain.core.cycle import CycleState
from evertrain.core.identity import short
from evertrain.core.rollout import RolloutState
from evertrain.core.time import Instant, say_span
from evertrain.core.wording import say_many
from evertrain.monitor.performance import MOST_WAITING
from evertrain.process.view.advice import Advice, advise
from evertrain.process.view.lodging import Lodging
from evertrain.process.view.running import Running
from evertrain.process.view.situation import (
    Refusing,
    ServiceSituation,
    Situation,
    Trial,
    Waiting,
    look_at,
)
from evertrain.process.view.supply import SourceSituation
from evertrain.web.overview import Alert, Decision
from evertrain.web.wording import (
    say_count,
    say_lasting,
    say_missed,
    say_moment,
    say_number,
    say_percent,
    say_pool,
    say_sentence,
    say_work,
)

__all__ = ["app"]

app = typer.Typer()

_REASON = 220
_REFUSED = 3


@app.command("status")
def status(
    *,
    folder: Dir = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay, and show what changes, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show what answers and why, what waits, and what is wrong. Exits with 1 when a service is not answered."""
    state = state_in(folder)

    def look() -> list[str]:
        found = look_at(state)
        return [_for_machines(found)] if as_json else list(_screen(found))

    if watch:
        show_live(look)
        return
    found = look_at(state)
    if as_json:
        typer.echo(_for_machines(found))
    else:
        show(list(_screen(found)))
    if not found.is_whole:
        raise typer.Exit(1)


def _for_machines(found: Situation) -> str:
    told: dict[str, object] = {**msgspec.structs.asdict(found), "answers": found.answers, "starting": found.starting}
    told["advice"] = advise(found)
    return msgspec.json.encode(told).decode()


def _screen(found: Situation) -> Iterator[str]:
    yield f"{found.dir}, {say_moment(found.at)} UTC, {say_many(found.events, 'event')} on record"
    if found.page:
        keys = f"{found.dir}/control/keys/token-control"
        yield f"The page is {found.page}; its link is that with ?token= and what {keys} holds."
    if found.starting:
        yield f"STARTING: {'it answers' if found.answers else 'nobody answers yet'}; it {found.starting}."
    else:
        yield from (f"NOT READABLE: {why}" for why in found.lacking)
    if found.standstill:
        yield f"STANDS STILL: {found.standstill}"
    if not found.answers and not found.starting:
        yield _nobody(found)
    yield from _part("To do", (line for one in advise(found) for line in _advice(one)))
    for service in found.services:
        yield ""
        waits = "is starting" if found.starting else "is to answer"
        yield from _service(service, "answers" if found.answers else waits, found.at)
    if not found.services:
        yield from ("", "No service is declared yet.")
    yield from _part("Alerts", (line for alert in found.alerts for line in _alert(alert)))
    yield from _part("Sources", (line for source in found.sources for line in _source(source)))
    yield from _part("Pools", map(say_pool, found.pools))
    yield from _part("Environments", (line for one in found.environments for line in _environment(one)))
    yield from _part("Processes", map(_process, found.processes))


def _nobody(found: Situation) -> str:
    """What no worker means: no answers, and what somebody else's server posts is lost."""
    if found.standstill and not found.processes:
        return "NOBODY IS SEEN: on a disk without room no process can leave a sign of life; who answers is not known."
    watched = [one.service for one in found.services if one.watched]
    untaken = f"what is posted of {', '.join(watched)} is not taken" if watched else ""
    if found.only_watches:
        return f"NOT TAKEN: no worker runs, and {untaken}. Start with `{found.again}`."
    also = f", and {untaken}" if untaken else ""
    if any(one.role == "worker" and one.alive for one in found.processes):
        return f"NOBODY ANSWERS: the workers start{also}."
    return f"NOBODY ANSWERS: no worker runs{also}. Start with `{found.again}`."


def _advice(one: Advice) -> Iterator[str]:
    yield f"{'URGENT: ' if one.urgent else ''}{_whole(one.what)}"
    yield f"  {one.remedy}"


def _part(title: str, lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if not number:
            yield from ("", title)
        yield f"  {line}"


def _reason(words: str) -> str:
    """A reason as a sentence that fits."""
    return _cut(say_sentence(words))


def _whole(words: str) -> str:
    """Words as one line: of several lines the first and the last, between which a traceback has its frames.

    >>> _whole("It failed.\\n  File 1, in f\\nValueError: no rows")
    'It failed. ... ValueError: no rows'
    """
    lines = [" ".join(line.split()) for line in words.strip().splitlines()] or [""]
    return lines[0] if lines[-1] in lines[0] else f"{lines[0]}{' ... ' if len(lines) > 2 else ' '}{lines[-1]}"


def _cut(words: str) -> str:
    """What fits of words that begin with a name; of several lines the first and the end, where a traceback says most.

    >>> _cut("It failed.\\n" + "  File 1, in f\\n" * 40 + "ValueError: no rows")[-19:]
    'ValueError: no rows'
    """
    lines = words.strip().splitlines() or [""]
    # How a task ended names what it printed last: its frames say no more here.
    whole = " ".join((lines[0] if lines[-1] in lines[0] else words).split())
    if len(whole) <= _REASON or len(lines) == 1:
        return textwrap.shorten(whole, _REASON, placeholder=" ...")
    head = textwrap.shorten(lines[0], _REASON // 2, placeholder="")
    end = whole[len(head) - _REASON + 5 :]
    return f"{head} ... {end.partition(' ')[2]}"


# Services -------------------------------------------------------------------------------------------------------------


def _service(one: ServiceSituation, answers: str, at: Instant) -> Iterator[str]:
    yield _head(one, answers)
    if one.why:
        yield f"  because    {_reason(one.why)}"
    if one.override:
        yield f"  override   {_reason(one.override)}"
    if one.watched:
        yield from _observed(one, at)
        return
    standby = "" if one.standby is None else f"; version {one.standby} stands by"
    counts = one.requests
    refused = f", {say_count(counts.refused)} refused while off" if counts.refused else ""
    yield (
        f"  requests   {say_count(counts.answered)} answered, {say_count(counts.failed)} failed, "
        f"{say_count(counts.invalid)} invalid (labels too){refused}{standby}"
    )
    if one.quality:
        figures = ", ".join(f"{each.name} {each.value:.4g}" for each in one.quality)
        yield f"  quality    {figures} on {say_many(one.quality[0].labels, 'label')}, whoever answered"
    if one.ripening.early:
        count = f"{say_many(one.ripening.certain, 'label')} certain, {say_count(one.ripening.early)} not yet"
        yield f"  labels     {count}; the next is from {say_moment(one.ripening.next)} UTC on"
    if one.unmatched:
        yield (
            f"  labels     {say_many(one.unmatched, 'label')} not counted there: no such id among the newest "
            f"{MOST_WAITING:,} predictions"
        )
    yield from (f"  WANTED     {_refusing(each)}" for each in one.refusing)
    if one.trial is not None:
        yield from _trial(one.trial)
    yield from (f"  cycle      {_cycle(each)}" for each in one.cycles)
    yield from (f"  now        {say_work(each)}" for each in one.work)
    for version, reason in list(one.refused.items())[-_REFUSED:]:
        number = one.numbers.get(version)
        named = short(version) if number is None else f"{number} ({short(version)})"
        yield f"  refused    version {named}: {_reason(reason)}"
    told = {one.fruitless.why} if one.fruitless is not None else set()
    told |= {*[*one.refused.values()][-_REFUSED:]}
    for number, decision in enumerate(one.decisions):
        yield f"  {'' if number else 'decisions':<11}{_decision(decision, told)}"
        told.add(decision.reason)


def _observed(one: ServiceSituation, at: Instant) -> Iterator[str]:
    """What the last look at a watched service found. What to know first is told whole."""
    gist = one.gist
    if gist is None:
        if one.taken:
            yield f"  observed   {say_many(one.taken, 'prediction')} taken; the first look is under way"
        else:
            yield f"  observed   nothing yet; post to /observe/{one.service}"
        return
    yield f"  observed   {say_many(gist.rows, 'prediction')}, the newest of {say_moment(gist.newest)}"
    yield f"  looked at  {say_moment(gist.at)}, {say_lasting(at - gist.at)} ago"
    missing, waiting = say_count(gist.missing), say_count(gist.waiting)
    yield f"  labels     {say_count(gist.labelled)} that count, {missing} missing, {waiting} not due yet"
    if gist.figure is not None:
        metric = gist.metric.replace("_", " ")
        yield f"  quality    {metric} {say_number(gist.figure)}, mean label {say_number(gist.base)}"
    yield from (f"  MIND       {each}" for each in gist.warnings)
    if gist.worse:
        yield f"  WORSE NOW  {gist.changed}"
    if gist.segments:
        yield f"  WORSE      {gist.worst}"
    if gist.suspicion:
        yield f"  SUSPECT    {gist.suspicion}"
    if gist.moved:
        yield f"  moved      {_cut(', '.join(gist.moved))}"


def _head(one: ServiceSituation, answers: str) -> str:
    if not one.enabled:
        return f"{one.service}: TURNED OFF: {one.notice}"
    if one.watched:
        return f"{one.service}: only watched"
    if one.champion is None:
        return f"{one.service}: no version answers yet"
    number = "" if one.ordinal is None else f"{one.ordinal} ("
    name = f"{number}{short(one.champion)}{')' if number else ''}"
    since = "" if one.since is None or answers == "is starting" else f" since {say_moment(one.since)}"
    return f"{one.service}: version {name} {answers}{since}"


def _refusing(each: Refusing) -> str:
    instead = "nothing of this service" if each.instead is None else f"version {each.instead}"
    name = short(each.version) if each.ordinal is None else str(each.ordinal)
    return f"version {name} is wanted of {each.process}, which holds {instead}: {_cut(each.reason)}"


def _trial(trial: Trial) -> Iterator[str]:
    name = f"version {trial.ordinal} ({short(trial.version)})"
    if trial.hold and not trial.share:
        yield f"  held       {name} gets no traffic: {_reason(trial.hold)}"
        return
    if trial.state == RolloutState.SHADOWING:
        yield f"  on trial   {name} sees live requests in shadow, and answers nobody, since {say_moment(trial.since)}"
        yield f"             {_reason(trial.waits or trial.why)}"
        return
    share = f"{say_percent(trial.share)} of the requests since {say_moment(trial.since)}"
    yield f"  on trial   {name} gets {share}, step {trial.step} of {trial.steps}"
    yield f"             {_reason(trial.absent or trial.waits or trial.why)}"


def _cycle(each: Waiting) -> str:
    version = "" if each.ordinal is None else f", version {each.ordinal}"
    until = "" if each.until is None else f", held until {say_moment(each.until)}"
    name = each.cycle.rpartition("/")[2]
    state = "checked" if each.pushed and each.state == CycleState.TRAINED else each.state
    return f"{name} is {state} since {say_moment(each.since)}{version}{until}: {_reason(each.why)}"


def _decision(one: Decision, told: Set[str]) -> str:
    """told: reasons that stand on the screen already, which are said once."""
    return f"{say_moment(one.at)}  {one.title}: {'as above' if one.reason in told else _reason(one.reason)}"


# Around them ----------------------------------------------------------------------------------------------------------


def _alert(alert: Alert) -> Iterator[str]:
    told = f", {alert.owner} is told" if alert.owner else ""
    yield f"{alert.severity} {alert.name} since {say_moment(alert.since)}{told}: {_reason(alert.reason)}"


def _source(one: SourceSituation) -> Iterator[str]:
    within = "" if one.fresh_within is None else f", to be fresh within {say_span(one.fresh_within)}"
    stale = ", STALE" if one.stale else ""
    yield f"{one.source:<12} {say_many(one.rows, 'row')}, newest {say_moment(one.newest)}{within}{stale}"
    if one.reading:
        yield f"{'':<12} now: {one.reading}"
    if one.trouble:
        yield f"{'':<12} TROUBLE: {_cut(one.trouble)}"
    if one.rows_aside or one.files_aside:
        yield f"{'':<12} set aside: {say_many(one.rows_aside, 'row')}, {say_many(one.files_aside, 'file')}"
        if one.files_again:
            yield f"{'':<12} read again by the declaration that was applied: {say_many(one.files_again, 'file')} of it"
    if one.set_aside is not None and (one.rows_aside or one.files_aside):
        where = f"row {one.set_aside.row} of {one.set_aside.file}" if one.set_aside.row else one.set_aside.file
        yield f"{'':<12} the last:  {where}: {_cut(one.set_aside.reason)}"


def _environment(one: Lodging) -> Iterator[str]:
    yield f"{short(one.standing.lock):<12} {_cut(one.says)}"
    yield f"{'':<12} for {', '.join(one.who)}"
    if not one.answering:
        yield f"{'':<12} the workers that answer now run in another"


def _process(one: Running) -> str:
    if not one.alive:
        return f"{one.name:<22} has ended"
    if one.starting:
        return f"{one.name:<22} {one.role}, process {one.pid}, starts{f'; {one.note}' if one.note else ''}"
    reads = "" if one.known_to is None else f"; {say_missed(one.known_to)}"
    return f"{one.name:<22} {one.role}, process {one.pid}{reads}{f'; {one.note}' if one.note else ''}"
