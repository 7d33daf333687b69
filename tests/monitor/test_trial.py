"""How much traffic there is, of an old service and of a young one."""

import msgspec
import pytest

from evertrain.core.canary import accepted_harm, assess
from evertrain.core.evidence import Outcome, Tally
from evertrain.core.identity import RolloutId, ServiceName, VersionId
from evertrain.core.policy import CanarySpec
from evertrain.core.prediction import ArmName, Failed, Predicted
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
    hurried = trial(*(number * SECOND for number in range(60)))
    assert hurried.requests_24h(Instant(MINUTE)) == 60 * 144  # a minute is no rate: it counts as ten
    assert hurried.requests_24h(Instant(HOUR)) == 60 * 24
    assert Trial().requests_24h(Instant(HOUR)) == 0


def test_the_rows_of_a_batch_are_one_request() -> None:
    made, rows = Trial(), [msgspec.structs.replace(answered(1), batch="b") for _ in range(5)]
    made.see(rows)
    made.see([*rows, answered(2)])
    assert made.requests_24h(Instant(2 * DAY)) == 0
    assert made.requests_24h(Instant(DAY + 1)) == 2


def test_a_quiet_past_foretells_no_quiet_day() -> None:
    one_look_long_ago = trial(0, *(20 * HOUR + number * SECOND for number in range(600)))
    now = Instant(20 * HOUR + 10 * MINUTE)
    assert one_look_long_ago.requests_24h(now) < 800
    assert one_look_long_ago.foreseen(now) == 86_400
    assert one_look_long_ago.foreseen(Instant(now + HOUR)) == one_look_long_ago.requests_24h(Instant(now + HOUR))


@pytest.mark.parametrize("a_minute", [10, 40, 400])
def test_a_young_service_is_no_licence(a_minute: int) -> None:
    """Whatever its age when a step is admitted, a day of the next one costs no more failures than are accepted."""
    spec, life, tally = CanarySpec(), Trial(), Tally.start(0.01)
    for minute in range(13 * 60):
        asked = range(minute * a_minute, (minute + 1) * a_minute)
        life.see([answered(number * MINUTE // a_minute) for number in asked])
        tally = tally.fold(Outcome("champion" if number % 100 else "canary", True) for number in asked)
        now = Instant((minute + 1) * MINUTE)
        looked = assess(0, spec, tally, life.foreseen(now), now)
        if looked.action == "advance":
            accepted = accepted_harm(spec, a_minute * 24 * 60)
            cost = looked.figures["bound"] * spec.steps[1] * a_minute * 24 * 60
            assert 0.9 * accepted < cost <= accepted
            return
    raise AssertionError("half a day proves it")


def test_the_pace_is_that_of_the_last_ten_minutes() -> None:
    idle_then_busy = trial(*(number * HOUR for number in range(24)), *(DAY + number * SECOND for number in range(600)))
    assert idle_then_busy.pace(Instant(DAY + 10 * MINUTE)) == 86_400
    assert trial(*(number * HOUR for number in range(48))).pace(Instant(48 * HOUR)) == 24  # too few: those of the day
    assert trial(*range(9)).pace(Instant(MINUTE)) == trial(*range(9)).pace(Instant(DAY)) == 0  # a handful says nothing
    assert trial(*(number * SECOND for number in range(20))).pace(Instant(20 * SECOND)) == 86_400


def test_the_pace_is_that_since_the_last_pause() -> None:
    tried_first = trial(0, *(8 * MINUTE + number * SECOND for number in range(60)))
    assert tried_first.pace(Instant(9 * MINUTE)) == 86_400
    now_and_then = trial(*(number * 2 * MINUTE for number in range(40)))  # nothing but pauses: those of the day
    assert now_and_then.pace(Instant(80 * MINUTE)) == 720


def test_what_the_failures_of_a_version_say_most_often_is_kept_over_a_restart() -> None:
    def failed(number: int, detail: str, arm: ArmName = "canary", *, load: bool = False) -> Failed:
        return Failed(
            id=str(number),
            service=ServiceName("shop"),
            version=VersionId("v"),
            key="",
            at=Instant(number),
            received=Instant(number),
            arm=arm,
            cause="error",
            detail=detail,
            latency_us=1,
            load=load,
        )

    seen, shares = trial(1), [(Instant(0), 0.1)]
    assert seen.failures.says == ""
    seen.see([failed(2, "KeyError: 'n'"), failed(3, "Traceback\n  ValueError: no number\n"), failed(4, "")])
    seen.see([failed(number, "ValueError: no number") for number in (5, 6)])
    seen.see([failed(number, "KeyError: 'n'", "champion") for number in range(7, 20)])
    seen.see([failed(number, "KeyError: 'n'", load=True) for number in range(20, 40)])
    seen.tally(RolloutId("r1"), shares)
    assert seen.failures.says == "most often (3 of 5): error: ValueError: no number"
    again = Trial.restore(seen.snapshot())
    again.see([failed(number, f"KeyError: {'long' * 99}{number}") for number in range(40, 400)])
    again.tally(RolloutId("r1"), shares)
    assert len(again.failures.counts) == 4, "they differ beyond what is told"
    assert again.failures.says.startswith("most often (360 of 365): error: KeyError: longlong")
    assert again.failures.says.endswith("...")
    again.see([failed(number, f"KeyError: {number}") for number in range(400, 800)])
    again.tally(RolloutId("r1"), shares)
    assert len(again.failures.counts) == 100
    again.rest()
    assert again.failures.says == ""


def test_batches_that_were_asked_at_once_are_two_requests_though_their_rows_stand_between_each_other() -> None:
    made = Trial()
    made.see([msgspec.structs.replace(answered(1), id=f"{name}{row}", batch=name) for row in range(5) for name in "ab"])
    assert made.requests_24h(Instant(DAY + 1)) == 2


def test_what_was_seen_and_not_folded_yet_survives_a_restart() -> None:
    shares = [(Instant(0), 0.1)]
    made = trial(1, 2, 3)
    again = Trial.restore(made.snapshot())
    assert again.tally(RolloutId("r1"), shares) == made.tally(RolloutId("r1"), shares)
    assert again.tally(RolloutId("r1"), shares).rest == 3


def test_what_came_before_the_first_share_is_not_kept() -> None:
    made = trial(*range(100))
    made.tally(RolloutId("r1"), [])
    assert made.snapshot().waiting == ()
