"""Times of a request are read as in the table that the service was declared on."""

import pytest

from evertrain.core.schema import Column, Schema
from evertrain.core.time import parse_instant
from evertrain.deploy.column import Columns
from evertrain.errors import RequestError

DAY = Schema((Column(name="day", type="timestamp"),))


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2026-11-26", "2026-11-25T23:00:00Z"),
        ("2026-11-26T12:30", "2026-11-26T11:30:00Z"),
        ("2026-11-26T12:30:00Z", "2026-11-26T12:30:00Z"),
    ],
)
def test_a_time_without_an_offset_is_of_the_tables_zone(sent: str, read: str) -> None:
    assert Columns(DAY, "Europe/Berlin").row({"day": sent}) == (parse_instant(read),)


@pytest.mark.parametrize("never_or_twice", ["2026-03-29T02:30:00", "2026-10-25T02:30:00"])
def test_a_time_that_the_zones_clocks_show_twice_or_never_is_refused(never_or_twice: str) -> None:
    with pytest.raises(RequestError, match="the clocks of Europe/Berlin show") as told:
        Columns(DAY, "Europe/Berlin").row({"day": never_or_twice})
    assert told.value.field == "day"


def test_without_a_zone_a_time_needs_its_offset() -> None:
    with pytest.raises(RequestError, match="has no time zone") as told:
        Columns(DAY).row({"day": "2026-11-26"})
    assert "with an offset" in told.value.remedy


def test_a_column_of_the_table_that_is_no_input_is_said_to_be_left_out() -> None:
    columns = Columns(DAY, "Europe/Berlin", ("day", "agent"))
    with pytest.raises(RequestError, match=r"Column 'agent' is left out of the inputs\.") as told:
        columns.row({"day": "2026-11-26", "agent": "x"})
    assert told.value.field == "agent"
    with pytest.raises(RequestError, match="There is no column 'agnet'"):
        columns.row({"day": "2026-11-26", "agnet": "x"})
