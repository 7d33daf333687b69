"""Labels that nobody declared: joined by prediction id in any order, with a memory that has a bound."""

from typing import Final

import msgspec
import numpy as np

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.time import Instant
from evertrain.monitor.join import LabelJoin, Unjoined
from evertrain.monitor.performance import Performance

SHOP: Final = ServiceName("shop")
ALL: Final = (Instant(0), Instant(1_000))


def predicted(number: int, score: float = 0.5, *, load: bool = False) -> Predicted:
    return Predicted(
        id=f"p{number}",
        service=SHOP,
        version=VersionId("v"),
        key="",
        at=Instant(number),
        received=Instant(number),
        row=(1.0, "a"),
        vector=(1.0, "a"),
        score=score,
        arm="champion",
        assigned="champion",
        latency_us=1,
        load=load,
    )


def labelled(number: int, value: float) -> Labelled:
    moment = Instant(number + 1)
    return Labelled(service=SHOP, prediction=f"p{number}", key="", value=value, known=moment, received=moment)


def fresh() -> tuple[Performance, LabelJoin]:
    performance = Performance(lambda _, at: at)
    return performance, LabelJoin(performance)


def test_only_what_has_a_label_is_measured_and_the_newest_label_counts() -> None:
    performance, join = fresh()
    for number in range(3):
        join.predicted(predicted(number, score=number / 10))
    join.labelled(labelled(1, 0.0))
    join.labelled(labelled(1, 1.0))
    cohort = performance.cohort(*ALL)
    assert (cohort.label.tolist(), cohort.score.tolist(), cohort.missing) == ([1.0], [0.1], 0)
    assert np.isnan(cohort.reference).all()
    assert performance.unscored() == ([], [])  # nothing waits for a reference that will never score it


def test_labels_of_no_prediction_are_counted_until_it_comes() -> None:
    performance = Performance(lambda _, at: at)
    join = LabelJoin(performance, most=2)
    for number in range(5):
        join.labelled(labelled(number, 1.0))
    assert join.unmatched == 5
    join.predicted(predicted(4))
    assert join.unmatched == 4


def test_a_label_that_was_read_before_its_prediction_waits_for_it() -> None:
    performance, join = fresh()
    join.labelled(labelled(7, 1.0))
    join.labelled(labelled(7, 0.0))
    assert len(performance) == 0
    join.predicted(predicted(7))
    assert performance.cohort(*ALL).label.tolist() == [0.0]
    assert join.unjoined() == Unjoined()


def test_steady_load_is_left_out() -> None:
    performance, join = fresh()
    join.predicted(predicted(1, load=True))
    join.labelled(labelled(1, 1.0))
    assert len(performance) == 0


def test_a_restart_goes_on_with_what_was_not_joined() -> None:
    performance, join = fresh()
    join.predicted(predicted(1))
    join.labelled(labelled(2, 1.0))
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(join.unjoined()), type=Unjoined)
    again = LabelJoin(performance, kept)
    again.predicted(predicted(2))
    again.labelled(labelled(1, 0.0))
    assert performance.cohort(*ALL).label.tolist() == [1.0, 0.0]


def test_memory_has_a_bound_on_both_sides() -> None:
    performance = Performance(lambda _, at: at)
    join = LabelJoin(performance, most=10)
    for number in range(30):
        join.predicted(predicted(number))
        join.labelled(labelled(100 + number, 1.0))
    kept = join.unjoined()
    assert [one.id for one in kept.predictions] == [f"p{number}" for number in range(20, 30)]
    assert [one.prediction for one in kept.labels] == [f"p{number}" for number in range(120, 130)]
    assert all(one.row == one.vector == () for one in kept.predictions)
    join.labelled(labelled(5, 1.0))
    assert len(performance) == 0
