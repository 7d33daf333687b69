"""What is told of a version: of its health alone, before labels and after, and of the end of its rollout, once."""

from evertrain.core import event as facts
from evertrain.core.event import Event
from evertrain.core.identity import CycleId, RolloutId, VersionId
from evertrain.core.time import Instant
from evertrain.process.view.chronicle import Chronicle
from evertrain.testing.installation import SHOP

FILE = VersionId("3f" * 32)


def test_labels_say_what_health_alone_did_not() -> None:
    chronicle = Chronicle(lambda _: "")
    moved = facts.RolloutMoved(
        service=SHOP,
        rollout=RolloutId("shop/r1"),
        version=FILE,
        move="promote",
        before="stepping",
        after="promoted",
        step=0,
        share=1.0,
    )
    judged = facts.VersionJudged(service=SHOP, version=FILE, verdict="health only", card=None)
    told: tuple[facts.Fact, ...] = (judged, moved)
    for number, fact in enumerate(told):
        chronicle.fold(
            Event(
                sequence=number, id=str(number), at=Instant(0), actor="loop", subject="", reason="It loads.", fact=fact
            )
        )
    assert chronicle.crowning(FILE) == "It loads. Health only: nothing is known of its quality."
    says = "It came in on its health alone; 49,047 labels since then say how good the answers are."
    assert chronicle.crowning(FILE, 49_047) == f"It loads. {says}"


def test_a_file_that_never_got_a_request_is_refused_and_not_rolled_back() -> None:
    chronicle = Chronicle(lambda _: "")
    for number, (before, step) in enumerate((("preparing", -1), ("stepping", 0))):
        moved = facts.RolloutMoved(
            service=SHOP,
            rollout=RolloutId("shop/r1"),
            version=FILE,
            move="roll back",
            before=before,
            after="rolled back",
            step=step,
            share=0.0,
        )
        chronicle.fold(
            Event(sequence=number, id=str(number), at=Instant(0), actor="loop", subject="", reason="No.", fact=moved)
        )
    after, first = (decision.title for decision in chronicle.decisions(SHOP))
    assert first.endswith(" refused before it answered a request")
    assert after.endswith(" rolled back")


def test_a_rollout_that_a_person_ends_is_told_once() -> None:
    chronicle = Chronicle(lambda _: "")
    ended = facts.RolloutMoved(
        service=SHOP,
        rollout=RolloutId("shop/r1"),
        version=FILE,
        move="abort",
        before="stepping",
        after="aborted",
        step=0,
        share=0.0,
    )
    of_it, another = (
        facts.CycleMoved(
            service=SHOP, cycle=CycleId(f"shop/c{number}"), move="supersede", before=before, after="superseded"
        )
        for number, before in ((1, "rolling_out"), (2, "inconclusive"))
    )
    told: tuple[facts.Fact, ...] = (ended, of_it, another)
    for number, fact in enumerate(told):
        chronicle.fold(
            Event(
                sequence=number, id=str(number), at=Instant(0), actor="loop", subject="", reason="A person.", fact=fact
            )
        )
    gave_way, end = (decision.title for decision in chronicle.decisions(SHOP))
    assert end.startswith("rollout of ")
    assert gave_way == "cycle c2 superseded"
