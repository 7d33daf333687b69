"""What people ask for: retrain, promote, roll back, import. Each order gets one answer, with its reason, on record."""

from typing import Literal

from evertrain.config.declaration import ServiceSpec
from evertrain.control.answer import answered
from evertrain.control.approvals import decide_by_order
from evertrain.control.planes import Planes
from evertrain.control.rescoring import found_of
from evertrain.control.schedule import ORDER
from evertrain.control.step import Step, moved
from evertrain.control.succession import busy_for_order, gives_way_to_order, superseded
from evertrain.control.switches import SwitchDesk
from evertrain.core import event as facts
from evertrain.core.canary import Assessment, assess
from evertrain.core.cycle import CycleState, is_held
from evertrain.core.event import Event, Fact, OrderGiven
from evertrain.core.identity import CycleId, RolloutId, VersionId, short
from evertrain.core.registry import Cycle, Rollout, ServiceRecord, Version
from evertrain.core.rehearsal import asked_for
from evertrain.core.rollout import RolloutMove, RolloutState
from evertrain.core.time import Instant

__all__ = ["OrderDesk"]


class OrderDesk:
    """Answers the orders of one service at one instant of business time."""

    def __init__(self, planes: Planes, record: ServiceRecord, spec: ServiceSpec, now: Instant) -> None:
        self._planes = planes
        self._record = record
        self._spec = spec
        self._now = now

    def step(self, event: Event, order: OrderGiven) -> Step:
        """Everything that an order comes to, and its answer, as one step."""
        match order.verb:
            case "retrain":
                return self._retrain(event, order)
            case "promote":
                return self._promote(event, order)
            case "rollback":
                return self._rollback(event, order)
            case "import":
                return self._import(event, order)
            case "approve" | "deny":
                return decide_by_order(self._record, self._now, event, order)
            case _:
                return self._switch(event, order)

    def _switch(self, event: Event, order: OrderGiven) -> Step:
        desk = SwitchDesk(self._record, self._now, watched=self._spec.watched is not None)
        turns = {"off": desk.off, "on": desk.on, "pause": desk.pause, "resume": desk.resume}
        return turns[order.verb](event, order)

    def _retrain(self, event: Event, order: OrderGiven) -> Step:
        if not asked_for(order.recipe, self._spec.recipes):
            known = ", ".join(sorted(self._spec.recipes)) or "none"
            return self._answer(event, f"Recipe {order.recipe!r} is not declared (declared: {known}).", accepted=False)
        busy = busy_for_order(self._record)
        if busy is not None:
            return self._join_or_follow(event, order, busy)
        waiting = [cycle for cycle in self._record.open_cycles if gives_way_to_order(cycle)]
        by = ", ".join(asked_for(order.recipe, self._spec.recipes))
        reason = f"A person ({order.role}) asked for a retraining by recipe {by}."
        if waiting:
            which = " and ".join(f"{cycle.cycle} ({cycle.state.replace('_', ' ')})" for cycle in waiting)
            reason += f" Cycle {which} gives way to it."
            reason += " It ends now as superseded, without its version in service, and a new one begins at once."
        ended = [superseded(self._record, cycle) for cycle in waiting]
        return self._answer(event, reason, self._decided(order, "run", self._next_cycle()), *ended)

    def _join_or_follow(self, event: Event, order: OrderGiven, busy: Cycle) -> Step:
        """The order is done by the cycle that is at work, where that is what was asked for; else by one after it."""
        differs = self._differs(order, busy)
        if not differs:
            reason = (
                f"Cycle {busy.cycle} is under way with the code in force; the order joins it. "
                "It does what was asked, and no second one begins."
            )
            return self._answer(event, reason, self._decided(order, "merge", busy.cycle))
        reason = f"Cycle {busy.cycle} is at work {differs}: a new one begins by itself when it has ended."
        return self._answer(event, reason, self._decided(order, "defer", busy.cycle))

    def _differs(self, order: OrderGiven, busy: Cycle) -> str:
        """Why a cycle at work is not what an order asks for, "" where it is."""
        if busy.state in (CycleState.REGISTERED, CycleState.ROLLING_OUT):
            return "on putting its version into service (`evertrain rollback` ends that)"
        # Until its data are fixed it takes up what is declared.
        if busy.state is not CycleState.TRIGGERED and self._record.declared_since(busy):
            return "with the OLD code, that of before the declaration was changed"
        recipes = self._spec.recipes
        if asked_for(busy.recipe, recipes) != asked_for(order.recipe, recipes):
            return f"by recipe {busy.recipe}"
        return ""

    def _decided(
        self, order: OrderGiven, decision: Literal["run", "merge", "defer"], cycle: CycleId
    ) -> facts.TriggerDecided:
        return facts.TriggerDecided(
            service=self._record.service, trigger=ORDER, decision=decision, cycle=cycle, recipe=order.recipe
        )

    def _import(self, event: Event, order: OrderGiven) -> Step:
        if order.version is None:
            return self._answer(event, "The order names no version.", accepted=False)
        manifest = self._planes.manifest(order.version)
        refusal = self._record.refusal_of(manifest.fingerprint)
        if refusal is not None:
            said = self._record.say_refused(refusal).rstrip(".")
            return self._answer(
                event, f"{said}. `evertrain promote` puts it into service all the same.", accepted=False
            )
        if order.version in self._record.versions:
            return self._try_again(event, order, self._record.versions[order.version])
        self._planes.attest_built(order.version, self._record.service, self._now)
        cycle = self._next_cycle()
        decided = facts.TriggerDecided(
            service=self._record.service,
            trigger="import",
            decision="run",
            cycle=cycle,
            cycle_kind="external",
            recipe=manifest.recipe,
            shadow=order.shadow,
        )
        built = facts.VersionBuilt(
            service=self._record.service,
            version=order.version,
            fingerprint=manifest.fingerprint,
            ordinal=len(self._record.versions) + 1,
            cycle=cycle,
        )
        reason = f"Version {built.ordinal} was imported by a person ({order.role}). {self._say_line()}"
        return self._answer(event, reason.strip(), decided, built)

    def _say_line(self) -> str:
        """What a file that is pushed now waits for, "" where nothing else is on trial."""
        trial = self._record.open_rollout
        if trial is None or trial.champion is None:
            return ""
        number, found = self._record.versions[trial.version].ordinal, self._look(trial)
        had = f"has {trial.share:.0%} of the requests" if trial.share else "gets no traffic yet"
        until = f" Its step is {found.reasons[0]}." if found is not None and found.action == "wait" else ""
        return (
            f"It is checked now; its own canary begins when that of version {number} has ended, which "
            f"{had}.{until} `evertrain rollback` ends that one, without a word against it."
        )

    def _try_again(self, event: Event, order: OrderGiven, version: Version) -> Step:
        """Nothing spoke against it when it was ended, or it served once: it goes through check and canary anew."""
        if not self._record.rests(version.version):
            return self._answer(event, f"The same artifact is version {version.ordinal} already.", accepted=False)
        decided = facts.TriggerDecided(
            service=self._record.service,
            trigger="import",
            decision="run",
            cycle=self._next_cycle(),
            cycle_kind="external",
            version=version.version,
            shadow=order.shadow,
        )
        reason = (
            f"A person ({order.role}) pushed version {version.ordinal} again; it goes through check and canary anew."
        )
        return self._answer(event, f"{reason} {self._say_line()}".strip(), decided)

    def _promote(self, event: Event, order: OrderGiven) -> Step:
        version = self._record.versions.get(order.version or VersionId(""))
        if version is None:
            return self._answer(event, "The order names a version that is not registered.", accepted=False)
        if version.version == self._record.champion:
            return self._answer(event, f"Version {version.ordinal} is the champion already.", accepted=False)
        if version.cleared and not self._planes.is_kept(version.fingerprint.model):
            return self._answer(event, _no_file(version), accepted=False)
        refused = ", which was refused," if self._record.refusal_of(version.fingerprint) else ""
        reason = f"A person ({order.role}) puts version {version.ordinal}{refused} into service."
        self._planes.attest_judged(version.version, self._record.service, self._now, "override", reason)
        overridden = facts.ChampionOverridden(
            service=self._record.service, version=version.version, role=order.role, words=order.words
        )
        begun = facts.RolloutBegun(
            service=self._record.service,
            rollout=RolloutId(f"{self._record.service}/r{len(self._record.rollouts) + 1}"),
            version=version.version,
            champion=None,
            steps=(1.0,),
            cycle=None,
        )
        under_way = self._record.open_rollout
        ended: list[Fact] = [] if under_way is None else [self._end(under_way, "abort")]
        # Of a version that serves nothing is left to be proved.
        ended += [
            superseded(self._record, cycle)
            for cycle in self._record.open_cycles
            if cycle.version == version.version and is_held(cycle.state)
        ]
        return self._answer(event, reason, *ended, overridden, begun)

    def _rollback(self, event: Event, order: OrderGiven) -> Step:
        under_way = self._record.open_rollout
        if under_way is not None and self._record.champion is not None:
            return self._answer(event, self._say_end(under_way, order), self._end(under_way, "abort"))
        champion, previous = self._record.champion, self._record.previous
        if champion is None or previous is None:
            return self._answer(event, self._no_way_back(), accepted=False)
        back = self._record.versions[previous].ordinal
        taken = f"version {self._record.versions[champion].ordinal} ({short(champion)})"
        reason = f"A person ({order.role}) took back {taken}; version {back} answers again."
        reverted = facts.ChampionReverted(
            service=self._record.service, before=champion, after=previous, words=order.words
        )
        return self._answer(event, reason, reverted, self._refuse(champion, reason))

    def _say_end(self, rollout: Rollout, order: OrderGiven) -> str:
        """Which of the two was taken back: somebody in a hurry may have meant the one that goes on."""
        ended = self._record.versions[rollout.version].ordinal
        champion = rollout.champion or self._record.champion
        goes_on = self._record.versions[champion].ordinal if champion is not None else ended
        had = f"its trial with {rollout.share:.0%} of the requests" if rollout.share > 0 else "its trial"
        return (
            f"A person ({order.role}) took version {ended} back from {had}; version {goes_on} goes on and answers "
            f"everything. `evertrain rollback` again takes back version {goes_on}."
        )

    def _no_way_back(self) -> str:
        gone = [one for one in dict.fromkeys(self._record.served) if one != self._record.champion]
        if not gone:
            return "There is no earlier version to go back to: no other one has served."
        named = ", ".join(str(self._record.versions[one].ordinal) for one in gone)
        return (
            f"There is no earlier version to go back to: {named} served, and was refused or taken back since, or needs "
            "other libraries than the workers that answer. "
            "`evertrain promote VERSION` puts one of them into service in spite of that."
        )

    def _next_cycle(self) -> CycleId:
        return CycleId(f"{self._record.service}/c{len(self._record.cycles) + 1}")

    def _end(self, rollout: Rollout, move: RolloutMove) -> facts.RolloutMoved:
        return moved(self._record.service, rollout, move, self._figures(rollout))

    def _figures(self, rollout: Rollout) -> dict[str, float]:
        """What its trial has shown until it was ended."""
        found = self._look(rollout)
        return {} if found is None else found.figures

    def _look(self, rollout: Rollout) -> Assessment | None:
        """What there is to see of a canary; None where there is none."""
        if rollout.champion is None or rollout.state is not RolloutState.STEPPING:
            return None
        evidence = self._planes.evidence(self._record.service, rollout, self._now)
        spec, traffic = self._spec.rollout, evidence.requests_24h
        return assess(
            rollout.step,
            spec,
            evidence.tally,
            traffic,
            self._now,
            pace=evidence.pace,
            idle=evidence.idle,
            paired=found_of(self._record, rollout),
            since=rollout.stepped,
        )

    def _refuse(self, version: VersionId, because: str) -> facts.VersionRefused:
        return facts.VersionRefused(
            service=self._record.service,
            version=version,
            fingerprint=self._record.versions[version].fingerprint,
            because=because,
        )

    def _answer(self, event: Event, reason: str, *also: Fact, accepted: bool = True) -> Step:
        return answered(self._record, self._now, event, reason, *also, accepted=accepted)


def _no_file(version: Version) -> str:
    return (
        f"The file of version {version.ordinal}, which was refused, is not kept any more. Push it once more, which "
        "brings the file back for a day and changes nothing else; then promote the version."
    )
