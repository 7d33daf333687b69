"""The flights' labels are honest, and their 36 features equal offline and online, bit for bit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from evertrain.config.bundle import freeze, unpack
from evertrain.config.namespace import import_entry
from evertrain.core.identity import SourceName
from evertrain.core.schema import Value
from evertrain.core.time import DAY, MINUTE, Instant, parse_instant
from evertrain.data.example import examples, training_rows
from evertrain.data.feature import offline
from evertrain.data.online import OnlineFeatures, OnlineWriter, online_features
from evertrain.store.state import State

FOLDER = Path(__file__).parents[2] / "examples" / "flights"

# A day of each month: storms, holidays, both changes of the clock, and a day of which the weather is missing.
SAMPLED = ("01-31", "02-08", "03-10", "04-15", "05-24", "06-30", "07-08", "08-20", "09-12", "10-05", "11-03", "12-31")
SCHEDULE, OUTCOMES, DEPARTURES = SourceName("schedule"), SourceName("outcomes"), SourceName("departures")


def typed(row: Sequence[Value]) -> list[tuple[type, str]]:
    """A row's values with their types and all of their digits."""
    return [(type(value), repr(value)) for value in row]


def test_the_declaration_names_36_features_and_no_leak(flights: Any) -> None:
    assert len(flights.spec.vector) == 36
    leaks = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum", "departed", "landed"}
    assert not leaks & {*flights.spec.vector, *flights.spec.inputs.names}


def test_every_flight_is_one_example_with_one_label(flights: Any) -> None:
    asked = examples(flights.spec, flights.tables[SCHEDULE])
    assert asked.height == asked["key"].n_unique() == 336_776
    assert flights.tables[OUTCOMES]["flight_id"].n_unique() == 336_776
    joined = asked.join(flights.tables[OUTCOMES], left_on="key", right_on="flight_id")
    delay = joined.select((pl.col("certain").to_physical() - pl.col("at")) // MINUTE).to_series()
    assert (delay.median(), delay.max()) == (281.0, 835)
    last = joined.select((pl.col("certain").to_physical().max() - pl.col("at").max()) // MINUTE).item()
    assert last == 362


def test_a_quarter_of_all_flights_have_a_departure_at_exactly_their_prediction_time(flights: Any) -> None:
    asked = examples(flights.spec, flights.tables[SCHEDULE])
    left = flights.tables[DEPARTURES].select("origin", pl.col("departed").to_physical().alias("at")).unique()
    share = (
        asked.join(left, left_on=["request.origin", "at"], right_on=["origin", "at"], how="semi").height / asked.height
    )
    assert share == pytest.approx(0.25, abs=0.03)


def test_early_labels_are_a_biased_sample_and_mature_cohorts_are_not(flights: Any) -> None:
    cut = parse_instant("2013-07-01T00:00:00Z")
    mature = training_rows(flights.spec, flights.tables, cut, flights.functions)
    assert mature.missing == 0
    assert int(mature.rows["mature_at"].max()) <= cut  # type: ignore[arg-type]
    known = flights.tables[OUTCOMES].filter(pl.col("certain").to_physical() <= cut)
    assert mature.rows.height < known.height
    assert mature.rows["at"].is_sorted()


def test_what_becomes_known_later_changes_no_feature(flights: Any) -> None:
    """Every row that was not known at noon is taken away: no feature of a prediction until noon notices."""
    noon = parse_instant("2013-07-08T17:00:00Z")
    asked = examples(flights.spec, flights.tables[SCHEDULE]).filter(pl.col("at").is_between(noon - DAY, noon))
    until_noon = {name: rows.filter(flights.known(name) <= noon) for name, rows in flights.tables.items()}
    whole = offline(flights.spec, flights.tables, asked, flights.functions)
    assert asked.height > 800
    assert whole.equals(offline(flights.spec, until_noon, asked, flights.functions))


def compare(flights: Any, folder: Path, tables: dict[SourceName, pl.DataFrame], asked: pl.DataFrame) -> int:
    """Feed both paths with the same rows, the online one in portions of which every other comes late."""
    state = State.create(folder)
    writer = OnlineWriter(flights.spec, state)
    for name in writer.lacking:
        writer.complete(name)
    for name, rows in tables.items():
        portions = list(rows.iter_slices(4_000))
        for place in range(0, len(portions), 2):
            for portion in reversed(portions[place : place + 2]):
                writer.write(name, portion)
    function = OnlineFeatures(flights.spec, state.online, flights.functions)
    truth = offline(flights.spec, tables, asked, flights.functions)
    requests = asked.select(pl.col("request." + name).alias(name) for name in flights.spec.inputs.names)
    at = asked["at"].to_list()
    for number, (request, row) in enumerate(zip(requests.iter_rows(named=True), truth.iter_rows(), strict=True)):
        assert typed(function(request, Instant(at[number]))) == typed(row), request
    function.close()
    writer.close()
    return asked.height


def test_features_are_equal_on_a_day_of_each_month(flights: Any, tmp_path: Path) -> None:
    asked = flights.of_days(examples(flights.spec, flights.tables[SCHEDULE]), pl.col("at"), SAMPLED)
    tables = {
        name: rows if name == "planes" else flights.of_days(rows, _time(flights, name), SAMPLED, back=8)
        for name, rows in flights.tables.items()
    }
    assert compare(flights, tmp_path, tables, asked) > 12 * 800


def test_a_version_computes_its_features_from_its_own_bundle(flights: Any, tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    frozen = freeze(FOLDER, "service", ())
    assert set(frozen.contents.files) == {"recipe.py", "request.py", "service.py"}
    folder = unpack(frozen.content, frozen.digest, state.bundles)
    declared = import_entry(folder, frozen.digest, "service").service
    assert declared == flights.spec, "references do not say where they were imported from"
    writer = OnlineWriter(declared, state)
    for name in writer.lacking:
        writer.complete(name)
    asked = examples(flights.spec, flights.tables[SCHEDULE].head(1))
    request = {name: asked["request." + name].item() for name in flights.spec.inputs.names}
    function = online_features(declared, state, folder)
    values = dict(zip(declared.vector, function(request, Instant(asked["at"].item())), strict=True))
    assert (values["day_of_week"], values["minute_of_day"], values["days_to_holiday"]) == (1, 315, 0)
    function.close()
    writer.close()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_features_are_equal_on_every_flight_of_the_year(flights: Any, tmp_path: Path) -> None:
    assert compare(flights, tmp_path, flights.tables, examples(flights.spec, flights.tables[SCHEDULE])) == 336_776


def _time(flights: Any, name: SourceName) -> pl.Expr:
    """The event time; the schedule two hours and a bit later than a day's last prediction time."""
    time = pl.col(flights.spec.source(name).event_time).to_physical()
    return time - 150 * MINUTE if name == SCHEDULE else time
