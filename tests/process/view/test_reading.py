"""The page's readings over a real ledger, a real log and real counters, and the control door beside a controller."""

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from evertrain.config.declaration import FunctionRef, LabelSpec, ServiceSpec, SourceSpec, TrainingSpec
from evertrain.config.settings import Settings
from evertrain.core import event as facts
from evertrain.core.card import Card
from evertrain.core.event import Draft, Fact
from evertrain.core.identity import CycleId, Digest, RolloutId, SourceName, VersionId, canonical, digest_of
from evertrain.core.model import Fingerprint
from evertrain.core.policy import CanarySpec
from evertrain.core.prediction import Failed, Labelled, Predicted, Record
from evertrain.core.routing import Arm, Route
from evertrain.core.time import DAY, HOUR, Instant, Moment
from evertrain.errors import NotFoundError, OccupiedError, UserError
from evertrain.process.controller.action import OrderedActions
from evertrain.process.controller.controlling import Controller
from evertrain.process.controller.doorway import Doorway, listen
from evertrain.process.declaration.plan import foresee_canary
from evertrain.process.declaration.planning import plan_record
from evertrain.process.view.looks import read_looks
from evertrain.process.view.situation import look_at
from evertrain.store.access import token
from evertrain.store.clock import StoryClock, business_clock
from evertrain.store.ledger import Ledger
from evertrain.store.log import LogWriter
from evertrain.store.process import beat, heartbeat_of
from evertrain.store.statistics import Label, Statistics
from evertrain.testing.installation import BEGIN, SHOP, SHOP_ROW, SHOP_SCHEMA, Installation
from evertrain.testing.worker import until
from evertrain.web.overview import Overview

START = Instant(BEGIN - BEGIN % DAY)
TRAIN = FunctionRef(module="service", name="train")
ORDERS = SourceSpec(
    name=SourceName("orders"), files="orders/*.csv", key=("n",), event_time="at", known_at=Moment(column="at")
)
SPEC = ServiceSpec(
    name=SHOP,
    inputs=SHOP_SCHEMA,
    sources=(ORDERS,),
    label=LabelSpec(
        source=SourceName("orders"),
        value="late",
        known_at=Moment(column="at"),
        mature_at=Moment(column="at", offset=HOUR),
    ),
    recipes={"quick": TrainingSpec(train=TRAIN), "default": TrainingSpec(train=TRAIN)},
    rollout=CanarySpec(steps=(0.1, 0.5), max_bad_answers=1.0),
    owner="the shop team",
)
FIRST, SECOND, THIRD = (VersionId(digest_of(number)) for number in (1, 2, 3))


class World:
    """A controller that is looked at by hand: its ledger, its log, and its clock, which is a story's."""

    def __init__(self, folder: Path) -> None:
        self.installation = Installation(folder)
        self.state = self.installation.state
        StoryClock.create(self.state.clock, START)
        self.clock = StoryClock(self.state.clock)
        self.ledger = Ledger.open(self.state.ledger)
        self.log = LogWriter(self.state.log, "w0", segment_bytes=1 << 20)
        self._number = 0

    def record(self, fact: Fact, reason: str = "", subject: str = f"service/{SHOP}", at: int = 0) -> None:
        self._number += 1
        self.ledger.append(
            Draft(
                id=f"t{self._number}", at=Instant(START + at), actor="test", subject=subject, reason=reason, fact=fact
            )
        )

    def declare(self, spec: ServiceSpec = SPEC) -> None:
        self.installation.artifacts.blobs.put(canonical(spec))
        self.record(facts.ServiceDeclared(service=SHOP, declaration=spec.digest, bundle=None))

    def build(self, version: VersionId, ordinal: int, at: int = 0) -> None:
        """A cycle that made this version, which passed the gate."""
        cycle = CycleId(f"{SHOP}/c{ordinal}")
        self.record(
            facts.TriggerDecided(service=SHOP, trigger="rows 100", decision="run", cycle=cycle), "120 new rows.", at=at
        )
        self.move(cycle, "snapshot", "triggered", "snapshotted", at)
        self.move(cycle, "assemble", "snapshotted", "assembled", at)
        self.record(
            facts.VersionBuilt(
                service=SHOP,
                version=version,
                fingerprint=Fingerprint(model=Digest(version), features=digest_of("f")),
                ordinal=ordinal,
                cycle=cycle,
            ),
            subject=f"cycle/{cycle}",
            at=at,
        )
        self.move(cycle, "train", "assembled", "trained", at)
        self.move(cycle, "evaluate", "trained", "evaluated", at)
        card = Card(
            service=SHOP, version=version, cycle=cycle, claim="digest", verdict="pass", reasons=("It is not worse.",)
        )
        self.record(
            facts.VersionJudged(
                service=SHOP,
                version=version,
                verdict="pass",
                card=self.installation.artifacts.blobs.put(canonical(card)),
            ),
            "It is not worse.",
            f"cycle/{cycle}",
            at,
        )
        self.move(cycle, "judge", "evaluated", "judged", at)

    def move(self, cycle: CycleId, move: str, before: str, after: str, at: int = 0, reason: str = "") -> None:
        fact = facts.CycleMoved(service=SHOP, cycle=cycle, move=move, before=before, after=after)
        self.record(fact, reason, f"cycle/{cycle}", at)

    def begin_rollout(self, version: VersionId, ordinal: int, champion: VersionId | None, at: int) -> RolloutId:
        rollout = RolloutId(f"{SHOP}/r{ordinal}")
        self.record(
            facts.RolloutBegun(
                service=SHOP,
                rollout=rollout,
                version=version,
                champion=champion,
                steps=(1.0,) if champion is None else SPEC.rollout.steps,
                cycle=CycleId(f"{SHOP}/c{ordinal}"),
            ),
            at=at,
        )
        self.roll(rollout, version, "prepare", "pending", "preparing", 0.0, at)
        share = 1.0 if champion is None else 0.1
        self.roll(rollout, version, "start", "preparing", "stepping", share, at)
        return rollout

    def roll(
        self,
        rollout: RolloutId,
        version: VersionId,
        move: str,
        before: str,
        after: str,
        share: float,
        at: int,
        reason: str = "",
    ) -> None:
        fact = facts.RolloutMoved(
            service=SHOP, rollout=rollout, version=version, move=move, before=before, after=after, step=0, share=share
        )
        self.record(fact, reason, f"rollout/{rollout}", at)

    def crown(self, version: VersionId, ordinal: int, champion: VersionId | None, at: int, reason: str) -> None:
        """A whole rollout, to its promotion."""
        rollout = self.begin_rollout(version, ordinal, champion, at)
        self.roll(rollout, version, "promote", "stepping", "promoted", 1.0, at, reason)

    def predict(self, number: int, version: VersionId, at: int, *, score: float = 0.5, label: float = 0.0) -> None:
        """An answered request, and its label an hour later."""
        self.log.append(*served(number, version, at, score=score, label=label))

    @contextlib.contextmanager
    def controller(self) -> Iterator[Controller]:
        controller = Controller(
            self.state,
            business_clock(self.state.clock),
            self.ledger,
            Settings(),
            heartbeat_of("controller", "controller"),
        )
        controller.loop.refresh()
        with contextlib.closing(controller.planes.watch):
            yield controller

    def look(self, controller: Controller, at: int) -> Overview:
        """What the page shows at an instant, without letting the loop act."""
        self.clock.advance(Instant(START + at))
        controller.loop.refresh()
        controller.planes.watch.follow(Instant(START + at))
        controller.observer.show(Instant(START + at))
        return controller.observer.board.overview(SHOP)

    def close(self) -> None:
        self.log.close()
        self.ledger.close()


def served(number: int, version: VersionId, at: int, *, score: float, label: float) -> list[Record]:
    moment = Instant(START + at)
    predicted = Predicted(
        id=f"{number:032x}",
        service=SHOP,
        version=version,
        key=f"k{number}",
        at=moment,
        received=moment,
        row=SHOP_ROW,
        vector=SHOP_ROW,
        score=score,
        arm="champion",
        assigned="champion",
        latency_us=500,
    )
    known = Instant(moment + HOUR)
    return [
        predicted,
        Labelled(service=SHOP, prediction=predicted.id, key="", value=label, known=known, received=known),
    ]


def answered_on_trial(number: int, at: int) -> Record:
    predicted, _ = served(number, SECOND, at, score=0.5, label=0.0)
    assert isinstance(predicted, Predicted)
    return msgspec.structs.replace(predicted, arm="canary", assigned="canary")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "state")
    yield world
    world.close()


def test_a_service_that_did_nothing_yet_has_a_page(world: World) -> None:
    world.declare()
    with world.controller() as controller:
        shown = world.look(controller, 0)
    assert shown.champion is None
    assert shown.why == "No version was made yet."
    assert shown.owner == "the shop team"
    assert shown.recipes == ("default", "quick")
    assert (shown.quality, shown.traffic, shown.rollouts) == ((), (), ())
    assert [one.title for one in shown.decisions] == ["declaration put on record"]
    assert shown.ledger is not None
    assert shown.ledger.root == world.ledger.head().root


def test_the_champion_says_since_when_and_why(world: World) -> None:
    world.declare()
    world.build(FIRST, 1)
    world.crown(FIRST, 1, None, HOUR, "Every worker holds it.")
    world.build(SECOND, 2, at=DAY)
    world.crown(SECOND, 2, FIRST, 2 * DAY, "The bound is within the margin.")
    world.installation.route(Route(service=SHOP, champion=SECOND, previous=FIRST))
    with world.controller() as controller:
        shown = world.look(controller, 3 * DAY)
    assert (shown.champion, shown.since, shown.why) == (2, START + 2 * DAY, "The bound is within the margin.")
    assert [(one.ordinal, one.state) for one in shown.versions] == [(2, "champion"), (1, "standby")]
    assert [(one.version, one.share, one.arm) for one in shown.shares] == [(2, 1.0, "champion")]
    titles = [one.title for one in shown.decisions]
    assert titles[:3] == [
        "version 2 promoted",
        "version 2 begins with 10 % of the traffic",
        "version 2 passes the gate",
    ]
    assert "version 1 promoted" in titles
    assert shown.decisions[0].reason == "The bound is within the margin."
    assert [step.state for step in shown.rollouts[0].steps] == ["passed", "passed", "passed"]


def test_a_first_version_that_was_trained_here_is_not_said_to_be_unknown(world: World) -> None:
    world.declare()
    world.build(FIRST, 1)
    world.record(facts.VersionJudged(service=SHOP, version=FIRST, verdict="health only", card=None))
    world.crown(FIRST, 1, None, HOUR, "Every worker holds it.")
    with world.controller() as controller:
        shown = world.look(controller, 2 * HOUR)
    assert shown.why == (
        "Every worker holds it. There was no version to compare it with; its card says how it did on rows that it "
        "never saw."
    )
    assert "version 1 is healthy; there was none to compare it with" in [one.title for one in shown.decisions]
    world.build(SECOND, 2)
    world.record(
        facts.VersionJudged(service=SHOP, version=SECOND, verdict="health only", card=None, evidence={"table": 264.0})
    )
    with world.controller() as controller:
        newest = world.look(controller, 2 * HOUR).decisions[0]
    says = "version 2 is healthy; it is not shown to be worse on rows that it may have been trained on"
    assert newest.title == says


def test_a_rollout_under_way_shows_its_evidence_and_what_it_waits_for(world: World) -> None:
    world.declare()
    world.build(FIRST, 1)
    world.crown(FIRST, 1, None, 0, "First.")
    world.build(SECOND, 2)
    rollout = world.begin_rollout(SECOND, 2, FIRST, HOUR)
    world.installation.route(
        Route(
            service=SHOP,
            champion=FIRST,
            rollout=rollout,
            canary=Arm(version=SECOND, share=0.1, deadline_s=1.0),
            control=Arm(version=FIRST, share=0.1, deadline_s=1.0),
        )
    )
    for number in range(30):
        world.predict(number, FIRST, 2 * HOUR)
    moment = Instant(START + 2 * HOUR)
    failed = Failed(
        id="f" * 32,
        service=SHOP,
        version=SECOND,
        key="x",
        at=moment,
        received=moment,
        arm="canary",
        cause="error",
        detail="KeyError",
        latency_us=100,
    )
    world.log.append(failed)
    with world.controller() as controller:
        world.look(controller, 3 * HOUR)
        record = controller.loop.registry.service(SHOP)
        controller.planes.evidence(SHOP, record.rollouts[rollout], Instant(START + 3 * HOUR))
        before = controller.planes.watch.service(SHOP).trial.standing(rollout)
        shown = world.look(controller, 3 * HOUR)
        assert controller.planes.watch.service(SHOP).trial.standing(rollout) is before
        control = f"control-{FIRST[:10]}-0"
        gone = facts.ProcessExited(process=control, code=1, signal=None, version=FIRST)
        world.record(gone, "No file.", subject=f"process/{control}", at=3 * HOUR)
        controller.loop.refresh()
        lost = world.look(controller, 3 * HOUR).rollouts[0].waiting
        [alone] = look_at(world.state).services
        beat(world.state, msgspec.structs.replace(heartbeat_of(control, "candidate"), ready=(FIRST,)))
        assert world.look(controller, 3 * HOUR).rollouts == shown.rollouts, "it is back"
    absent = "the process of the version that answers, which it is compared with, does not stand (ended once): No file."
    assert lost.startswith(f"It cannot go on without its control arm: {absent}; waiting: ")
    assert (alone.trial is not None and alone.trial.absent, alone.trial and alone.trial.waits) == (absent, lost)
    assert shown.trial
    assert [(one.version, one.arm) for one in shown.shares] == [(1, "champion"), (1, "control"), (2, "canary")]
    assert shown.shares[0].share == pytest.approx(0.8)
    first = shown.rollouts[0]
    assert (first.version, first.against, first.state, first.requests, first.failures) == (2, 1, "canary", 1, 1)
    assert first.waiting.startswith("Waiting: ")
    assert [step.state for step in first.steps] == ["current", "ahead", "ahead"]
    evidence = {one.name: one for one in first.evidence}
    assert evidence["failed on trial"].now == 1.0
    assert evidence["bound on more errors"].tone == "waiting"
    assert evidence["harm by latency, e-value"].limit is None, "latency decides nothing on a story's clock"
    assert [one.state for one in shown.versions] == ["on trial", "champion"]
    [situation] = look_at(world.state).services
    [planned] = plan_record(world.state).services
    assert situation.trial is not None
    assert situation.trial.waits == first.waiting
    assert planned.trial == situation.trial.ordinal
    assert [step.share for step in planned.canary] == [0.1, 0.5]
    assert f"about {planned.canary[0].requests} more canary requests" in first.waiting


def test_a_plan_counts_on_from_where_a_canary_stands(world: World) -> None:
    """A young service: what it has brought in an hour says more than no history, before a canary and in it."""
    world.declare()
    world.build(FIRST, 1)
    world.crown(FIRST, 1, None, 0, "First.")
    for number in range(200):
        world.predict(number, FIRST, HOUR)
    with world.controller() as controller:
        world.look(controller, 2 * HOUR)
        [before] = plan_record(world.state).services
        assert before.trial is None
        world.build(SECOND, 2, at=2 * HOUR)
        rollout = world.begin_rollout(SECOND, 2, FIRST, 2 * HOUR)
        controller.loop.refresh()
        controller.planes.evidence(
            SHOP, controller.loop.registry.service(SHOP).rollouts[rollout], Instant(START + 2 * HOUR)
        )
        [at_first] = world.look(controller, 2 * HOUR).rollouts[:1]
        [begun] = plan_record(world.state).services
        world.log.append(*(answered_on_trial(1_000 + number, 2 * HOUR) for number in range(30)))
        world.look(controller, 3 * HOUR)
        controller.planes.evidence(
            SHOP, controller.loop.registry.service(SHOP).rollouts[rollout], Instant(START + 3 * HOUR)
        )
        [later] = world.look(controller, 3 * HOUR).rollouts[:1]
        [after] = plan_record(world.state).services
    assert [step.requests for step in begun.canary] == [step.requests for step in before.canary]
    assert f"about {begun.canary[0].requests} more canary requests" in at_first.waiting
    assert f"about {after.canary[0].requests} more canary requests" in later.waiting
    assert later.requests == 30
    [look] = read_looks(world.state.reports).values()
    anew = foresee_canary(SPEC.rollout, look.requests_24h, look.pace)
    assert (after.canary[0].requests, anew[0].requests) == (6_802, 6_832)


def test_a_version_that_is_held_says_what_it_waits_for(world: World) -> None:
    world.declare()
    for version, ordinal in ((FIRST, 1), (SECOND, 2)):
        world.build(version, ordinal)
    world.crown(FIRST, 1, None, HOUR, "First.")
    card = world.installation.artifacts.blobs.put(b"{}")
    world.record(facts.VersionJudged(service=SHOP, version=FIRST, verdict="health only", card=card), at=HOUR)
    held = facts.VersionJudged(
        service=SHOP, version=SECOND, verdict="health only", card=card, hold="it answers at another level", again=True
    )
    world.record(held, at=HOUR)
    world.begin_rollout(SECOND, 2, FIRST, 2 * HOUR)
    with world.controller() as controller:
        shown = world.look(controller, DAY)
    [newest, _] = shown.rollouts
    assert shown.minds == ()  # to end it changes nothing for those who ask
    assert "eld without traffic, since it answers at another level: labels decide, or a person" in newest.waiting


def test_a_version_that_a_person_put_into_service_took_one_step(world: World) -> None:
    world.declare()
    for version, ordinal in ((FIRST, 1), (SECOND, 2)):
        world.build(version, ordinal)
        world.crown(version, ordinal, None, ordinal * HOUR, "Every worker holds it.")
    with world.controller() as controller:
        newest, first = world.look(controller, DAY).rollouts
    assert [[(step.share, step.note) for step in one.steps] for one in (first, newest)] == [
        [(1.0, "the first version")],
        [(1.0, "at once")],
    ]


def test_what_was_taken_back_or_refused_says_why(world: World) -> None:
    world.declare()
    world.build(FIRST, 1)
    world.crown(FIRST, 1, None, 0, "First.")
    for version, ordinal in ((SECOND, 2), (THIRD, 3)):
        world.build(version, ordinal, at=DAY)
    rollout = world.begin_rollout(SECOND, 2, FIRST, DAY)
    world.roll(rollout, SECOND, "roll back", "stepping", "rolled_back", 0.0, 2 * DAY, "e-value 312 of 100")
    for version, subject, because in (
        (SECOND, f"rollout/{rollout}", "e-value 312 of 100"),
        (THIRD, f"cycle/{SHOP}/c3", "AUC 0.24"),
    ):
        fingerprint = Fingerprint(model=Digest(version), features=digest_of("f"))
        fact = facts.VersionRefused(service=SHOP, version=version, fingerprint=fingerprint, because=because)
        world.record(fact, because, subject, 2 * DAY)
    with world.controller() as controller:
        shown = world.look(controller, 3 * DAY)
    assert [(one.state, one.reason) for one in shown.versions[:2]] == [
        ("refused", "AUC 0.24"),
        ("rolled back", "e-value 312 of 100"),
    ]
    titles = [one.title for one in shown.decisions]
    assert titles[:2] == ["version 3 refused by the gate", "version 2 rolled back"]
    assert shown.rollouts[0].reason == "E-value 312 of 100."
    assert shown.rollouts[0].steps[0].state == "failed"


def test_quality_is_told_by_the_day_on_the_rows_that_both_have_scored(world: World) -> None:
    world.declare()
    world.build(FIRST, 1)
    world.crown(FIRST, 1, None, 0, "First.")
    for number in range(200):
        world.predict(
            number,
            FIRST,
            (number // 100) * DAY + number * 60_000_000,
            score=0.2 + 0.6 * (number % 2),
            label=float(number % 2),
        )
    with world.controller() as controller:
        shown = world.look(controller, 3 * DAY)
        auc, loss = shown.quality
        assert (auc.name, auc.champion, auc.reference, auc.labels) == ("AUC", 1.0, None, 200)
        assert (loss.name, loss.better) == ("log loss", "lower")
        performance = controller.planes.watch.service(SHOP).performance
        positions, _ = performance.unscored()
        performance.scored(positions[:100], [0.5] * 100)
        auc = world.look(controller, 4 * DAY).quality[0]
    assert [point.labels for point in auc.points] == [100, 100]
    assert [(point.champion, point.reference) for point in auc.points] == [(1.0, 0.5), (1.0, None)]
    assert (auc.champion, auc.reference, auc.labels) == (1.0, 0.5, 100)
    assert sum(sum(point.answered.values()) for point in shown.traffic) == 200


def test_labels_that_nobody_declared_show_quality_by_the_hour_and_outlive_a_restart(world: World) -> None:
    world.declare(msgspec.structs.replace(SPEC, label=None, sources=(), recipes={}))
    world.build(FIRST, 1)
    world.crown(FIRST, 1, None, 0, "First.")
    told = [served(number, FIRST, number * HOUR, score=0.2 + 0.2 * number, label=number % 2) for number in range(4)]
    for predicted, _ in told:
        world.log.append(predicted)
    with world.controller() as controller:
        shown = world.look(controller, 5 * HOUR)
        assert (shown.undeclared, shown.quality) == (True, ())
        controller.planes.watch.remember()
    world.log.append(*(label for _, label in told[1:]))
    with world.controller() as controller:
        auc, _ = world.look(controller, 6 * HOUR).quality
        assert [(point.at, point.labels) for point in auc.points] == [(START + hour * HOUR, 1) for hour in (1, 2, 3)]
        assert (auc.labels, auc.champion, auc.reference) == (3, 0.5, None)
        world.log.append(told[0][1])
        auc, _ = world.look(controller, 3 * DAY).quality
    assert [(point.labels, point.width) for point in auc.points] == [(4, DAY)]


def test_years_are_shown_by_days_and_weeks(world: World) -> None:
    world.declare()
    world.build(FIRST, 1)
    world.crown(FIRST, 1, None, 0, "First.")
    for day in range(60):
        world.predict(day, FIRST, day * DAY, score=0.3, label=float(day % 2))
    with world.controller() as controller:
        shown = world.look(controller, 60 * DAY)
        assert len(shown.traffic) == 60
        assert [point.labels for point in shown.quality[0].points] == [7, 7, 7, 7, 7, 7, 7, 7, 4]
        world.predict(1000, FIRST, 60 * DAY, score=0.3, label=1.0)
        shown = world.look(controller, 61 * DAY)
    assert sum(sum(point.answered.values()) for point in shown.traffic) == 61
    assert shown.quality[0].points[-1].labels == 5


def test_counters_processes_and_a_story_are_shown(world: World) -> None:
    world.declare()
    world.build(FIRST, 1)
    world.crown(FIRST, 1, None, 0, "First.")
    counted = Statistics(world.state.path / "serving" / "statistics", "w0")
    counted.answered(Label(SHOP, FIRST), 1, 700)
    counted.responded(SHOP, 500)
    beat(world.state, heartbeat_of("w0", "worker"))
    dead = msgspec.structs.replace(heartbeat_of("w1", "worker"), started="long ago")
    beat(world.state, dead)
    world.record(facts.StoryMarked(mark="begun", figures={"ends": float(START + 10 * DAY)}), at=0)
    with world.controller() as controller:
        shown = world.look(controller, 5 * DAY)
        assert "evertrain_responses_total" in controller.observer.board.metrics()
    assert (shown.requests.answered, shown.requests.failed) == (1, 1)
    assert [(one.version, one.arm, one.requests) for one in shown.latency] == [(1, "champion", 1)]
    assert {(one.name, one.state, one.tone) for one in shown.processes} == {
        ("w0", "ready", "good"),
        ("w1", "ended", "bad"),
    }
    assert shown.story is not None
    assert shown.story.done == 0.5


def test_a_source_is_late_by_what_its_report_knows(world: World) -> None:
    world.declare()
    told = {"newest": START, "arrived": START, "rows": 10, "quarantined": 2, "files_quarantined": 0, "pending": 3}
    report = [{"source": "orders", **told, "fresh_within": HOUR, "owner": "sales"}]
    (world.state.reports / "sources.json").write_bytes(msgspec.json.encode(report))
    refused = facts.FileQuarantined(source=SourceName("orders"), file="a.csv", digest=digest_of("a"), because="no key")
    world.record(refused, subject="source/orders")
    with world.controller() as controller:
        beat(world.state, msgspec.structs.replace(heartbeat_of("data", "data"), settled=Instant(START + HOUR)))
        [source] = world.look(controller, 3 * HOUR).sources
        assert (source.rows, source.quarantined, source.tone) == (13, 2, "good")
        assert source.reason == "a.csv was set aside: no key"
        beat(world.state, msgspec.structs.replace(heartbeat_of("data", "data"), settled=Instant(START + 3 * HOUR)))
        [source] = world.look(controller, 3 * HOUR).sources
    assert (source.tone, source.owner) == ("watch", "sales")


def test_the_ledger_is_said_to_hold_together_when_it_was_read_whole(world: World) -> None:
    world.declare()
    with world.controller() as controller:
        controller.observer.verification.check()
        shown = world.look(controller, HOUR).ledger
    assert shown is not None
    assert (shown.verified, shown.checked) == (True, START)


def test_a_card_is_found_by_ordinal_and_by_the_beginning_of_its_id(world: World) -> None:
    world.declare()
    world.build(FIRST, 1)
    with world.controller() as controller:
        assert controller.observer.board.card(SHOP, "1") == controller.observer.board.card(SHOP, FIRST[:12])
        with pytest.raises(NotFoundError, match="There are versions 1"):
            controller.observer.board.card(SHOP, "7")


def test_an_order_of_the_page_is_on_record_with_its_words(world: World) -> None:
    world.declare()
    world.build(FIRST, 1)
    world.crown(FIRST, 1, None, 0, "First.")
    world.build(SECOND, 2)
    with world.controller() as controller:
        world.look(controller, DAY)
        actions = OrderedActions(world.state, world.ledger, controller.observer.board)
        accepted = actions.promote(SHOP, "2", "The buyers asked for it.")
        order = world.ledger.read(after=accepted.sequence - 1)[0].fact
        assert isinstance(order, facts.OrderGiven)
        assert (order.verb, order.version) == ("promote", SECOND)
        assert actions.retrain(SHOP, "", "New season.").sequence == accepted.sequence + 1
        shown = world.look(controller, DAY)
        assert [(one.title, one.reason) for one in shown.decisions[:2]] == [
            ("retraining ordered", "“New season.”"),
            ("promotion of version 2 ordered", "“The buyers asked for it.”"),
        ]
        assert accepted.sequence in controller.loop.registry.service(SHOP).orders
        with pytest.raises(UserError, match="Version 1 of shop serves already"):
            actions.promote(SHOP, "1", "again")
        with pytest.raises(NotFoundError, match="There are versions 1, 2"):
            actions.promote(SHOP, "9", "which")
        with pytest.raises(UserError, match="Known are: default, quick"):
            actions.retrain(SHOP, "slow", "why not")


def test_a_fault_of_the_page_never_stops_the_loop(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.declare()
    with world.controller() as controller:
        world.look(controller, 0)
        world.record(facts.OrderGiven(service=SHOP, verb="rollback", role="operator", words=digest_of("erased")))
        assert world.look(controller, 0).decisions[0].reason == "“(erased)”"
        (world.state.path / "serving" / "statistics").write_bytes(b"in the way")
        (world.state.reports / "sources.json").write_bytes(b"{")
        controller.observer.look(START)
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


def test_the_control_door_answers_beside_a_running_controller(world: World) -> None:
    world.declare()
    with world.controller() as controller:
        world.look(controller, 0)
        actions = OrderedActions(world.state, world.ledger, controller.observer.board)
        bearer = {"authorization": f"Bearer {token('control', world.state.keys)}"}
        with Doorway("127.0.0.1", 0, controller.observer.board, actions, token("control", world.state.keys)) as door:
            until(lambda: door.address is not None)
            assert door.address is not None
            with httpx.Client(base_url=door.address, headers=bearer, timeout=60) as client:
                until(lambda: client.get("/health/live").status_code == 200)
                assert client.get(f"/api/services/{SHOP}/overview").json()["service"] == SHOP
                said = client.post(f"/api/services/{SHOP}/retrain", json={"reason": "because"})
                assert said.status_code == 202
                assert client.get("/metrics").text.startswith("# HELP evertrain_responses_total")
                assert client.get("/api/services/none/overview").status_code == 404
        assert not [one for one in threading.enumerate() if one.name == "control-door"]


def test_a_busy_control_port_is_named_and_tried_again(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.declare()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OccupiedError, match=f"The control port {port} on 127.0.0.1 is in use by process"):
            listen("127.0.0.1", port)
        with world.controller() as controller:
            actions = OrderedActions(world.state, world.ledger, controller.observer.board)
            with Doorway("127.0.0.1", port, controller.observer.board, actions, "t" * 40):
                until(lambda: f"control port {port}" in caplog.text)
                controller.observer.show(START)
