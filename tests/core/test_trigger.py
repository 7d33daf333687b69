"""Triggers: clocks that change, days that do not exist, bounds, and one run for many triggers."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evertrain.core.identity import CycleId
from evertrain.core.policy import PerformanceTrigger, RowsTrigger, ScheduleTrigger
from evertrain.core.time import DAY, HOUR, Instant, from_datetime, parse_instant, say_instant
from evertrain.core.trigger import (
    MANUAL,
    Fired,
    InFlight,
    NotYet,
    Observed,
    Reading,
    arbitrate,
    check,
    due,
    name_of,
    next_run,
)
from evertrain.errors import DeclarationError

NEW_YORK = "America/New_York"


def runs(cron: str, zone: str, start: str, end: str) -> list[str]:
    at, until, found = Instant(parse_instant(start) - 1), parse_instant(end), []
    while (at := next_run(cron, zone, at)) < until:
        found.append(say_instant(at))
    return found


def test_a_job_in_the_missing_hour_runs_once() -> None:
    day = ("2024-03-10T00:00:00-05:00", "2024-03-11T00:00:00-04:00")
    assert runs("30 2 * * *", NEW_YORK, *day) == ["2024-03-10T07:00:00Z"]
    assert len(runs("*/15 * * * *", NEW_YORK, *day)) == 92


def test_a_job_in_the_doubled_hour_runs_once() -> None:
    day = ("2024-11-03T00:00:00-04:00", "2024-11-04T00:00:00-05:00")
    assert runs("30 1 * * *", NEW_YORK, *day) == ["2024-11-03T05:30:00Z"]
    assert len(runs("*/15 * * * *", NEW_YORK, *day)) == 100


def test_the_level_trigger_fires_once_in_the_doubled_hour() -> None:
    trigger = ScheduleTrigger(cron="30 1 * * *", zone=NEW_YORK)
    since, fired = parse_instant("2024-11-03T00:00:00-04:00"), []
    for minute in range(25 * 60):
        now = Instant(parse_instant("2024-11-03T00:00:00-04:00") + minute * HOUR // 60)
        if isinstance(due(trigger, Observed(now=now, since=since)), Fired):
            since = now
            fired.append(say_instant(now))
    assert fired == ["2024-11-03T05:30:00Z"]


def test_leap_day_and_the_or_of_days() -> None:
    assert say_instant(next_run("0 9 29 2 *", "UTC", parse_instant("2024-02-29T09:00:00Z"))) == "2028-02-29T09:00:00Z"
    days = runs("0 0 13 * 5", "UTC", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z")
    assert [day[8:10] for day in days] == ["02", "09", "13", "16", "23"]


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (ScheduleTrigger(cron="0 0 30 2 *"), "never comes"),
        (ScheduleTrigger(cron="0 0 31 4,6 *"), "never comes"),
        (ScheduleTrigger(cron="61 0 * * *"), "Bad minute"),
        (ScheduleTrigger(cron="0 0 0 * * *"), "has not five fields"),
        (ScheduleTrigger(cron="* * * * *", zone="Mars/Olympus"), "is not a time zone"),
        (ScheduleTrigger(cron="* * * * *", zone="../etc/passwd"), "is not a time zone"),
        (ScheduleTrigger(), "either a span or a cron"),
        (ScheduleTrigger(every=5, cron="* * * * *"), "either a span or a cron"),
        (ScheduleTrigger(every=0), "never rests"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_with_the_reason(trigger: ScheduleTrigger, words: str) -> None:
    with pytest.raises(DeclarationError, match=words) as caught:
        check(trigger)
    assert caught.value.remedy


def test_missed_runs_are_made_up_by_one() -> None:
    trigger = ScheduleTrigger(every=7 * DAY)
    since = from_datetime(datetime(2024, 1, 1, tzinfo=UTC))
    fired = due(trigger, Observed(now=Instant(since + 40 * DAY), since=since))
    assert isinstance(fired, Fired)
    assert fired.reason == "was due at 2024-01-08T00:00:00Z"
    again = due(trigger, Observed(now=Instant(since + 40 * DAY), since=Instant(since + 40 * DAY)))
    assert again == NotYet(
        trigger="schedule every 7d", reason="next at 2024-02-17T00:00:00Z", next_look=Instant(since + 47 * DAY)
    )


@given(rows=st.integers(0, 100), limit=st.integers(1, 100))
def test_rows_fire_at_their_limit(rows: int, limit: int) -> None:
    found = due(RowsTrigger(rows=limit), Observed(now=Instant(0), since=Instant(0), rows=rows))
    assert isinstance(found, Fired) == (rows >= limit)


def seen(reading: Reading) -> Observed:
    return Observed(now=Instant(0), since=Instant(0), readings=(reading,))


@pytest.mark.parametrize(
    ("metric", "now", "fires"),
    [("log_loss", 0.53, True), ("log_loss", 0.47, False), ("auc", 0.47, True), ("auc", 0.53, False)],
)
def test_performance_fires_when_the_metric_is_worse_whichever_way_that_is(metric: str, now: float, fires: bool) -> None:
    trigger = PerformanceTrigger(metric=metric, drop=0.02)  # type: ignore[arg-type] # parametrised text
    reading = Reading(metric=trigger.metric, window=trigger.window, now=now, at_gate=0.5, labels=500)
    assert isinstance(due(trigger, seen(reading)), Fired) == fires


def test_performance_waits_for_labels_and_for_a_figure_at_the_gate() -> None:
    trigger = PerformanceTrigger(metric="log_loss", drop=0.02)
    few = Reading(metric="log_loss", window=trigger.window, now=9.0, at_gate=0.5, labels=499)
    ungated = Reading(metric="log_loss", window=trigger.window, now=9.0, at_gate=None, labels=5000)
    undefined = Reading(metric="log_loss", window=trigger.window, now=float("nan"), at_gate=0.5, labels=5000)
    for reading in (few, ungated, undefined):
        assert isinstance(due(trigger, seen(reading)), NotYet)
    assert "499 mature labels, 500 are needed" in due(trigger, seen(few)).reason


ROWS = Fired(trigger="rows 10", reason="12 new mature rows")
AT = Observed(now=Instant(100 * DAY), since=Instant(0), rows=12)


def test_a_trigger_merges_into_a_cycle_that_still_collects_and_waits_for_one_that_does_not() -> None:
    cycle = CycleId("late/c3")
    merged = arbitrate([ROWS], AT, in_flight=InFlight(cycle=cycle, collecting=True), cooldown=0, began=None)[0]
    deferred = arbitrate([ROWS], AT, in_flight=InFlight(cycle=cycle, collecting=False), cooldown=0, began=None)[0]
    assert (merged.decision, merged.cycle) == ("merge", cycle)
    assert (deferred.decision, deferred.cycle) == ("defer", cycle)


def test_the_cooldown_defers_what_no_person_pulled() -> None:
    began = Instant(AT.now - HOUR)
    manual = Fired(trigger=MANUAL, reason="a person asked")
    deferred, pulled = arbitrate([ROWS, manual], AT, in_flight=None, cooldown=DAY, began=began)
    assert (deferred.decision, deferred.until) == ("defer", began + DAY)
    assert pulled.decision == "run"


def test_nothing_new_is_skipped_but_the_first_run_is_not() -> None:
    nothing = Observed(now=AT.now, since=Instant(0), rows=0)
    schedule = Fired(trigger=name_of(ScheduleTrigger(every=DAY)), reason="was due")
    assert arbitrate([schedule], nothing, in_flight=None, cooldown=0, began=Instant(0))[0].decision == "skip"
    assert arbitrate([schedule], nothing, in_flight=None, cooldown=0, began=None)[0].decision == "run"


@given(
    count=st.integers(0, 100),
    flying=st.none() | st.booleans(),
    rows=st.integers(0, 3),
    began=st.none() | st.integers(0, 20 * DAY),
)
def test_every_trigger_gets_one_decision_with_a_reason_and_at_most_one_runs(
    count: int, flying: bool | None, rows: int, began: int | None
) -> None:
    fired = [Fired(trigger=f"t{index}", reason="due") for index in range(count)]
    in_flight = None if flying is None else InFlight(cycle=CycleId("c"), collecting=flying)
    now = Observed(now=Instant(10 * DAY), since=Instant(0), rows=rows)
    began_at = None if began is None else Instant(began)
    decided = arbitrate(fired, now, in_flight=in_flight, cooldown=DAY, began=began_at)
    assert [one.fired for one in decided] == fired
    assert all(one.reason for one in decided)
    assert sum(one.decision == "run" for one in decided) == (
        count > 0 and flying is None and (began is None or (rows > 0 and began + DAY <= 10 * DAY))
    )
