"""An owner is told once that a source is stale, and once that it is fresh again, whatever is started anew between."""

from evertrain.core.event import AlertCleared, AlertRaised, Draft, Event
from evertrain.core.identity import SourceName
from evertrain.core.time import HOUR, Instant
from evertrain.data.freshness import Freshness, FreshnessAlerts


def weather(newest: int | None, within: int | None = 6 * HOUR) -> Freshness:
    return Freshness(
        source=SourceName("weather"),
        newest=None if newest is None else Instant(newest),
        arrived=None,
        rows=1,
        quarantined=0,
        files_quarantined=0,
        pending=0,
        fresh_within=within,
        owner="weather-desk",
    )


def kept(drafts: list[Draft]) -> list[Event]:
    """As the ledger would number them."""
    return [
        Event(
            sequence=number,
            id=one.id,
            at=one.at,
            actor=one.actor,
            subject=one.subject,
            reason=one.reason,
            fact=one.fact,
        )
        for number, one in enumerate(drafts)
    ]


def test_a_stale_source_is_told_once_and_its_return_once() -> None:
    alerts, told = FreshnessAlerts(), []
    for hour in range(30):
        newest = hour if hour < 4 or hour >= 20 else 3
        told += alerts.judge([weather(newest * HOUR)], Instant(hour * HOUR))
    assert [(one.at // HOUR, type(one.fact)) for one in told] == [(10, AlertRaised), (20, AlertCleared)]
    raised = told[0].fact
    assert isinstance(raised, AlertRaised)
    assert (raised.owner, raised.severity) == ("weather-desk", "warning")
    assert told[0].reason == (
        "The newest row of source weather is from 1970-01-01T03:00:00Z; a newer one was due within 6h."
    )


def test_exactly_as_old_as_declared_is_fresh() -> None:
    assert FreshnessAlerts().judge([weather(0)], Instant(6 * HOUR)) == []
    assert len(FreshnessAlerts().judge([weather(0)], Instant(6 * HOUR + 1))) == 1


def test_what_promises_nothing_or_has_no_row_yet_is_not_stale() -> None:
    assert FreshnessAlerts().judge([weather(0, None), weather(None)], Instant(900 * HOUR)) == []


def test_a_process_that_starts_anew_knows_what_was_told() -> None:
    told = FreshnessAlerts().judge([weather(0)], Instant(7 * HOUR))
    again = FreshnessAlerts(kept(told))
    assert again.judge([weather(0)], Instant(8 * HOUR)) == []
    [cleared] = again.judge([weather(8 * HOUR)], Instant(8 * HOUR))
    assert FreshnessAlerts(kept([*told, cleared])).judge([weather(8 * HOUR)], Instant(9 * HOUR)) == []
    [second] = again.judge([weather(8 * HOUR)], Instant(15 * HOUR))
    assert second.id != told[0].id
