"""What `evertrain apply` says of changes; that they hold is shown in journey/test_apply."""

from evertrain.cli.apply import lines_of
from evertrain.core.identity import ServiceName, SourceName
from evertrain.process.declaration.applying import Applied, AppliedService, ReadAgain
from evertrain.process.declaration.change import Change


def said(*changes: Change) -> list[str]:
    one = AppliedService(service=ServiceName("shop"), new=False, changes=changes)
    return list(lines_of(Applied(services=(one,), files=(), taken_up=True, others=())))


def test_one_change_is_one() -> None:
    assert said(Change(part="owner", before="a", after="b", holds="now"))[0] == "shop: 1 change"


def test_parts_that_hold_alike_are_told_by_their_beginning_and_others_by_name() -> None:
    told = said(
        Change(part="gate.margin", before="1", after="2", holds="now"),
        Change(part="gate.hold", before="7d", after="1d", holds="later"),
        Change(part="rollout.alpha", before="1", after="2", holds="soon"),
        Change(part="rollout.steps", before="1", after="2", holds="soon"),
    )
    assert told[5:8] == ["  gate.margin: now", "  gate.hold: later", "  rollout: soon"]


def test_what_is_to_be_looked_at_is_told_with_the_service() -> None:
    one = AppliedService(service=ServiceName("shop"), new=True, changes=(), cautions=("refund: a leak",))
    told = list(lines_of(Applied(services=(one,), files=(), taken_up=True, others=())))
    assert told[1] == "  Look at: refund: a leak"


def test_a_training_that_begins_is_told_with_where_to_watch_it() -> None:
    told = list(lines_of(Applied(services=(), files=(), taken_up=True, others=(), trains=(ServiceName("shop"),))))
    assert told == ["shop: a training begins now: evertrain status --watch"]


def test_what_was_set_aside_is_told_with_what_becomes_of_it() -> None:
    again = ReadAgain(source=SourceName("orders"), rows=1, files=0)
    told = list(lines_of(Applied(services=(), files=(), taken_up=True, others=(), again=(again,))))
    assert told[0].startswith("orders: 1 row and 0 files were set aside by the old rules; they are read again")
