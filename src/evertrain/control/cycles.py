"""One retraining cycle, moved on as far as it can go: decide from its state, ask the planes, record the move."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import msgspec

from evertrain.config.declaration import ServiceSpec, TrainingSpec
from evertrain.control.lodging import say_entry
from evertrain.control.planes import Crashed, Done, Planes, Running
from evertrain.control.review import FEWEST_ROWS, check_of, judged_by
from evertrain.control.step import NOTHING, Step
from evertrain.core import event as facts
from evertrain.core.cycle import CycleMove, CycleState, advance
from evertrain.core.event import Draft, Fact
from evertrain.core.identity import RolloutId, VersionId, short
from evertrain.core.registry import Cycle, ServiceRecord
from evertrain.core.rehearsal import Choice, Rehearsed, asked_for, choose
from evertrain.core.rollout import RolloutState
from evertrain.core.stage import Assemble, Assembled, Check, Evaluate, Evaluated, Rehearse, StageTask, Train, Trained
from evertrain.core.time import DAY, HOUR, Instant, say_instant

__all__ = ["CycleDesk", "SnapshotTaken"]

_ASSEMBLING, _EVALUATING = HOUR, HOUR
"""How long these stages take on a story's clock."""

Result = TypeVar("Result")


class SnapshotTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What a cycle may look at: table versions, and the instant up to which things count as known."""

    tables: dict[str, int]
    cut: Instant


class CycleDesk:
    """Works on the cycles of one service at one instant of business time."""

    def __init__(self, planes: Planes, record: ServiceRecord, spec: ServiceSpec, now: Instant) -> None:
        self._planes = planes
        self._record = record
        self._spec = spec
        self._now = now

    def step(self, cycle: Cycle) -> Step:
        """What this cycle comes to now."""
        desks: dict[CycleState, Callable[[Cycle], Step]] = {
            CycleState.TRIGGERED: self._triggered,
            CycleState.SNAPSHOTTED: self._snapshotted,
            CycleState.ASSEMBLED: self._assembled,
            CycleState.TRAINED: self._trained,
            CycleState.EVALUATED: self._evaluated,
            CycleState.JUDGED: self._judged,
            CycleState.REGISTERED: self._registered,
            CycleState.ROLLING_OUT: self._rolling_out,
            CycleState.INCONCLUSIVE: self._held,
            CycleState.WAITING_FOR_LABELS: self._held,
        }
        return desks[cycle.state](cycle)

    # Each state's desk ------------------------------------------------------------------------------------------------

    def _triggered(self, cycle: Cycle) -> Step:
        if cycle.kind in ("external", "online"):
            return self._adopt(cycle)
        rules = short(self._record.declaration or "")  # under other ones other rows of the same files may fit
        tables = self._planes.committed(f"{cycle.cycle}-{cycle.looks}-{rules}", self._record.service)
        if tables is None:
            return Step(awaiting=f"{cycle.cycle}: the tables are being committed")
        taken = SnapshotTaken(tables=dict(tables), cut=self._now)
        return self._finish(cycle, "snapshot", msgspec.json.encode(taken), "snapshot", "The data were fixed.")

    def _adopt(self, cycle: Cycle) -> Step:
        if cycle.version is None:
            return self._move(cycle, "fail", "The imported version is not registered.")
        return self._move(cycle, "adopt", f"Version {short(cycle.version)} was imported.")

    def _snapshotted(self, cycle: Cycle) -> Step:
        taken = self._result(cycle, "snapshot", SnapshotTaken)
        if cycle.declaration is None:
            return self._move(cycle, "fail", "The service has no declaration.")
        task = Assemble(
            service=self._record.service,
            cycle=cycle.cycle,
            declaration=cycle.declaration,
            bundle=cycle.bundle,
            tables=taken.tables,
            cut=taken.cut,
        )
        return self._work(cycle, "assemble", task, _ASSEMBLING, self._assembled_now)

    def _assembled_now(self, cycle: Cycle, result: bytes) -> Step:
        assembled = msgspec.json.decode(result, type=Assembled)
        if min(assembled.training_rows, assembled.holdout_rows) < FEWEST_ROWS:
            reason = (
                f"{assembled.training_rows} training and {assembled.holdout_rows} holdout rows are mature; "
                f"at least {FEWEST_ROWS} of each are needed."
            )
            # While nothing answers, an hour more is long enough.
            patience = DAY if self._record.champion else HOUR
            return self._hold(cycle, "wait", reason, Instant(self._now + patience))
        snapshotted = facts.DatasetSnapshotted(
            service=self._record.service, cycle=cycle.cycle, dataset=assembled.dataset
        )
        reason = f"{assembled.training_rows} training rows and {assembled.holdout_rows} holdout rows are mature."
        return self._finish(cycle, "assemble", result, "assemble", reason, snapshotted)

    def _assembled(self, cycle: Cycle) -> Step:
        competing = self._recipes(cycle)
        if not competing:
            return self._move(cycle, "fail", f"Recipe {cycle.recipe!r} is not declared.")
        assembled = self._result(cycle, "assemble", Assembled)
        for name in competing if len(competing) > 1 else ():
            if f"rehearse-{name}" not in cycle.stages:
                return self._rehearse(cycle, assembled, name)
        rehearsed: tuple[Rehearsed, ...] = ()
        choice = Choice(recipe=next(iter(competing)), reason="")
        if len(competing) > 1:
            rehearsed = tuple(self._result(cycle, f"rehearse-{name}", Rehearsed) for name in competing)
            choice = choose(rehearsed, self._spec.gate.primary)
        if choice.recipe is None:
            return self._move(cycle, "fail", choice.reason)
        task = Train(
            service=self._record.service,
            cycle=cycle.cycle,
            assembled=assembled,
            recipe=choice.recipe,
            rehearsals=rehearsed,
            chosen=choice.reason,
        )
        recipe = competing[choice.recipe]
        takes = recipe.duration + sum(competing[one.recipe].duration for one in rehearsed)
        return self._work(cycle, "train", task, takes, partial(self._trained_now, choice.reason), recipe=recipe)

    def _rehearse(self, cycle: Cycle, assembled: Assembled, name: str) -> Step:
        """See how one of several recipes fares; one that cannot be trained is out, the cycle goes on."""
        stage = f"rehearse-{name}"
        task = Rehearse(service=self._record.service, cycle=cycle.cycle, assembled=assembled, recipe=name)

        def end(cycle: Cycle, result: bytes) -> Step:
            out = msgspec.json.decode(result, type=Rehearsed).failed
            kept = self._planes.keep(result)
            finished = facts.StageFinished(service=self._record.service, cycle=cycle.cycle, stage=stage, result=kept)
            return self._record_only(cycle, f"Recipe {name} is out." if out else f"{name} was rehearsed.", finished)

        def crash(cycle: Cycle, cause: str) -> Step:
            return end(cycle, msgspec.json.encode(Rehearsed(recipe=name, failed=cause.splitlines()[0][:300])))

        return self._work(cycle, stage, task, 0, end, recipe=self._recipes(cycle)[name], crashed=crash)

    def _trained_now(self, chosen: str, cycle: Cycle, result: bytes) -> Step:
        trained = msgspec.json.decode(result, type=Trained)
        built: tuple[Fact, ...] = ()
        if trained.version not in self._record.versions:
            self._planes.attest_built(trained.version, self._record.service, self._now)
            built = (
                facts.VersionBuilt(
                    service=self._record.service,
                    version=trained.version,
                    fingerprint=trained.fingerprint,
                    ordinal=len(self._record.versions) + 1,
                    cycle=cycle.cycle,
                    recipe=trained.recipe,
                ),
            )
        said = f"Version {short(trained.version)} was built. {chosen}".strip()
        return self._finish(cycle, "train", result, "train", said, *built)

    def _trained(self, cycle: Cycle) -> Step:
        if cycle.version is None:
            return self._move(cycle, "give up", "The training gave a version that is registered already.")
        version = self._record.versions[cycle.version]
        refusal = self._record.refusal_of(version.fingerprint)
        if refusal is not None:
            return self._move(cycle, "give up", self._record.say_refused(refusal))
        if cycle.version == self._record.champion:
            return self._move(cycle, "give up", "The version is the champion already.")
        if self._holdout_is_old(cycle):
            return self._renew_holdout(cycle)
        if "assemble" not in cycle.stages:
            return self._check_file(cycle, cycle.version)
        return self._work(cycle, "evaluate", self._evaluation(cycle, cycle.version), _EVALUATING, self._evaluated_now)

    def _check_file(self, cycle: Cycle, version: VersionId) -> Step:
        """A version that came as a file is checked, and judged on what the champion was asked and told since."""
        tables: Mapping[str, int] | None = {}
        if self._record.champion is not None:
            tables = self._planes.committed(f"{cycle.cycle}-{cycle.looks}", self._record.service)
        if tables is None:
            return Step(awaiting=f"{cycle.cycle}: the tables are being committed")
        check = check_of(self._planes, self._record, version, tables)
        return self._work(cycle, "evaluate", check, _EVALUATING, self._evaluated_now)

    def _holdout_is_old(self, cycle: Cycle) -> bool:
        """Whether this is another look at a version, and the labels that came since are not in its holdout yet."""
        return (
            "evaluate" in cycle.stages and f"holdout-{cycle.looks}" not in cycle.stages and "assemble" in cycle.stages
        )

    def _renew_holdout(self, cycle: Cycle) -> Step:
        """Assemble anew at this instant: the holdout moves on, and the version has seen none of it."""
        tables = self._planes.committed(f"{cycle.cycle}-{cycle.looks}", self._record.service)
        if tables is None:
            return Step(awaiting=f"{cycle.cycle}: the tables are being committed")
        before = self._result(cycle, "assemble", Assembled)
        task = Assemble(
            service=self._record.service,
            cycle=cycle.cycle,
            declaration=before.declaration,
            bundle=before.bundle,
            tables=dict(tables),
            cut=cycle.since,
        )
        return self._work(cycle, "holdout", task, 0, self._holdout_renewed)

    def _holdout_renewed(self, cycle: Cycle, result: bytes) -> Step:
        kept = self._planes.keep(result)
        renewed = [
            facts.StageFinished(service=self._record.service, cycle=cycle.cycle, stage=stage, result=kept)
            for stage in ("holdout", f"holdout-{cycle.looks}")
        ]
        return self._record_only(cycle, "The holdout holds the labels that came since.", *renewed)

    def _evaluation(self, cycle: Cycle, version: VersionId) -> Evaluate:
        return Evaluate(
            service=self._record.service,
            cycle=cycle.cycle,
            assembled=self._result(cycle, "holdout" if "holdout" in cycle.stages else "assemble", Assembled),
            challenger=version,
            champion=self._record.champion,
            anchor=self._record.anchor,
            timed=not self._planes.paced(),
        )

    def _evaluated_now(self, cycle: Cycle, result: bytes) -> Step:
        evaluated = msgspec.json.decode(result, type=Evaluated)
        if evaluated.unchecked:
            return self._move(
                cycle, "fail", f"It could not be checked, and nothing is held against it. {evaluated.unchecked}"
            )
        return self._finish(cycle, "evaluate", result, "evaluate", "; ".join(evaluated.reasons))

    def _evaluated(self, cycle: Cycle) -> Step:
        evaluated = self._result(cycle, "evaluate", Evaluated)
        judged = judged_by(self._planes, self._record, evaluated, again=False)
        return self._move(cycle, "judge", "; ".join(evaluated.reasons), judged)

    def _judged(self, cycle: Cycle) -> Step:
        evaluated = self._result(cycle, "evaluate", Evaluated)
        why = "; ".join(evaluated.reasons)
        match evaluated.verdict:
            case "pass" | "health only" | "override":
                self._planes.attest_judged(evaluated.version, self._record.service, self._now, evaluated.verdict, why)
                return self._move(cycle, "register", f"The verdict is {evaluated.verdict}. {why}")
            case "inconclusive":
                hold = self._spec.gate.hold
                return self._hold(cycle, "hold", why, Instant(self._now + hold))
            case _:
                version = self._record.versions[evaluated.version]
                refused = facts.VersionRefused(
                    service=self._record.service,
                    version=evaluated.version,
                    fingerprint=version.fingerprint,
                    because=f"The gate's verdict is {evaluated.verdict}. {why}",
                )
                return self._move(cycle, "refuse", refused.because, refused)

    def _registered(self, cycle: Cycle) -> Step:
        if self._record.open_rollout is not None or cycle.version is None:
            return NOTHING
        first, rule = self._record.champion is None, self._spec.rollout
        whole = first or (rule.by_pool and not cycle.shadow)
        begun = facts.RolloutBegun(
            service=self._record.service,
            rollout=RolloutId(f"{self._record.service}/r{len(self._record.rollouts) + 1}"),
            version=cycle.version,
            champion=None if whole else self._record.champion,
            steps=(1.0,) if whole else rule.steps,
            cycle=cycle.cycle,
            shadow=None if whole else rule.shadow_for(stays=cycle.shadow),
        )
        return self._move(cycle, "roll out", say_entry(begun, first=first), begun)

    def _rolling_out(self, cycle: Cycle) -> Step:
        rollout = self._record.rollouts.get(cycle.rollout or RolloutId(""))
        if rollout is None:
            return self._move(cycle, "fail", "Its rollout was never begun.")
        match rollout.state:
            case RolloutState.PROMOTED:
                return self._move(cycle, "promote", rollout.why)
            case RolloutState.ROLLED_BACK:
                return self._move(cycle, "roll back", rollout.why)
            case RolloutState.ABORTED:
                return self._move(cycle, "supersede", rollout.why)
            case _:
                return NOTHING

    def _held(self, cycle: Cycle) -> Step:
        if cycle.looked_out:
            return self._move(cycle, "give up", f"It was looked at {cycle.looks} times and stays undecided.")
        if cycle.until is not None and self._now < cycle.until:
            return Step(until=cycle.until)
        return self._move(cycle, "look again", "Its time to look again has come.")

    # Work and records -------------------------------------------------------------------------------------------------

    def _recipes(self, cycle: Cycle) -> dict[str, TrainingSpec]:
        """The recipes that compete in a cycle, as they stood when its data were fixed."""
        spec = self._spec if cycle.declaration is None else self._planes.declaration(cycle.declaration)
        return {name: spec.recipes[name] for name in asked_for(cycle.recipe, spec.recipes)}

    def _work(
        self,
        cycle: Cycle,
        stage: str,
        task: StageTask,
        takes: int,
        finish: Callable[[Cycle, bytes], Step],
        *,
        recipe: TrainingSpec | None = None,
        crashed: Callable[[Cycle, str], Step] | None = None,
    ) -> Step:
        """Have a stage done. On a story's clock its result is looked at when its declared time has passed.

        recipe: whose limits hold. crashed: what a crash comes to; without it the cycle fails.
        """
        name = f"{cycle.cycle}-{stage}-{cycle.looks}{self._opponent(task)}".replace("/", "-")
        recipe = recipe or next(iter(self._recipes(cycle).values()), None)
        self._planes.submit(
            name,
            task,
            memory_mb=recipe.memory_mb if recipe else 4096,
            timeout_s=recipe.timeout_s if recipe else 600,
        )
        if self._planes.paced() and self._now < cycle.since + takes:
            return Step(until=Instant(cycle.since + takes))
        match self._planes.poll(name):
            case Running():
                return Step(awaiting=f"{cycle.cycle}: {stage} is running")
            case Crashed(cause) if crashed is not None:
                return crashed(cycle, cause)
            case Crashed(cause):
                return self._move(cycle, "fail", f"The stage {stage} failed: {cause}")
            case Done(result):
                return finish(cycle, result)

    def _opponent(self, task: StageTask) -> str:
        """What tells two verdicts of one look apart: who answers may change while a version is judged beside it."""
        champion = task.champion if isinstance(task, Check | Evaluate) else None
        return "" if champion is None else f"-against-{self._record.versions[champion].ordinal}"

    def _result(self, cycle: Cycle, stage: str, kind: type[Result]) -> Result:
        return msgspec.json.decode(self._planes.kept(cycle.stages[stage]), type=kind)

    def _finish(self, cycle: Cycle, stage: str, result: bytes, move: CycleMove, reason: str, *also: Fact) -> Step:
        finished = facts.StageFinished(
            service=self._record.service, cycle=cycle.cycle, stage=stage, result=self._planes.keep(result)
        )
        return self._move(cycle, move, reason, finished, *also)

    def _hold(self, cycle: Cycle, move: CycleMove, reason: str, until: Instant) -> Step:
        return self._move(cycle, move, f"{reason} Looked at again at {say_instant(until)}.", until=until)

    def _move(self, cycle: Cycle, move: CycleMove, reason: str, *also: Fact, until: Instant | None = None) -> Step:
        moved = facts.CycleMoved(
            service=self._record.service,
            cycle=cycle.cycle,
            move=move,
            before=cycle.state,
            after=advance(cycle.kind, cycle.state, move, cycle.cycle),
            until=until,
        )
        return self._record_only(cycle, reason, *also, moved)

    def _record_only(self, cycle: Cycle, reason: str, *told: Fact) -> Step:
        stem = f"{cycle.cycle}:{cycle.looks}:{cycle.state}"
        return Step(
            drafts=tuple(
                Draft(
                    id=f"{stem}:{_name_of(fact)}:{place}",
                    at=self._now,
                    actor="controller",
                    subject=f"cycle/{cycle.cycle}",
                    reason=reason,
                    fact=fact,
                )
                for place, fact in enumerate(told)
            )
        )


def _name_of(fact: Fact) -> str:
    """What tells the events of one look at one state apart: two stages may be finished in it."""
    kind = facts.kind_of(fact)
    return f"{kind}:{fact.stage}" if isinstance(fact, facts.StageFinished) else kind
