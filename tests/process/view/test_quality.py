"""Quality over time, of a service that answers with classes."""

import math

import pytest

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.time import HOUR, Instant
from evertrain.monitor.performance import Performance
from evertrain.process.view.quality import QualityHistory

SERVICE = ServiceName("trips")


def answered(number: int, scores: tuple[float, ...]) -> Predicted:
    return Predicted(
        id=f"p{number}",
        service=SERVICE,
        version=VersionId("v1"),
        key="",
        at=Instant(0),
        received=Instant(0),
        row=(),
        vector=(1.0,),
        score=max(scores),
        arm="champion",
        assigned="champion",
        latency_us=1,
        scores=scores,
    )


def test_accuracy_and_log_loss_of_classes_are_shown_on_the_rows_that_both_have_scored() -> None:
    seen = Performance(lambda _, at: at)
    for number, scores in enumerate([(0.25, 0.5, 0.25), (0.125, 0.125, 0.75)]):
        seen.predicted(answered(number, scores))
        seen.labelled(
            Labelled(service=SERVICE, prediction=f"p{number}", key="", value=1.0, known=Instant(0), received=Instant(0))
        )
    positions, _ = seen.unscored()
    seen.scored(positions[:1], [(0.5, 0.25, 0.25)])
    shown = QualityHistory(("accuracy", "log_loss")).show(seen, Instant(0), Instant(3 * HOUR))
    assert [(one.name, one.better, one.labels, one.champion, one.reference) for one in shown] == [
        ("accuracy", "higher", 1, 1.0, 0.0),
        ("log loss", "lower", 1, pytest.approx(math.log(2)), pytest.approx(math.log(4))),
    ]
