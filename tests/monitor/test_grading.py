"""Labels of a rollout's answers: each example once, by whatever name, also after a restart."""

import msgspec
import pytest

from evertrain.core.identity import RolloutId, ServiceName, VersionId
from evertrain.core.loss import CALIBRATION, Graded
from evertrain.core.prediction import ArmName, Labelled, Predicted, Record
from evertrain.core.time import SECOND, Instant
from evertrain.monitor.grading import Grading
from evertrain.monitor.trial import Trial, TrialSnapshot

SHOP = ServiceName("shop")


def answered(
    id_: str, key: str = "", *, arm: ArmName = "champion", score: float = 0.25, scores: tuple[float, ...] = ()
) -> Predicted:
    return Predicted(
        id=id_,
        service=SHOP,
        version=VersionId("v"),
        key=key,
        at=Instant(SECOND),
        received=Instant(SECOND),
        row=(),
        vector=(),
        score=score,
        arm=arm,
        assigned=arm,
        latency_us=1,
        scores=scores,
    )


def label(value: float, *, prediction: str = "", key: str = "") -> Labelled:
    time = Instant(2 * SECOND)
    return Labelled(service=SHOP, prediction=prediction, key=key, value=value, known=time, received=time)


def graded(*records: Record) -> list[Graded]:
    return list(Grading().grade(records))


@pytest.mark.parametrize("said", [label(1.0, prediction="p1"), label(1.0, key="k1")])
def test_a_label_finds_its_answer_by_id_and_by_key(said: Labelled) -> None:
    assert graded(answered("p1", "k1", arm="canary"), said) == [Graded(True, 0.75)]


def test_an_example_counts_once_however_often_it_is_asked_and_labelled() -> None:
    asked = [answered("p1", "k1"), answered("p2", "k1", arm="canary", score=0.9)]
    labels = [label(1.0, key="k1"), label(0.0, key="k1"), label(1.0, prediction="p1"), label(1.0, prediction="p2")]
    assert graded(*asked, *labels, answered("p3", "k1"), label(1.0, key="k1")) == [Graded(False, 0.75)]


def test_a_label_of_a_class_is_graded_by_its_probability() -> None:
    assert graded(answered("p1", scores=(0.25, 0.75)), label(0.0, prediction="p1")) == [Graded(False, 0.75)]


def test_a_label_that_nobody_waits_for_is_left_out() -> None:
    assert graded(label(1.0, key="k9"), label(1.0, prediction="p9")) == []


def test_answers_are_remembered_across_a_restart() -> None:
    grading = Grading()
    list(grading.grade([answered("p1", "k1"), answered("p2", "k2"), label(1.0, key="k1")]))
    restored = Grading.restore(grading.snapshot())
    assert list(restored.grade([label(1.0, prediction="p1"), label(0.0, prediction="p2")])) == [Graded(False, 0.25)]


def test_a_trial_folds_labels_into_its_tally_and_remembers_who_waits() -> None:
    trial, shares = Trial(), [(Instant(0), 0.5)]
    number = CALIBRATION + 40
    trial.see([answered(f"p{one}", arm="canary" if one % 2 else "control") for one in range(2 * number)])
    trial.tally(RolloutId("r1"), shares)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(trial.snapshot()), type=TrialSnapshot)
    trial = Trial.restore(kept)
    trial.see([label(1.0, prediction=f"p{one}") for one in range(2 * number)])
    losses = trial.tally(RolloutId("r1"), shares).losses
    assert losses.thresholds
    assert losses.canary == losses.rest == 40
    trial.rest()
    trial.see([label(1.0, prediction="p1")])
    assert trial.tally(RolloutId("r2"), shares).losses.first == ()
