"""What the ledger's events come to in a person's words: each decision with a title, its reason and its actor.

One step of the loop may record several events that say the same to a person (a rollout rolled back, its version
refused, its cycle ended). Only the one that says most is told.
"""

from collections import deque
from collections.abc import Callable

from evertrain.core import event as facts
from evertrain.core.approval import PERSON
from evertrain.core.event import Event, kind_of
from evertrain.core.identity import CycleId, Digest, ServiceName, SourceName, VersionId
from evertrain.core.model import Verdict
from evertrain.core.paired import PairedFigures
from evertrain.core.time import Instant
from evertrain.core.wording import say_many
from evertrain.web.overview import Decision, Tone
from evertrain.web.wording import say_percent, say_sentence

__all__ = ["Chronicle"]

_MOST = 200

_Told = tuple[str, Tone]

_CYCLE_ENDS: dict[str, _Told] = {
    "inconclusive": ("undecided, looked at again later", "watch"),
    "waiting_for_labels": ("waits for labels", "watch"),
    "failed": ("failed", "bad"),
    "no_op": ("changed nothing", "plain"),
    "superseded": ("superseded", "plain"),
}
"""Ends and rests of a cycle that no event of a version or a rollout tells."""

_ENDED_WITH_ROLLOUT = ("rolling_out", "superseded")
"""How a cycle moves when its rollout was ended without evidence, by a person or by a newer version."""

_ORDERED: dict[str, str] = {
    "retrain": "retraining",
    "promote": "promotion",
    "rollback": "rollback",
    "import": "import",
    "off": "turning off",
    "on": "turning on",
    "hold": "hold of the version on trial",
    "pause": "pause of the rollout",
    "resume": "resumption of the rollout",
    "approve": "approval",
    "deny": "denial",
}

_HEALTH_ONLY = "Health only: nothing is known of its quality."
_ON_TABLE = (
    "On rows of the table, which it may have been trained on, it was not shown to be worse than the one before it."
)
_FIRST = "There was no version to compare it with; its card says how it did on rows that it never saw."
"""Of a version that was trained here: only a file is judged by its health and nothing else."""

_BEGUN: dict[str, str] = {"first": "the first training", "order": "the training that was ordered"}

_DECIDED: dict[str, str] = {"merge": "joined a cycle", "defer": "put off", "skip": "skipped"}


class Chronicle:
    """Folds events in ledger order. words: what a person typed, by digest.

    forced: versions that a person put into service, with the words. crowned: why each champion became one.
    """

    def __init__(self, words: Callable[[Digest], str]) -> None:
        self._words = words
        self._ordinals: dict[VersionId, int] = {}
        self._pushed: set[CycleId] = set()
        self._trained: set[VersionId] = set()
        self._verdicts: dict[VersionId, Verdict] = {}
        self._on_table: set[VersionId] = set()
        self._subjects: dict[str, VersionId] = {}
        self._decisions: dict[ServiceName, deque[Decision]] = {}
        self.sequence = -1
        self._rescored: dict[VersionId, str] = {}
        self.crowned: dict[VersionId, str] = {}
        self.forced: dict[VersionId, str] = {}
        self.set_aside: dict[SourceName, str] = {}
        self.story: dict[str, Event] = {}

    def decisions(self, service: ServiceName) -> tuple[Decision, ...]:
        """The newest decisions about a service, newest first."""
        return tuple(self._decisions.get(service, ()))

    def crowning(self, version: VersionId, labels: int = 0) -> str:
        """Why a version answers, as its promotion gave it, and whether that says anything of its quality.

        labels: by how many the quality of the answers is known by now.
        """
        why = self.crowned.get(version, "")
        if why and self._verdicts.get(version) == "health only":
            why = f"{say_sentence(why)} {self._known_of(version, labels)}"
        return f"{say_sentence(why)} {self._rescored[version]}" if why and version in self._rescored else why

    def _known_of(self, version: VersionId, labels: int) -> str:
        """What is known of the quality of a version that was judged by its health alone."""
        if version in self._trained:
            return _FIRST
        if version in self._on_table:
            return _ON_TABLE
        if labels:
            return (
                f"It came in on its health alone; {say_many(labels, 'label')} since then say how good the answers are."
            )
        return "It came in on its health alone." if version in self._rescored else _HEALTH_ONLY

    def story_span(self) -> tuple[Instant, Instant] | None:
        """When the story that is told here begins and ends, None when none is told."""
        begun = self.story.get("begun")
        fact = begun.fact if begun is not None else None
        if begun is None or not isinstance(fact, facts.StoryMarked) or "ends" not in fact.figures:
            return None
        return begun.at, Instant(int(fact.figures["ends"]))

    def fold(self, event: Event) -> None:
        """Take in the next event."""
        self.sequence = event.sequence
        if isinstance(event.fact, facts.TriggerDecided) and event.fact.cycle_kind == "external" and event.fact.cycle:
            self._pushed.add(event.fact.cycle)
        self._remember(event)
        service = getattr(event.fact, "service", None)
        told = self._tell(event)
        if service is None or told is None:
            return
        title, tone = told
        decision = Decision(
            sequence=event.sequence,
            at=event.at,
            kind=kind_of(event.fact),
            actor=event.actor,
            title=title,
            reason=self._reason(event),
            tone=tone,
        )
        self._decisions.setdefault(service, deque(maxlen=_MOST)).appendleft(decision)

    def _remember(self, event: Event) -> None:
        """What later titles and the rest of the page refer to."""
        match event.fact:
            case facts.VersionBuilt() as fact:
                self._ordinals[fact.version] = fact.ordinal
                self._made_by(fact.version, fact.cycle)
            case facts.VersionJudged() as fact:
                self._verdicts[fact.version] = fact.verdict
                if fact.evidence.get("table"):
                    self._on_table.add(fact.version)
            case facts.VersionRescored(found=PairedFigures()) as fact:
                self._rescored[fact.version] = event.reason
            case facts.RolloutMoved(move="promote") as fact:
                self.crowned[fact.version] = event.reason
            case facts.ChampionReverted(after=str(after)):
                self.crowned[VersionId(after)] = event.reason
            case facts.ChampionOverridden() as fact:
                self.forced[fact.version] = self._words(fact.words)
            case facts.FileQuarantined() as fact:
                self.set_aside[fact.source] = f"{fact.file} was set aside: {fact.because}"
            case facts.StoryMarked() as fact:
                self.story[fact.mark] = event
            case _:
                pass

    def _made_by(self, version: VersionId, cycle: CycleId | None) -> None:
        if cycle is None:
            return
        self._subjects[f"cycle/{cycle}"] = version
        if cycle not in self._pushed:
            self._trained.add(version)

    def _reason(self, event: Event) -> str:
        if isinstance(event.fact, facts.OrderGiven):
            return f"“{self._words(event.fact.words)}”"
        if isinstance(event.fact, facts.ApprovalGiven) and event.fact.words is not None:
            return f"{event.reason} “{self._words(event.fact.words)}”"
        return event.reason

    def _name(self, version: VersionId | None) -> str:
        ordinal = self._ordinals.get(version) if version is not None else None
        return f"version {ordinal}" if ordinal is not None else "a version"

    def _tell(self, event: Event) -> _Told | None:
        """Title and tone of an event; None for one that another says better, or that decides nothing."""
        told: _Told | None = None
        match event.fact:
            case facts.ServiceDeclared():
                told = "declaration put on record", "plain"
            case facts.TriggerDecided() as fact:
                told = self._trigger(fact)
            case facts.CycleMoved() as fact:
                told = self._cycle(event, fact)
            case facts.VersionJudged() as fact:
                told = self._verdict(fact, ends=event.subject.startswith("rollout/"))
            case facts.VersionRefused() as fact if event.subject.startswith("cycle/"):
                told = f"{self._name(fact.version)} refused by the gate", "bad"
            case facts.RolloutMoved() | facts.ApprovalAsked() | facts.ApprovalGiven() as fact:
                told = self._rollout(fact) if isinstance(fact, facts.RolloutMoved) else self._approval(fact)
            case facts.ChampionReverted() as fact:
                back = f"{self._name(fact.after)} answers again" if fact.after else "nothing answers"
                told = f"{self._name(fact.before)} taken back, {back}", "bad"
            case facts.OrderGiven() | facts.OrderAnswered() | facts.ServiceSwitched() as fact:
                told = self._order(fact)
            case _:
                pass
        return told

    def _order(self, fact: facts.OrderGiven | facts.OrderAnswered | facts.ServiceSwitched) -> _Told | None:
        match fact:
            case facts.OrderGiven():
                about = f" of {self._name(fact.version)}" if fact.version else ""
                return f"{_ORDERED[fact.verb]}{about} ordered", "watch"
            case facts.ServiceSwitched():
                return ("turned on again", "good") if fact.enabled else ("turned off", "bad")
            case _:
                return None if fact.accepted else ("order declined", "watch")

    def _trigger(self, fact: facts.TriggerDecided) -> _Told:
        if fact.decision == "run":
            if fact.cycle_kind == "external":
                return "an imported version is checked", "plain"
            return f"{_BEGUN.get(fact.trigger, f'retraining by trigger {fact.trigger}')} begins", "plain"
        return f"trigger {fact.trigger} {_DECIDED[fact.decision]}", "plain"

    def _cycle(self, event: Event, fact: facts.CycleMoved) -> _Told | None:
        end = _CYCLE_ENDS.get(fact.after)
        if end is None or (fact.before, fact.after) == _ENDED_WITH_ROLLOUT:
            return None
        version = self._subjects.get(event.subject)
        who = self._name(version) if version else f"cycle {fact.cycle.rpartition('/')[2]}"
        return f"{who} {end[0]}", end[1]

    def _verdict(self, fact: facts.VersionJudged, *, ends: bool) -> _Told | None:
        """ends: a bad verdict ends its rollout, which says it better."""
        name = self._name(fact.version)
        match fact.verdict:
            case "pass" | "health only" if fact.hold:
                found = "is too good to be believed" if fact.version in self._trained else "is healthy"
                return f"{name} {found}, and held: it gets no traffic", "watch"
            case "pass":
                return f"{name} passes the gate", "good"
            case "health only":
                trained = fact.version in self._trained
                known = "there was none to compare it with" if trained else "nothing is known of its quality"
                if fact.evidence.get("table"):
                    known = "it is not shown to be worse on rows that it may have been trained on"
                return f"{name} is healthy; {known}", "good"
            case "inconclusive" if fact.again:
                held = "; it stays held" if fact.hold else ""
                return f"{name} was judged again and is undecided{held}", "watch"
            case "fail" | "error" if fact.again and not ends:
                return f"{name} was judged again and does not pass the gate", "bad"
            case _:
                return None

    def _approval(self, fact: facts.ApprovalAsked | facts.ApprovalGiven) -> _Told:
        if isinstance(fact, facts.ApprovalAsked):
            return f"{fact.approver} is asked before the {fact.gate} of {self._name(fact.version)}", "watch"
        for_whom = "" if fact.role == "hook" or fact.approver == PERSON else f", in the place of {fact.approver}"
        if fact.decision == "allow":
            return f"the {fact.gate} is allowed{for_whom}", "good"
        return f"the {fact.gate} is denied{for_whom}", "bad"

    def _rollout(self, fact: facts.RolloutMoved) -> _Told | None:
        if fact.move == "start" and fact.share >= 1.0:  # the first version: its promotion follows at once
            return None
        name, share = self._name(fact.version), say_percent(fact.share)
        if fact.move == "roll back" and fact.before == "preparing" and fact.step < 0:
            return f"{name} refused before it answered a request", "bad"
        said: dict[str, _Told] = {
            "mirror": (f"{name} sees live requests in shadow", "waiting"),
            "pass": (f"{name} passes its shadow", "good"),
            "start": (f"{name} begins with {share} of the traffic", "waiting"),
            "advance": (f"{name} goes to {share} of the traffic", "good"),
            "promote": (f"{name} promoted", "good"),
            "roll back": (f"{name} rolled back", "bad"),
            "abort": (f"rollout of {name} ended", "plain"),
            "hold": (f"{name} is held, and gets no traffic", "watch"),
            "pause": (f"rollout of {name} paused", "watch"),
            "resume": (f"rollout of {name} goes on", "plain"),
        }
        return said.get(fact.move)
