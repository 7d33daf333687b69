"""What the controller makes of the log: each prediction counts once, whoever logged it how often."""

from contextlib import closing
from pathlib import Path

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import ArmName, Failed, Predicted
from evertrain.core.time import DAY, Instant
from evertrain.monitor.performance import Performance
from evertrain.monitor.unfamiliar import Unfamiliar
from evertrain.process.steering.watch import ServiceWatch, Watch
from evertrain.store.installation import install
from evertrain.store.log import LogWriter

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


def test_damage_in_the_log_stops_nothing_and_what_is_restored_counts_once_after_a_restart(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(0))
    for numbers in (range(20), range(20, 25)):
        with closing(LogWriter(state.log, "w0", segment_bytes=1 << 16)) as log:
            log.append(*map(predicted, numbers))
    path = state.log / "w0" / f"{0:012d}.seg"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    def followed() -> int:
        with closing(Watch(state, lambda _: None, lambda _: (), paced=False)) as watch:
            read = watch.follow(Instant(1)) + watch.follow(Instant(2))
            watch.remember()
        return read

    there = followed()
    assert 5 < there < 25
    path.write_bytes(whole)
    assert (followed(), followed()) == (25 - there, 0)
