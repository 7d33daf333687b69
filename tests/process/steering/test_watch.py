"""What the controller makes of the log: each prediction counts once, whoever logged it how often."""

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import ArmName, Failed, Predicted
from evertrain.core.time import DAY, Instant
from evertrain.monitor.performance import Performance
from evertrain.monitor.unfamiliar import Unfamiliar
from evertrain.process.steering.watch import ServiceWatch

SHOP, VERSION = ServiceName("shop"), VersionId("v")


def predicted(number: int) -> Predicted:
    return Predicted(
        id=f"{number}",
        service=SHOP,
        version=VERSION,
        key=f"k{number}",
        at=Instant(number),
        received=Instant(0),
        row=(),
        vector=(),
        score=0.5,
        arm="champion",
        assigned="canary",
        latency_us=1,
    )


def failed(number: int, arm: ArmName = "canary") -> Failed:
    return Failed(
        id=f"{number}",
        service=SHOP,
        version=VERSION,
        key=f"k{number}",
        at=Instant(number),
        received=Instant(0),
        arm=arm,
        cause="error",
        detail="",
        latency_us=1,
    )


def test_a_request_that_was_sent_again_because_its_worker_died_counts_once() -> None:
    watch = ServiceWatch(Performance(lambda _, at: at), Unfamiliar(lambda _: ()), labelled=True)
    watch.fold([failed(1), predicted(1), failed(1), predicted(1), predicted(2)])
    watch.fold([predicted(2), predicted(3)])
    assert len(watch.performance) == 3
    assert watch.answered == {Instant(0): {VERSION: 3}}
    assert watch.failed == {Instant(0): {VERSION: 1}}
    assert watch.trial.requests_24h(Instant(DAY)) == 3


def test_an_answer_that_came_after_a_failure_counts_beside_it() -> None:
    watch = ServiceWatch(Performance(lambda _, at: at), Unfamiliar(lambda _: ()), labelled=True)
    watch.fold([failed(1, "champion")])
    watch.fold([predicted(1)])
    assert watch.answered == watch.failed == {Instant(0): {VERSION: 1}}
