"""What the controller makes of the log: each prediction counts once, whoever logged it how often."""

from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import ArmName, Failed, Predicted
from evertrain.core.time import DAY, SECOND, Instant
from evertrain.monitor.performance import Performance
from evertrain.monitor.unfamiliar import Unfamiliar
from evertrain.process.steering.watch import ServiceWatch, Watch
from evertrain.store.installation import install
from evertrain.store.log import LogWriter
from evertrain.testing.simulation import simulated_service

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


def test_what_an_outage_left_is_folded_piece_by_piece_the_oldest_first_and_each_record_once(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(0))
    for writer in range(3):  # one after the other is the opposite of the order in which they came
        with closing(LogWriter(state.log, f"w{writer}")) as log:
            for number in range(writer, 45_000, 3):
                log.append(msgspec.structs.replace(predicted(number), received=Instant(number * SECOND)))
    seen: list[tuple[int, Instant | None]] = []
    for _ in range(3):  # a controller that ends in the middle goes on where it was
        with closing(Watch(state, lambda _: simulated_service(), lambda _: (), paced=False)) as watch:
            folded = watch.follow_on(Instant(DAY))
            seen.append((folded, watch.known_to))
            watch.remember()
    assert seen == [(20_000, 19_999 * SECOND), (20_000, 39_999 * SECOND), (5_000, None)]
    assert sum(sum(one.values()) for one in watch.service(SHOP).answered.values()) == 45_000


@pytest.mark.parametrize("load", [False, True])
def test_in_a_story_an_hour_is_folded_whole_however_much_is_logged_in_it(tmp_path: Path, load: bool) -> None:
    state = install(tmp_path / "state", Instant(0))
    with closing(LogWriter(state.log, "w0")) as log:
        for number in range(30_000):
            log.append(msgspec.structs.replace(predicted(number), load=load and number > 100))
    with closing(Watch(state, lambda _: simulated_service(), lambda _: (), paced=True)) as watch:
        assert watch.follow(Instant(1)) == (101 if load else 30_000)
        assert not watch.more
