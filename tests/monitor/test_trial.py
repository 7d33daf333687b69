"""How much traffic there is, of an old service and of a young one."""

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Predicted
from evertrain.core.time import DAY, HOUR, MINUTE, SECOND, Instant
from evertrain.monitor.trial import Trial


def answered(received: int) -> Predicted:
    return Predicted(
        id=str(received),
        service=ServiceName("shop"),
        version=VersionId("v"),
        key="",
        at=Instant(received),
        received=Instant(received),
        row=(),
        vector=(),
        score=0.5,
        arm="champion",
        assigned="champion",
        latency_us=1,
    )


def trial(*received: int) -> Trial:
    made = Trial()
    made.see([answered(one) for one in received])
    return made


def test_a_day_of_requests_is_a_day_of_requests() -> None:
    seen = trial(*(number * HOUR for number in range(48)))
    assert seen.requests_24h(Instant(48 * HOUR)) == 24


def test_a_young_service_is_taken_at_the_rate_that_it_shows() -> None:
    seen = trial(*(number * MINUTE for number in range(120)))
    assert seen.requests_24h(Instant(2 * HOUR)) == 120 * 12
    assert trial(*(number * SECOND for number in range(60))).requests_24h(Instant(MINUTE)) == 60
    assert Trial().requests_24h(Instant(HOUR)) == 0


def test_the_pace_is_that_of_the_last_ten_minutes() -> None:
    idle_then_busy = trial(*(number * HOUR for number in range(24)), *(DAY + number * SECOND for number in range(600)))
    assert idle_then_busy.pace(Instant(DAY + 10 * MINUTE)) == 86_400
    assert trial(*(number * HOUR for number in range(48))).pace(Instant(48 * HOUR)) == 24  # too few: those of the day
    assert trial(*range(9)).pace(Instant(MINUTE)) == trial(*range(9)).pace(Instant(DAY)) == 0  # a handful says nothing
    assert trial(*(number * SECOND for number in range(20))).pace(Instant(20 * SECOND)) == 86_400
