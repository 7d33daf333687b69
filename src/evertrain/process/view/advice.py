"""What somebody who is woken at night should do about a situation, the most urgent first. Pure."""

from collections.abc import Iterator
from typing import Final

import msgspec

from evertrain.control.review import FEWEST_ROWS
from evertrain.core.absence import ABSENT_FOR
from evertrain.core.identity import short
from evertrain.core.time import MINUTE
from evertrain.core.wording import say_many
from evertrain.monitor.unfamiliar import say_absent
from evertrain.process.view.fruitless import Fruitless
from evertrain.process.view.situation import ServiceSituation, Situation, Trial, Waiting
from evertrain.process.view.supply import SourceSituation
from evertrain.store.hook import HookProgress
from evertrain.store.room import LEVELS, Room
from evertrain.web.wording import say_moment

__all__ = ["Advice", "advise"]

_LEAVE_OUT: Final = "If it is known only later, leave it out: exclude=[...]"


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do. what: is wrong, or waits for a person. remedy: what to type, or whom to ask.

    urgent: requests fail, or nobody would notice if they did.
    """

    what: str
    remedy: str
    urgent: bool = False


def advise(found: Situation) -> tuple[Advice, ...]:
    """Everything that a person should do; nothing where the machine mends it alone, or all is well.

    What is only being started is up in a moment: nobody is sent for.
    """
    every = [] if found.starting else [*_processes(found), *_reading(found)]
    every += _room(found)
    for service in found.services:
        every += _service(service)
    for source in found.sources:
        every += _source(source)
    for hook in found.hooks:
        every += _hook(hook)
    every += [_astray(hook, services) for hook, services in found.astray.items()]
    return tuple(sorted(every, key=lambda one: not one.urgent))


def _processes(found: Situation) -> Iterator[Advice]:
    where = f"--dir {found.dir}"
    living = {one.role for one in found.processes if one.alive}
    if found.standstill and not found.processes:
        yield Advice(
            what="No process is seen: on a disk without room none can leave a sign of life.",
            remedy=f"Free space; then, if nothing runs, {found.again}",
            urgent=True,
        )
    elif not found.answers:
        yield Advice(
            what="Observations are not taken: no worker runs." if found.only_watches else "Nobody answers.",
            remedy=f"evertrain doctor {where}; {found.again}",
            urgent=True,
        )
    elif "supervisor" not in living:
        yield Advice(what="No supervisor runs: what fails now is not started again.", remedy=found.again, urgent=True)
    elif "controller" not in living:
        yield Advice(
            what="The controller does not run: nothing is decided. The supervisor starts it again and again.",
            remedy="Read what it says last in the log of evertrain up.",
            urgent=True,
        )


def _room(found: Situation) -> Iterator[Advice]:
    """What a disk that gets scarce will cost, or costs already: said once, however many write to it."""
    if found.standstill:
        yield Advice(what=found.standstill, remedy=_freeing(found), urgent=True)
    rooms = [one.room for one in found.processes if one.alive]
    worst = max(rooms, key=lambda room: LEVELS.index(room.level), default=Room())
    if worst.level != "enough":
        yield Advice(
            what=f"Room for the prediction log is {worst.level}: {worst.says}",
            remedy=_freeing(found),
            urgent=worst.level == "full",
        )


def _freeing(found: Situation) -> str:
    return f"Free space; `du -xh --max-depth 2 {found.dir} | sort -h` shows what takes it."


def _reading(found: Situation) -> Iterator[Advice]:
    for why in found.lacking:
        yield Advice(what=why, remedy=f"evertrain doctor --dir {found.dir}", urgent=True)


def _service(one: ServiceSituation) -> Iterator[Advice]:
    name = f"--service {one.service}"
    if not one.enabled:
        what = f"{one.service} is turned off: {one.notice}"
        yield Advice(what=what, remedy=f"evertrain on {one.service}, once it may answer again", urgent=True)
    if one.fruitless is not None:
        yield _fruitless(one, one.fruitless)
    for each in one.refusing:
        version = short(each.version) if each.ordinal is None else str(each.ordinal)
        answers = "nothing answers there" if each.instead is None else f"version {each.instead} answers there meanwhile"
        yield Advice(
            what=f"{each.process} cannot load version {version} of {one.service}; {answers}.",
            remedy=f"evertrain doctor, for a library that is missing; or evertrain rollback {name} --reason ...",
            urgent=each.instead is None,
        )
    yield from _observed(one)
    if one.caution and (one.fruitless is None or one.fruitless.again is None):
        yield Advice(
            what=f"Version {one.ordinal} of {one.service}: {one.caution}.",
            remedy=_mending(one, name),
        )
    if one.trial is not None:
        yield from _trial(one, one.trial, name)
    yield from _cautions(one, name)
    yield from _unknown(one)
    for cycle in one.cycles:
        if cycle.until is not None and cycle.ordinal is not None:
            yield _held(one, cycle, name)


def _mending(one: ServiceSituation, name: str) -> str:
    """What to do about a champion of which its training said something, by what was done already."""
    again = f"evertrain retrain {name} --reason ..."
    if one.mended is not None:
        return (
            f"Version {one.mended} was trained without that, and was refused or taken back: "
            f"{again} makes another, or evertrain promote {one.mended} {name} --reason ... puts it into service."
        )
    return again if one.renewed else f"Mend the script, then evertrain apply FILE, then {again}"


def _unknown(one: ServiceSituation) -> Iterator[Advice]:
    """What clients send that the model does not know, and what they leave out."""
    if absent := say_absent(one.unknown):
        yield Advice(
            what=f"{one.service}: {absent}. The model takes them for missing.",
            remedy="See what the client sends. Which columns must be sent, a new service says by --sample or --schema.",
        )
    for unknown in one.unknown:
        if unknown.is_worth_saying and not unknown.absent:
            yield Advice(
                what=f"{one.service}: {unknown.says}. They are answered as if it were missing.",
                remedy="See what the client sends; or bring a version that was trained on it.",
            )


def _trial(one: ServiceSituation, trial: Trial, name: str) -> Iterator[Advice]:
    if trial.asks:
        yield Advice(
            what=f"Version {trial.ordinal} of {one.service} waits for approval of {' and of '.join(trial.asks)}.",
            remedy=f"evertrain approve {one.service} --version {trial.ordinal} --reason ..., or evertrain deny ...",
        )
    if trial.absent:
        yield Advice(
            what=f"Version {trial.ordinal} of {one.service} cannot {_tried(trial)}: {trial.absent}",
            remedy=f"It is started again by itself; if it still ends after {ABSENT_FOR // MINUTE} minutes, the trial "
            "ends and the version is not refused: push or retrain again then. evertrain doctor, for what is missing.",
        )
    if trial.hold:
        yield _held_on_trial(one, trial, name)
    elif trial.unjudged is not None and not trial.asks:
        yield Advice(
            what=f"Version {trial.ordinal} of {one.service} is on trial unjudged: what is asked for today has no "
            f"certain label before about {say_moment(trial.unjudged)} UTC.",
            remedy="Only its health, its errors and its scores decide until then. Have somebody asked: rollout="
            'et.Canary(approval="promotion") in its declaration, then evertrain apply FILE; of a served file a hook '
            f"with veto, then evertrain hooks apply. Or end its trial: evertrain rollback {name} --reason ...",
        )


def _tried(trial: Trial) -> str:
    return "go on without its control arm" if trial.share else "be tried yet"


def _cautions(one: ServiceSituation, name: str) -> Iterator[Advice]:
    """Files that take in otherwise than the version before them: no request fails for it, so nobody else says so."""
    for words in one.cautions:
        yield Advice(
            what=f"Version {one.ordinal} of {one.service}: {words}.",
            remedy=f"Push a file that was trained on it; or go back: evertrain rollback {name} --reason ...",
        )
    for words in one.doubts:
        yield Advice(
            what=f"Version {one.ordinal} of {one.service}: {words}.",
            remedy=f"{_LEAVE_OUT} in the declaration, evertrain apply FILE, evertrain retrain {name} --reason ...",
        )
    trial = one.trial
    for words in () if trial is None else trial.cautions:
        yield Advice(
            what=f"Version {'' if trial is None else trial.ordinal} of {one.service}, on trial: {words}.",
            remedy=f"Let it go on, if that is meant; or end its trial: evertrain rollback {name} --reason ...",
        )


def _held_on_trial(one: ServiceSituation, trial: Trial, name: str) -> Advice:
    """What a version waits for that something speaks against, and how a person decides without waiting."""
    if trial.trained:
        return Advice(
            what=f"Version {trial.ordinal} of {one.service} is held and gets no traffic: {trial.hold}.",
            remedy=f"{_LEAVE_OUT} in the declaration, evertrain apply FILE, evertrain rollback {name} --reason ..., "
            f"evertrain retrain {name} --reason ... If it is that easy: evertrain promote {trial.ordinal} {name} "
            "--reason ... puts it into service, and later versions are not held for the same.",
        )
    if trial.early and trial.matures is not None:
        count = f"{trial.labelled} are certain, {trial.early} more from {say_moment(trial.matures)} UTC on"
    else:
        count = f"{trial.labelled} are there: post them to /labels/{one.service}"
    return Advice(
        what=f"Version {trial.ordinal} of {one.service} is held and gets no traffic: {trial.hold}.",
        remedy=f"It is judged again when {max(FEWEST_ROWS, 2 * trial.labelled)} labels are certain, and goes on by "
        f"itself if they speak for it ({count}). Or decide: evertrain promote {trial.ordinal} {name} --reason ... puts "
        f"it into service, evertrain rollback {name} --reason ... takes it away.",
    )


def _held(one: ServiceSituation, cycle: Waiting, name: str) -> Advice:
    """What a person can do for a version that the evidence does not decide on."""
    decide = f"evertrain promote {cycle.ordinal} {name} --reason ... --yes puts it into service"
    if cycle.pushed:
        remedy = f"Post labels to /labels/{one.service}; or decide: {decide}; or push a better file."
    else:
        remedy = f"Decide: {decide}; or evertrain retrain {name} --reason ... makes another instead."
    return Advice(
        what=f"Version {cycle.ordinal} of {one.service} is held: the evidence does not decide.",
        remedy=f"Wait: it is looked at again at {say_moment(cycle.until)} UTC, on the labels that came since. {remedy}",
    )


def _fruitless(one: ServiceSituation, end: Fruitless) -> Advice:
    """What to do about a cycle that brought nothing. Without a version the next apply tries again at once."""
    if end.again is not None:
        return Advice(
            what=f"The last training made version {end.again} of {one.service} again, so nothing changed: {end.why}",
            remedy=f"If version {end.again} is meant: evertrain promote {end.again} --service {one.service} "
            "--reason ...; else change what it is trained by, evertrain apply FILE, then evertrain retrain.",
        )
    what = "The file that was pushed" if end.pushed else "The last training"
    lead = f"No version of {one.service} answers. " if one.champion is None else ""
    if end.pushed:
        remedy = f"evertrain push FILE --service {one.service}"
    else:
        then = "" if one.champion is None else f", then evertrain retrain --service {one.service} --reason ..."
        remedy = f"Mend it, then evertrain apply FILE{then}"
    return Advice(
        what=f"{lead}{what} ended as {end.state}: {end.why}",
        remedy=f"{remedy}{f'. All that it printed: {end.log}' if end.log else ''}",
        urgent=one.champion is None,
    )


def _observed(one: ServiceSituation) -> Iterator[Advice]:
    """What the report of a watched service claims; of inputs that moved alone nobody is sent for."""
    if one.gist is None:
        return
    where = f"Look at /services/{one.service}/observed on the page, and tell whoever owns the model."
    if one.gist.worse:
        yield Advice(what=f"{one.service}: {one.gist.changed}", remedy=where)
    elif one.gist.segments:
        yield Advice(what=f"{one.service}: {one.gist.worst}", remedy=where)
    if one.gist.suspicion:
        yield Advice(what=f"{one.service}: {one.gist.suspicion}", remedy=where)


def _source(one: SourceSituation) -> Iterator[Advice]:
    owner = f"Ask {one.owner}" if one.owner else "Ask whoever delivers it"
    if one.trouble:
        yield Advice(what=f"Source {one.source}: {one.trouble}", remedy=f"{owner}, or mend its address.")
    elif one.stale:
        yield Advice(what=f"Source {one.source} is stale: models answer from old rows.", remedy=f"{owner}.")
    if one.rows_aside or one.files_aside:
        aside = f"{say_many(one.rows_aside, 'row')} and {say_many(one.files_aside, 'file')}"
        yield Advice(
            what=f"Source {one.source}: {aside} set aside.",
            remedy=f"control/quarantine/{one.source} has each with its reason. Mend the file where it lies, or apply a "
            "declaration with repair=: it is read again, and the rows that fit then come in.",
        )


def _hook(one: HookProgress) -> Iterator[Advice]:
    """A receiver that cannot be told: the loop goes on, and whoever relies on it may not know."""
    if one.failing:
        worst = max(one.failing.values(), key=lambda each: each.attempts)
        times = say_many(worst.attempts, "time")
        yield Advice(
            what=f"Hook {one.hook} ({one.host}) was tried {times} with event {worst.sequence}: {worst.error}.",
            remedy="Mend the receiver: it is tried again by itself. Or mend its entry under [[hooks]], then evertrain "
            "hooks apply.",
        )
    if one.dead:
        letters = say_many(len(one.dead), "dead letter")
        yield Advice(
            what=f"Hook {one.hook} has {letters}, the last because {one.dead[-1].error}.",
            remedy="evertrain hooks retry --all, once the receiver takes them.",
        )


def _astray(hook: str, services: tuple[str, ...]) -> Advice:
    """A hook that waits for a service of another name is told nothing, and asked nothing."""
    named = " and ".join(repr(one) for one in services)
    return Advice(
        what=f"Hook {hook} is for {named}, and there is no service of that name: of that it is neither told nor asked.",
        remedy="Mend services under [[hooks]], then evertrain hooks apply.",
    )
