"""What is told of a version: of its health alone, before labels and after, and of the end of its rollout, once."""

from evertrain.core import event as facts
from evertrain.core.event import Event
from evertrain.core.identity import CycleId, RolloutId, VersionId
from evertrain.core.time import Instant
from evertrain.process.view.chronicle import Chronicle
from evertrain.testing.installation import SHOP

FILE = VersionId("3f" * 32)


def chronicle_of(*told: facts.Fact, reason: str) -> Chronicle:
    chronicle = Chronicle(lambda _: "")
    for number, fact in enumerate(told):
        chronicle.fold(
            Event(sequence=number, id=str(number), at=Instant(0), actor="loop", subject="", reason=reason, fact=fact)
        )
    return chronicle


def titles(chronicle: Chronicle) -> list[str]:
    """The oldest first."""
    return [decision.title for decision in reversed(chronicle.decisions(SHOP))]


def moved(move: str, before: str, after: str, *, step: int = 0, share: float = 0.0) -> facts.RolloutMoved:
    return facts.RolloutMoved(
        service=SHOP,
        rollout=RolloutId("shop/r1"),
        version=FILE,
        move=move,
        before=before,
        after=after,
        step=step,
        share=share,
    )


def test_labels_say_what_health_alone_did_not() -> None:
    judged = facts.VersionJudged(service=SHOP, version=FILE, verdict="health only", card=None)
    chronicle = chronicle_of(judged, moved("promote", "stepping", "promoted", share=1.0), reason="It loads.")
    assert chronicle.crowning(FILE) == "It loads. Health only: nothing is known of its quality."
    says = "It came in on its health alone; 49,047 labels since then say how good the answers are."
    assert chronicle.crowning(FILE, 49_047) == f"It loads. {says}"


def test_a_file_that_never_got_a_request_is_refused_and_not_rolled_back() -> None:
    told = [
        moved("roll back", before, "rolled back", step=step) for before, step in (("preparing", -1), ("stepping", 0))
    ]
    first, after = titles(chronicle_of(*told, reason="No."))
    assert first.endswith(" refused before it answered a request")
    assert after.endswith(" rolled back")


def test_a_rollout_that_a_person_ends_is_told_once() -> None:
    of_it, another = (
        facts.CycleMoved(
            service=SHOP, cycle=CycleId(f"shop/c{number}"), move="supersede", before=before, after="superseded"
        )
        for number, before in ((1, "rolling_out"), (2, "inconclusive"))
    )
    told = chronicle_of(moved("abort", "stepping", "aborted"), of_it, another, reason="A person took it back.")
    ended, gave_way = titles(told)
    assert ended.startswith("rollout of ")
    assert gave_way == "cycle c2 superseded"
