"""Labels of classes: posted by their places, filed by their names, and one for the other."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

import evertrain as et
from evertrain.config.declaration import ServiceSpec
from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Labelled, Predicted
from evertrain.core.schema import Kind
from evertrain.core.time import HOUR, Instant, from_datetime
from evertrain.data.commit import predictions_table
from evertrain.data.label import PostedLabels
from evertrain.store.log import Position
from evertrain.store.table import Table

TRIPS = ServiceName("trips")
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
AT = from_datetime(NOON)


def train(data: et.TrainingSet, run: et.Run) -> None:
    """A recipe that is declared and never run."""


def service(kind: Kind, *classes: str) -> ServiceSpec:
    columns = {"id": "string", "t": "timestamp", "mode": f"{kind}?"}
    trips = et.Source("trips", et.files("t.csv"), key="id", event_time="t", columns=columns)
    asked = et.Examples(trips, key="id", at="t", request=["t"])
    label = et.Label(source=trips, of=asked, value="mode", horizon="1h")
    return et.Service("trips", examples=asked, label=label, train=train, output=et.classes(*classes))


def labels_of(spec: ServiceSpec, folder: Path) -> PostedLabels:
    """With one prediction, of the trip "a"."""
    assert spec.label is not None
    labels = PostedLabels(spec, spec.label, Table(folder, predictions_table(TRIPS)))
    labels.predicted(
        Predicted(
            id="p1",
            service=TRIPS,
            version=VersionId("v"),
            key="a",
            at=AT,
            received=AT,
            row=("a", AT),
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


def test_a_filed_name_becomes_its_place_and_an_undeclared_one_is_left_out(tmp_path: Path) -> None:
    labels = labels_of(service("string", "bus", "car", "tram"), tmp_path)
    times = pl.Datetime("us", "UTC")
    rows = pl.DataFrame(
        [("a", NOON, "tram", NOON), ("a", NOON, "ferry", NOON), ("b", NOON, "bus", NOON)],
        schema={"id": pl.String(), "t": times, "mode": pl.String(), "_known_at": times},
        orient="row",
    )
    told = labels.filed(rows, Instant(AT + HOUR))
    assert [(one.prediction, one.value, one.filed) for one in told] == [("p1", 2.0, True)]
