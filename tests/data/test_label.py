"""Labels of classes: posted by their places, filed by their names, and one for the other."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import polars as pl
import pytest

import evertrain as et
from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.model import Output
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.schema import Kind
from evertrain.core.time import HOUR, Instant, from_datetime
from evertrain.data.label import PostedLabels
from evertrain.store.installation import install
from evertrain.store.pseudonym import Pseudonyms
from evertrain.store.segment import Position

TRIPS = ServiceName("trips")
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
AT = from_datetime(NOON)


def train(data: et.TrainingSet, run: et.Run) -> None:
    """A recipe that is declared and never run."""


def service(kind: Kind, *classes: str, personal: bool = False, who: bool = False) -> ServiceSpec:
    """who: beside the key stands whom a trip is of, which is personal."""
    columns = {"id": "string", "t": "timestamp", "mode": f"{kind}?"} | ({"who": "string"} if who else {})
    trips = et.Source("trips", et.files("t.csv"), key="id", event_time="t", columns=columns)
    asked = et.Examples(trips, key="id", at="t", request=["t", "who"] if who else ["t"])
    label = et.Label(source=trips, of=asked, value="mode", horizon="1h")
    output, hidden = et.classes(*classes), [name for name, so in (("id", personal), ("who", who)) if so]
    features = [et.column("t")] if hidden else []
    return et.Service(
        "trips", examples=asked, label=label, train=train, output=output, personal=hidden, features=features
    )


def labels_of(spec: ServiceSpec, folder: Path) -> PostedLabels:
    """With one prediction, of the trip "a"; where that is personal, of its pseudonym."""
    assert spec.label is not None
    state = install(folder / "state", AT)
    key = Pseudonyms(state).of("a") if "id" in spec.hidden else "a"
    row: dict[str, str | int] = {"id": key, "t": AT, "who": "p-0"}
    labels = PostedLabels(spec, spec.label, state)
    labels.predicted(
        Predicted(
            id="p1",
            service=TRIPS,
            version=VersionId("v"),
            key=key,
            at=AT,
            received=AT,
            row=tuple(row[name] for name in spec.inputs.names),
            vector=(),
            score=0.5,
            arm="champion",
            assigned="champion",
            latency_us=1,
            scores=(0.25, 0.5, 0.25),
        )
    )
    return labels


@pytest.mark.parametrize(("kind", "classes"), [("string", ("bus", "car", "tram")), ("int64", ("10", "20", "30"))])
def test_a_posted_place_becomes_the_name_in_the_source(tmp_path: Path, kind: Kind, classes: tuple[str, ...]) -> None:
    spec = service(kind, *classes)
    posted = [
        Labelled(
            service=TRIPS, prediction="p1", key="", value=place, known=Instant(AT + HOUR), received=Instant(AT + HOUR)
        )
        for place in (1.0, 7.0)
    ]
    places = [Position(writer="w0", sequence=1, offset=64 * number) for number in (1, 2)]
    found = labels_of(spec, tmp_path).rows(list(zip(places, posted, strict=True)), spec.sources[0].columns)
    assert found.rows["mode"].to_list() == ["car" if kind == "string" else 20]
    assert [broken.reason for broken in found.aside] == ["mode: no class stands at place 7"]


@pytest.mark.parametrize("personal", [False, True], ids=["a key", "a personal key"])
def test_a_filed_name_becomes_its_place_and_an_undeclared_one_is_left_out(tmp_path: Path, *, personal: bool) -> None:
    labels = labels_of(service("string", "bus", "car", "tram", personal=personal), tmp_path)
    times = pl.Datetime("us", "UTC")
    rows = pl.DataFrame(
        [("a", NOON, "tram", NOON), ("a", NOON, "ferry", NOON), ("b", NOON, "bus", NOON)],
        schema={"id": pl.String(), "t": times, "mode": pl.String(), "_known_at": times},
        orient="row",
    )
    told = labels.filed(rows, Instant(AT + HOUR))
    assert [(one.prediction, one.value, one.filed) for one in told] == [("p1", 2.0, True)]


def test_a_posted_label_of_a_personal_key_is_no_row_of_the_source(tmp_path: Path) -> None:
    """What the log has of the key would be another entity's there."""
    spec = service("string", "bus", "car", "tram", personal=True)
    posted = Labelled(service=TRIPS, prediction="p1", key="", value=1.0, known=AT, received=AT)
    place = Position(writer="w0", sequence=1, offset=64)
    found = labels_of(spec, tmp_path).rows([(place, posted)], spec.sources[0].columns)
    assert found.rows.height == 0
    [broken] = found.aside
    assert "The key is personal" in broken.reason


def test_a_posted_label_is_no_row_where_each_row_has_a_personal_value(tmp_path: Path) -> None:
    spec = service("string", "bus", "car", "tram", who=True)
    posted = Labelled(service=TRIPS, prediction="p1", key="", value=1.0, known=AT, received=AT)
    place = Position(writer="w0", sequence=1, offset=64)
    found = labels_of(spec, tmp_path).rows([(place, posted)], spec.sources[0].columns)
    assert found.rows.height == 0
    [broken] = found.aside
    assert broken.reason.startswith("Column 'who' is personal, and a pseudonym is all that is logged of it")


def test_a_posted_value_that_its_column_cannot_hold_is_set_aside(tmp_path: Path) -> None:
    spec = service("int64", "10", "20", "30")
    spec = msgspec.structs.replace(spec, output=Output(kind="value"))
    posted = [
        Labelled(service=TRIPS, prediction="p1", key="", value=value, known=AT, received=AT)
        for value in (7.0, 1e300, float(2**63), -float(2**63), 7.5)
    ]
    places = [Position(writer="w0", sequence=1, offset=64 * number) for number in range(5)]
    found = labels_of(spec, tmp_path).rows(list(zip(places, posted, strict=True)), spec.sources[0].columns)
    assert found.rows["mode"].to_list() == [7, -(2**63)]
    assert [broken.reason for broken in found.aside] == ["mode: not int64"] * 3
