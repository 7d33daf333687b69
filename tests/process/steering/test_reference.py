"""Scores of the reference version: the loop does not wait for a model, and takes them up when they are there."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.time import Instant
from evertrain.core.trial import Ask, Score, Scores
from evertrain.monitor.performance import Performance
from evertrain.process.steering.reference import ReferenceScoring
from evertrain.process.worker.listening import Listening
from evertrain.store.installation import install
from evertrain.testing.installation import BEGIN
from evertrain.testing.tree import wait_until

SHOP, ANCHOR = ServiceName("shop"), VersionId("a" * 64)


def answered(number: int) -> Predicted:
    return Predicted(
        id=str(number),
        service=SHOP,
        version=VersionId("v"),
        key="",
        at=Instant(number),
        received=Instant(number),
        row=(),
        vector=(float(number),),
        score=0.5,
        arm="champion",
        assigned="champion",
        latency_us=1,
    )


def references(performance: Performance) -> list[float]:
    """The reference's scores of what has a label, NaN where there is none yet."""
    found: list[float] = performance.cohort(Instant(0), Instant(10)).reference.tolist()
    return found


def test_a_model_that_takes_its_time_holds_nobody_up(tmp_path: Path) -> None:
    state, performance = install(tmp_path / "state", BEGIN), Performance(lambda _, at: at)
    asked, may = threading.Event(), threading.Event()

    def score(ask: Ask, _: Callable[[], bool]) -> Scores:
        assert isinstance(ask, Score)
        asked.set()
        may.wait(120)
        return Scores(ok=True, scores=tuple(float(vector[0] or 0) / 10 for vector in ask.vectors))

    def see(number: int) -> None:
        performance.predicted(answered(number))
        label = Labelled(service=SHOP, prediction=str(number), key="", value=1.0, known=Instant(1), received=Instant(1))
        performance.labelled(label)

    def taken(count: int) -> bool:
        scoring.take_up()
        return int(np.isfinite(references(performance)).sum()) == count

    def asks() -> bool:
        scoring.take_up()
        scoring.begin(SHOP, ANCHOR, performance)
        return asked.is_set()

    scoring = ReferenceScoring(state)
    see(1)
    assert not asks()  # nobody answers: it is not there yet
    with Listening(state.socket(f"reference-{ANCHOR[:10]}-0"), score):
        wait_until(asks)
        see(2)
        scoring.begin(SHOP, ANCHOR, performance)  # one at a time
        assert taken(0)
        may.set()
        wait_until(lambda: taken(1))
        scoring.begin(SHOP, ANCHOR, performance)
        wait_until(lambda: taken(2))
    assert references(performance) == [0.1, 0.2]
