"""What a version is asked about and does not know is counted over the newest rows."""

from collections.abc import Sequence

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Predicted
from evertrain.core.schema import Input, Value
from evertrain.core.time import Instant
from evertrain.monitor.unfamiliar import NEWEST, Unfamiliar, Unknown, expose_unknown, say_absent

VECTORS = {
    "old": (Input(name="amount"), Input(name="device", categories=("phone", "tablet"))),
    "new": (Input(name="amount"), Input(name="device", categories=("phone", "tablet", "watch"))),
    "lost": (),
}


def asked(*vector: Value, version: str = "old") -> Predicted:
    at = Instant(0)
    return Predicted(
        id="p",
        service=ServiceName("shop"),
        version=VersionId(version),
        key="",
        at=at,
        received=at,
        row=vector,
        vector=vector,
        score=0.5,
        arm="champion",
        assigned="champion",
        latency_us=1,
    )


def counted(*records: Predicted) -> tuple[Unknown, ...]:
    unfamiliar = Unfamiliar(lambda version: VECTORS[version], lambda: ("amount", "device"))
    for record in records:
        unfamiliar.see(record)
    return unfamiliar.found()


def test_a_category_that_training_never_saw_is_counted_by_its_column_and_named() -> None:
    found = counted(asked(1.0, "watch"), asked(1.0, "watch"), asked(1.0, "ring"), asked(1.0, "phone"))
    assert found == (Unknown(column="device", rows=3, of=4, example="watch"),)


def test_a_missing_value_is_no_unknown_one_and_a_row_of_nothing_is_told_apart() -> None:
    assert counted(asked(1.0, None), asked(None, "phone")) == ()
    assert counted(asked(None, None), asked(1.0, "phone")) == (Unknown(column="", rows=1, of=2),)


def test_an_empty_text_is_missing_unless_the_training_knew_it() -> None:
    assert counted(asked(1.0, ""), asked(1.0, "phone")) == ()
    assert counted(asked(1.0, " "))[0].example == " "


def test_each_version_is_asked_what_it_knows() -> None:
    assert counted(asked(1.0, "watch", version="new")) == ()
    assert counted(asked(1.0, "watch", version="lost")) == ()


def test_what_few_versions_know_is_remembered_and_that_of_others_read_again() -> None:
    read: list[VersionId] = []

    def vector(version: VersionId) -> Sequence[Input]:
        read.append(version)
        return VECTORS["old"]

    unfamiliar = Unfamiliar(vector)
    for version in ["v0", "v0", *(f"v{number}" for number in range(1, 9)), "v8", "v1", "v0"]:
        unfamiliar.see(asked(1.0, "watch", version=version))
    assert read == [*(f"v{number}" for number in range(9)), "v0"]
    assert unfamiliar.found() == (Unknown(column="device", rows=13, of=13, example="watch"),)


def test_only_the_newest_rows_count() -> None:
    odd, plain = asked(1.0, "ring"), asked(1.0, "phone")
    assert counted(*[odd] * 100, *[plain] * (NEWEST - 100))[0].share == 0.01
    assert counted(*[odd] * 100, *[plain] * (2 * NEWEST)) == ()


def test_a_person_hears_of_it_when_it_is_more_than_an_accident() -> None:
    assert not Unknown(column="device", rows=19, of=100).is_worth_saying
    assert not Unknown(column="device", rows=90, of=10_000).is_worth_saying
    assert Unknown(column="device", rows=100, of=10_000).is_worth_saying


def test_a_column_that_no_row_has_is_named_and_one_that_some_have_is_only_a_figure() -> None:
    rows = [asked(1.0, None) for _ in range(120)]
    found = counted(*rows)
    assert found == (Unknown(column="device", rows=120, of=120, absent=True),)
    assert say_absent(found) == "1 column was in none of the last 120 rows: 'device'"
    assert not say_absent(counted(*rows[:99])), "too few to say so"
    some = counted(*rows, asked(1.0, "phone"))
    assert not say_absent(some)
    exposed = expose_unknown({ServiceName("shop"): some}).splitlines()
    assert exposed[-1].startswith('evertrain_absent_share{service="shop",column="device"} 0.99')
