"""Cohorts by maturity: nothing immature is counted, late and corrected labels restate."""

import math

import msgspec

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.metric import metric
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.time import DAY, HOUR, Instant
from evertrain.monitor.performance import Performance, Ripening


def prediction(key: str, at: int, score: float = 0.5, *, load: bool = False, version: str = "v1") -> Predicted:
    return Predicted(
        id=f"id-{key}-{at}",
        service=ServiceName("s"),
        version=VersionId(version),
        key=key,
        at=Instant(at),
        received=Instant(at),
        row=(key,),
        vector=(1.0,),
        score=score,
        arm="champion",
        assigned="champion",
        latency_us=1,
        load=load,
    )


def label(key: str, value: float, *, prediction_id: str = "") -> Labelled:
    name = "" if prediction_id else key
    return Labelled(
        service=ServiceName("s"), prediction=prediction_id, key=name, value=value, known=Instant(0), received=Instant(0)
    )


def monitor() -> Performance:
    return Performance(lambda row, at: Instant(at + HOUR))


def test_only_mature_predictions_are_counted_and_the_missing_are_said() -> None:
    seen = monitor()
    for hour, key in enumerate(["a", "b", "c"]):
        seen.predicted(prediction(key, hour * HOUR))
    seen.labelled(label("a", 1.0))
    seen.labelled(label("c", 0.0))
    cohort = seen.cohort(Instant(0), Instant(3 * HOUR))
    assert cohort.label.tolist() == [1.0]
    assert cohort.missing == 1
    assert seen.mature_rows(Instant(0), Instant(3 * HOUR)) == 1


def test_what_is_asked_long_after_its_time_matures_when_it_is_answered() -> None:
    seen = monitor()
    seen.predicted(msgspec.structs.replace(prediction("a", 0), received=Instant(9 * HOUR)))
    seen.labelled(label("a", 1.0))
    assert seen.mature_rows(Instant(0), Instant(9 * HOUR)) == 0
    assert seen.mature_rows(Instant(9 * HOUR), Instant(10 * HOUR)) == 1


def test_labels_ripen_by_what_is_on_record_and_by_no_clock() -> None:
    seen = monitor()
    assert seen.ripening() == Ripening()
    for key, hour in (("a", 0), ("b", 5)):
        seen.predicted(prediction(key, hour * HOUR))
        seen.labelled(label(key, 1.0))
    first = seen.ripening()
    assert first == Ripening(certain=1, early=1, next=Instant(6 * HOUR))
    assert seen.certain() == 1
    restored = Performance.restore(seen.snapshot(), lambda row, at: Instant(at + HOUR))
    assert restored.ripening() == first
    seen.predicted(prediction("c", 50 * HOUR))
    assert seen.ripening() == Ripening(certain=2, early=0)


def test_a_label_may_come_before_its_prediction_twice_or_by_id() -> None:
    seen = monitor()
    assert not seen.labelled(label("a", 1.0))
    seen.predicted(prediction("a", 0))
    assert seen.joined() == 1
    seen.labelled(label("a", 0.0))
    seen.labelled(label("", 1.0, prediction_id="id-a-0"))
    assert seen.cohort(Instant(0), Instant(2 * HOUR)).label.tolist() == [1.0]
    assert seen.joined() == 1


def test_steady_load_and_a_second_request_for_a_key_are_left_out() -> None:
    seen = monitor()
    seen.predicted(prediction("a", 0, 0.1))
    seen.predicted(prediction("a", 1, 0.9))
    seen.predicted(prediction("b", 2, load=True))
    seen.labelled(label("a", 1.0))
    assert seen.cohort(Instant(0), Instant(2 * HOUR)).score.tolist() == [0.1]


def test_the_reference_version_scores_each_row_once() -> None:
    seen = monitor()
    seen.predicted(prediction("a", 0))
    seen.labelled(label("a", 1.0))
    assert math.isnan(seen.cohort(Instant(0), Instant(2 * HOUR)).reference[0])
    positions, vectors = seen.unscored()
    assert vectors == [(1.0,)]
    seen.scored(positions, [0.25])
    assert seen.unscored() == ([], [])
    assert seen.cohort(Instant(0), Instant(2 * HOUR)).reference.tolist() == [0.25]


def test_a_restored_monitor_goes_on_where_it_was() -> None:
    seen = monitor()
    seen.predicted(prediction("a", 0, version="v1"))
    seen.predicted(prediction("b", 1, version="v2"))
    seen.labelled(label("z", 1.0))
    seen.labelled(label("b", 1.0))
    again = Performance.restore(seen.snapshot(), lambda row, at: Instant(at + HOUR))
    again.labelled(label("a", 0.0))
    again.predicted(prediction("z", 2))
    assert again.cohort(Instant(0), Instant(2 * HOUR)).label.tolist() == [0.0, 1.0, 1.0]
    assert again.cohort(Instant(0), Instant(2 * HOUR), VersionId("v2")).label.tolist() == [1.0]


def test_probabilities_of_classes_are_kept_and_compared_whole() -> None:
    seen = monitor()
    for key, scores in (("a", (0.25, 0.5, 0.25)), ("b", (0.125, 0.125, 0.75))):
        seen.predicted(msgspec.structs.replace(prediction(key, 0, max(scores)), scores=scores))
        seen.labelled(label(key, 1.0))
    positions, _ = seen.unscored()
    seen.scored(positions[:1], [(0.5, 0.25, 0.25)])
    for one in (seen, Performance.restore(seen.snapshot(), lambda _, at: at)):
        cohort = one.cohort(Instant(0), Instant(2 * HOUR))
        assert cohort.score.tolist() == [[0.25, 0.5, 0.25], [0.125, 0.125, 0.75]]
        assert cohort.compared.tolist() == [True, False]
        assert metric("accuracy", cohort.label, cohort.score) == 0.5


def test_only_labels_that_are_mature_and_of_later_requests_are_scored_again() -> None:
    seen = monitor()
    for key, hour in (("d", 4), ("a", 1), ("b", 2), ("c", 3), ("e", 8)):
        seen.predicted(prediction(key, hour * HOUR))
        if key != "c":
            seen.labelled(label(key, 1.0))
    since, now = Instant(1 * HOUR), Instant(5 * HOUR)
    assert seen.matured(since, now) == 2  # not a, which was there before; c has no label, and e is not mature
    found = seen.logged_labels(since, now, most=10)
    assert found.ids == (f"id-b-{2 * HOUR}", f"id-d-{4 * HOUR}")
    assert (found.at, found.label) == ((2 * HOUR, 4 * HOUR), (1.0, 1.0))
    assert seen.logged_labels(since, now, most=1).ids == (f"id-d-{4 * HOUR}",)


def test_what_matured_long_ago_gives_way_to_what_comes_and_stays_counted() -> None:
    seen = Performance(lambda row, at: Instant(at + HOUR), most=8)
    for day in range(300):
        seen.predicted(prediction(f"k{day}", day * DAY, day / 300))
        seen.labelled(label(f"k{day}", 1.0))
        assert len(seen) <= 28 + 1 + 8 // 8  # the patience in days, and what comes before it is looked at again
    assert (seen.joined(), seen.certain()) == (300, 299)
    assert "k0" not in seen
    assert "id-k299-" + str(299 * DAY) in seen
    assert seen.mature_rows(Instant(10 * DAY), Instant(290 * DAY)) == 280
    cohort = seen.cohort(Instant(290 * DAY), Instant(299 * DAY))
    assert cohort.score.tolist() == [day / 300 for day in range(290, 299)]
    seen.labelled(label("k280", 0.0))  # corrected, and known by where it stands now
    assert seen.cohort(Instant(280 * DAY), Instant(281 * DAY)).label.tolist() == [0.0]
    again = Performance.restore(seen.snapshot(), lambda row, at: Instant(at + HOUR))
    again.labelled(label("k281", 0.0))
    assert again.cohort(Instant(280 * DAY), Instant(282 * DAY)).label.tolist() == [0.0, 0.0]
    assert (again.joined(), again.certain()) == (300, 299)
    again.predicted(prediction("new", 301 * DAY))
    assert again.unscored()[0][-1] == 300  # numbered after all that ever were


def test_nothing_is_forgotten_before_its_label_can_have_come() -> None:
    seen = Performance(lambda row, at: Instant(at + 90 * DAY), most=4)
    for day in range(60):
        seen.predicted(prediction(f"k{day}", day * DAY))
    for day in range(60):
        assert seen.labelled(label(f"k{day}", 1.0))
    assert seen.joined() == 60


def test_a_score_of_the_reference_that_comes_for_a_forgotten_prediction_is_left_out() -> None:
    seen = Performance(lambda row, at: at, most=2)
    for day in (0, 1):
        seen.predicted(prediction(f"k{day}", day * DAY))
    positions, _ = seen.unscored()
    for day in (99, 100, 101):
        seen.predicted(prediction(f"k{day}", day * DAY))
    seen.scored([*positions, seen.unscored()[0][0]], [0.1, 0.2, 0.3])
    for day in (0, 1, 99, 100, 101):
        seen.labelled(label(f"k{day}", 1.0))
    found = seen.cohort(Instant(0), Instant(102 * DAY))
    assert found.reference.tolist()[:1] == [0.3]
    assert (len(found.reference), found.compared.tolist().count(True)) == (3, 1)


def test_labels_of_what_is_never_asked_wait_for_their_predictions_only_so_long() -> None:
    seen = Performance(lambda row, at: at, waiting=2)
    for key in ("a", "b", "a", "c"):
        seen.labelled(label(key, 1.0))
    for key in ("a", "b", "c"):
        seen.predicted(prediction(key, 0))
    assert seen.joined() == 2  # of b there is none: a came again after it
