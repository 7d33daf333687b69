"""One rollout, moved on as far as its evidence lets it: prepare, step, promote, roll back."""

from collections.abc import Iterable, Mapping

from evertrain.config.declaration import ServiceSpec
from evertrain.control.approvals import approvers, asked_at
from evertrain.control.lodging import Lodged, Lodging
from evertrain.control.planes import Evidence, Planes
from evertrain.control.rescoring import found_of
from evertrain.control.review import check_of, judged_by, review, review_is_due, stood_in_line
from evertrain.control.step import NOTHING, Step, moved, recorded
from evertrain.core import event as facts
from evertrain.core.approval import RolloutGate
from evertrain.core.canary import Assessment, assess, assess_shadow
from evertrain.core.event import Fact
from evertrain.core.registry import Rollout, ServiceRecord
from evertrain.core.rollout import RolloutMove, RolloutState
from evertrain.core.time import HOUR, Instant

__all__ = ["RolloutDesk"]

_MOST_FALLS = 8
"""So often its process may end by itself before it moves on: it is started again at once, and then later and later."""


class RolloutDesk:
    """Works on the open rollout of one service at one instant of business time.

    entering: after `step`, whether the version has earned its place and every worker is to load it.
    """

    def __init__(self, planes: Planes, record: ServiceRecord, spec: ServiceSpec, now: Instant) -> None:
        self._planes = planes
        self._record = record
        self._spec = spec
        self._now = now
        self.entering = False

    def step(self, rollout: Rollout) -> Step:
        """What this rollout comes to now."""
        if rollout.falls >= _MOST_FALLS:
            why = f"Its process ended {rollout.falls} times by itself. The last time: {rollout.fell}"
            return self._end(rollout, why)
        return self._go_on(rollout)

    def _go_on(self, rollout: Rollout) -> Step:
        match rollout.state:
            case RolloutState.PENDING:
                return self._begin(rollout)
            case RolloutState.PREPARING:
                return self._make_ready(rollout)
            case RolloutState.SHADOWING:
                return self._assess_shadow(rollout)
            case RolloutState.STEPPING if self._hold_of(rollout):
                return self._move(rollout, "hold", f"It gets no traffic while it is held: {self._hold_of(rollout)}.")
            case RolloutState.STEPPING:
                return self._assess(rollout)
            case _:
                return NOTHING

    def _begin(self, rollout: Rollout) -> Step:
        """Nothing of it runs before whoever is asked has allowed it; a first version passes both gates at once."""
        passed = self._pass(rollout, "canary", *(("promotion",) if rollout.champion is None else ()))
        if isinstance(passed, Step):
            return passed
        begins = "It is made ready" if rollout.champion is None else "Its process is started"
        return self._move(rollout, "prepare", " ".join((*passed, f"{begins}; it gets no traffic yet.")))

    def _make_ready(self, rollout: Rollout) -> Step:
        if rollout.champion is None:
            return self._prepare_first(rollout)
        return self._prepare(rollout) if rollout.shadow is None else self._prepare_shadow(rollout)

    def _prepare_first(self, rollout: Rollout) -> Step:
        """Without a champion beside it a version enters whole, once every worker holds it."""
        if rollout.cycle is not None and self._record.champion is not None and (waits := self._wait(rollout)):
            return waits
        lodged = self._lodged(rollout)
        if lodged.state != "held":
            return self._lodge(rollout, lodged)
        started = moved(self._record.service, rollout, "start", step=0, share=1.0)
        promoted = facts.RolloutMoved(
            service=self._record.service,
            rollout=rollout.rollout,
            version=rollout.version,
            move="promote",
            before=RolloutState.STEPPING,
            after=RolloutState.PROMOTED,
            step=0,
            share=1.0,
        )
        return self._record_all(rollout, f"{_say_lodged(lodged)}; it answers everything.", started, promoted)

    def _lodged(self, rollout: Rollout) -> Lodged:
        """Where its version stands with the workers; those that answer are asked to load it, if that is its way in."""
        lodged = Lodging(self._planes, self._record, self._spec, self._now).of(rollout)
        self.entering = lodged.prepare
        return lodged

    def _lodge(self, rollout: Rollout, lodged: Lodged, figures: Mapping[str, float] | None = None) -> Step:
        """Bring a version to the workers, or end the rollout of one that they cannot hold."""
        if lodged.state != "failed":
            return lodged.step
        ended = self._end(rollout, f"A worker cannot load it: {lodged.failed}", figures)
        return Step(drafts=(*lodged.step.drafts, *ended.drafts))

    def _prepare(self, rollout: Rollout) -> Step:
        route = self._planes.routing().routes.get(self._record.service)
        if route is None or route.rollout != rollout.rollout or route.canary is None or route.control is None:
            return Step(awaiting=f"{rollout.rollout}: its route is being published")
        canary = self._planes.standing("canary", route.canary)
        if canary.failed:
            return self._end(rollout, f"Its process does not stand: {canary.failed}")
        control = self._planes.standing("control", route.control)
        if not (canary.ready and control.ready):
            return self._await_processes(rollout)
        if rollout.reviewed < rollout.step and stood_in_line(self._record, rollout):
            return self._review(rollout)
        waits = self._wait(rollout)
        if waits is not None:
            return waits
        return self._start(rollout)

    def _start(self, rollout: Rollout) -> Step:
        """Its first share, or the one that it had; none while what was answered in an outage is still read."""
        if self._planes.known_to() is not None:
            return Step(awaiting=f"{rollout.rollout}: what was answered while nobody looked is read first")
        step = max(rollout.step, 0)
        share = rollout.steps[step]
        return self._move(rollout, "start", f"Its process is warm; it gets {share:.0%} of the traffic.", step=step)

    def _await_processes(self, rollout: Rollout) -> Step:
        """They are started again and again. Where that leads to nothing, it ends, and nothing speaks against it."""
        absence = rollout.absence
        if absence is None:
            return Step(awaiting=f"{rollout.rollout}: its processes start")
        if absence.is_lasting(paced=self._planes.paced()):
            return self._move(rollout, "abort", f"It cannot be tried: {absence.says}")
        return Step(awaiting=f"{rollout.rollout}: {absence.says}")

    def _pass(self, rollout: Rollout, *gates: RolloutGate) -> Step | tuple[str, ...]:
        """Why it may pass these gates, () where nobody is asked; or what has to be done or awaited before."""
        reasons: tuple[str, ...] = ()
        for gate in gates:
            needed = approvers(self._planes, self._spec, rollout, gate)
            found = asked_at(self._record, rollout, gate, needed, self._now)
            if isinstance(found, Step):
                return found
            if found.action == "end":
                return self._move(rollout, "abort", "; ".join(found.reasons))
            if found.action == "wait":
                return self._until(found.until)
            reasons += found.reasons
        return reasons

    def _until(self, at: Instant | None) -> Step:
        """Look again then; on a story's clock within the hour, since evidence goes on."""
        if not self._planes.paced():
            return Step(until=at)
        return Step(until=Instant(min(self._now + HOUR, self._now + HOUR if at is None else at)))

    def _prepare_shadow(self, rollout: Rollout) -> Step:
        route = self._planes.routing().routes.get(self._record.service)
        arm = None if route is None else route.shadow
        if arm is None or arm.version != rollout.version or rollout.shadow is None:
            return Step(awaiting=f"{rollout.rollout}: its route is being published")
        standing = self._planes.standing("shadow", arm)
        if standing.failed:
            return self._end(rollout, f"Its process does not stand: {standing.failed}")
        if not standing.ready:
            return self._await_processes(rollout)
        words = f"Its process is warm; it sees {rollout.shadow.share:.0%} of the requests, and answers nobody."
        return self._move(rollout, "mirror", words)

    def _assess_shadow(self, rollout: Rollout) -> Step:
        if rollout.shadow is None:
            return self._move(rollout, "pass", "Nothing is declared of a shadow.")
        evidence = self._planes.evidence(self._record.service, rollout, self._now)
        seen = assess_shadow(
            rollout.shadow,
            self._spec.rollout,
            evidence.tally,
            evidence.alike,
            self._now,
            pace=evidence.pace,
            idle=evidence.idle,
            paired=found_of(self._record, rollout),
        ).known_to(self._planes.known_to())
        why = "; ".join(seen.reasons)
        match seen.action:
            case "roll back":
                return self._end(rollout, _with_failures(seen.reasons, evidence), seen.figures)
            case "pass":
                return self._move(rollout, "pass", why, seen.figures)
            case _:
                return self._until(seen.next_look)

    def _hold_of(self, rollout: Rollout) -> str:
        """Why its version gets no traffic before labels or a person speak for it, "" where nothing holds it."""
        return self._record.versions[rollout.version].hold

    def _wait(self, rollout: Rollout) -> Step | None:
        """What a held version comes to: judged again when labels come, else it waits. None where nothing holds it."""
        if not self._hold_of(rollout):
            return None
        due = review_is_due(self._planes, self._record, rollout, moving=False)
        return self._review(rollout) if due else NOTHING

    def _assess(self, rollout: Rollout) -> Step:
        evidence = self._planes.evidence(self._record.service, rollout, self._now)
        seen = assess(
            rollout.step,
            self._spec.rollout,
            evidence.tally,
            evidence.requests_24h,
            self._now,
            pace=evidence.pace,
            idle=evidence.idle,
            latency_decides=not self._planes.paced(),
            paired=found_of(self._record, rollout),
            since=rollout.stepped,
        ).known_to(self._planes.known_to())
        if seen.action == "roll back":
            return self._end(rollout, _with_failures(seen.reasons, evidence), seen.figures)
        moving = seen.action != "wait"
        if waits := self._await_control(rollout, moving=moving):
            return waits
        if review_is_due(self._planes, self._record, rollout, moving=moving):
            return self._review(rollout)
        match seen.action:
            case "advance":
                return self._move(rollout, "advance", "; ".join(seen.reasons), seen.figures, step=rollout.step + 1)
            case "promote":
                return self._enter(rollout, seen)
            case _:
                return self._until(seen.next_look)

    def _await_control(self, rollout: Rollout, *, moving: bool) -> Step | None:
        """None while the control arm stands: without it nothing is shown of latency and scores, so nothing moves on."""
        route = self._planes.routing().routes.get(self._record.service)
        if route is None or route.control is None or self._planes.standing("control", route.control).ready:
            return None
        lasting = rollout.absence is not None and rollout.absence.is_lasting(paced=self._planes.paced())
        return self._await_processes(rollout) if moving or lasting else None

    def _review(self, rollout: Rollout) -> Step:
        """Judge the version again: bad ends its rollout, good is put on record, and undecided lets it go on."""
        version = self._record.versions[rollout.version]
        check = check_of(self._planes, self._record, rollout.version, {})
        name = f"{rollout.rollout}-review-{version.verdicts}"
        found = review(self._planes, self._record, check, name)
        if isinstance(found, Step):
            return found
        if isinstance(found, str):
            return self._move(rollout, "abort", f"It could not be judged again: {found}")
        why = "; ".join(found.reasons)
        judged = judged_by(self._planes, self._record, found, again=True)
        match found.verdict:
            case "fail" | "error":
                return self._end(rollout, f"Judged again, its verdict is {found.verdict}. {why}", judged=judged)
            case "pass":
                self._planes.attest_judged(rollout.version, self._record.service, self._now, "pass", why)
            case _:
                pass
        return self._record_all(rollout, why, judged)

    def _enter(self, rollout: Rollout, seen: Assessment) -> Step:
        """Earned: once every worker holds the version, the generation flips. Until then the canary goes on."""
        passed = self._pass(rollout, "promotion")
        if isinstance(passed, Step):
            return passed
        lodged = self._lodged(rollout)
        if lodged.state != "held":
            return self._lodge(rollout, lodged, seen.figures)
        reasons = (*seen.reasons, *passed, *((_say_lodged(lodged),) if lodged.entry.by_pool else ()))
        return self._move(rollout, "promote", "; ".join(reasons), seen.figures)

    def _end(
        self,
        rollout: Rollout,
        why: str,
        figures: Mapping[str, float] | None = None,
        judged: facts.VersionJudged | None = None,
    ) -> Step:
        refused = facts.VersionRefused(
            service=self._record.service,
            version=rollout.version,
            fingerprint=self._record.versions[rollout.version].fingerprint,
            because=why,
        )
        ended = moved(self._record.service, rollout, "roll back", figures)
        return self._record_all(rollout, why, *((judged,) if judged is not None else ()), ended, refused)

    def _move(
        self,
        rollout: Rollout,
        move: RolloutMove,
        reason: str,
        figures: Mapping[str, float] | None = None,
        *,
        step: int | None = None,
    ) -> Step:
        at = rollout.step if step is None else step
        share = {"start": rollout.steps[at], "advance": rollout.steps[at], "promote": 1.0}.get(move, 0.0)
        return self._record_all(
            rollout, reason, moved(self._record.service, rollout, move, figures, step=at, share=share)
        )

    def _record_all(self, rollout: Rollout, reason: str, *told: Fact) -> Step:
        verdicts = self._record.versions[rollout.version].verdicts
        stem = f"{rollout.rollout}:{rollout.state}:{rollout.step}:{len(rollout.shares)}:{verdicts}"
        return recorded(stem, self._now, f"rollout/{rollout.rollout}", reason, *told)


def _say_lodged(lodged: Lodged) -> str:
    if not lodged.entry.by_pool:
        return "Every worker holds it"
    return f"New workers hold it and take over, since {lodged.entry.reason}"


def _with_failures(reasons: Iterable[str], evidence: Evidence) -> str:
    """Why a rollout ends, and what its failed requests said: nobody should have to look for that in the log."""
    told = evidence.failures.says
    return "; ".join((*reasons, *((f"its failures, {told}",) if told else ())))
